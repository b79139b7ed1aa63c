// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "strategies/program/op.hpp"
#include "tests/unit/validate/published_rows.hpp"
#include "topologies/base/files.hpp"
#include "validate/published/plan_of.hpp"
#include "validate/published/predict.hpp"
#include "validate/published/series.hpp"

using namespace meshplan;
using namespace meshplan::test;

TEST_CASE("a row that states all is one plan", "[published]") {
  const Case c = one(kLlama);
  REQUIRE(c.question);
  const Question& q = *c.question;
  REQUIRE(q.levels.size() == 1);
  REQUIRE(q.levels[0].size() == 1);
  const Plan& plan = q.levels[0][0];
  CHECK(plan.tp == 4);
  CHECK(plan.pp == 4);
  CHECK(plan.vpp == 5);
  CHECK(plan.cp == 2);
  CHECK(plan.dp() == 2);
  CHECK(plan.dp_shard == 2);
  CHECK(plan.zero == 1);
  CHECK(plan.schedule == ScheduleKind::interleaved);
  CHECK(plan.compute == DType::fp8);
  CHECK(plan.recompute == Recompute::selective);
  CHECK(plan.recompute_modules == bit(Module::core_attention));
  CHECK(q.batch.micro_batches(plan) == 64);
  CHECK(q.model.id == "llama3-70b");
  CHECK(q.cluster->gpus() == 64);
  CHECK(q.chosen.empty());
}

TEST_CASE("what a row leaves open is filled by rule and named", "[published]") {
  Case c = one(with(kLlama, {{"micro_batch", ""}, {"vpp", ""}}));
  REQUIRE(c.question);
  // 64 sequences per rank: 1, 2, 4, 8, 16, 32; 20 layers per stage: 1 and five of 2 4 5 10 20.
  CHECK(c.question->levels[0].size() == 36);
  CHECK(c.question->chosen.size() == 2);
  c = one(with(kLlama, {{"dp", ""}, {"recompute", ""}, {"dp_shard", ""}, {"precision", ""}}));
  REQUIRE(c.question);
  // None, selective, all but products, a quarter, half, three quarters of the layers, all of them.
  REQUIRE(c.question->levels.size() == 7);
  const Plan& quarter = c.question->levels[3][0];
  CHECK(quarter.recompute == Recompute::full);
  CHECK(quarter.recompute_layers * 4 * quarter.pp * quarter.vpp == c.question->model.layers);
  CHECK(c.question->levels[6][0].recompute_layers == -1);
  CHECK(c.question->levels[0][0].recompute == Recompute::none);
  CHECK(c.question->levels[0][0].dp() == 2);
  CHECK(c.question->levels[0][0].zero == 1);
  CHECK(c.question->levels[0][0].compute == DType::bf16);
  c = one(with(kLlama, {{"gpus", ""}}));
  REQUIRE(c.question);
  CHECK(c.gpus == 64);
  c = one(with(kLlama, {{"pp", ""}}));
  REQUIRE(c.question);
  CHECK(c.question->levels[0][0].pp == 4);
  c = one(with(kLlama, {{"trainer", ""}, {"framework", "Megatron-DeepSpeed (fork)"}}));
  REQUIRE(c.question);
  CHECK(c.question->trainer.id == "megatron-deepspeed");
  // Generations: by the words of the framework, or of the place in the source.
  c = one(with(kLlama, {{"framework", "NeMo 24.05"}}));
  CHECK(c.question->trainer.id == "nemo-launcher-2024");
  c = one(with(kLlama, {{"trainer", "mlperf-megatron"},
                        {"source_detail", "mlcommons/training_results_v3.0: logs"}}));
  CHECK(c.question->trainer.id == "mlperf-megatron-v3.0");
}

TEST_CASE("a row that leaves sharding open shards before it recomputes more", "[published]") {
  const Cells cells = {{"trainer", "nemo-2022"}, {"dp_shard", ""}, {"recompute", ""}, {"dp", "2"}};
  Case c = one(with(kLlama, cells));
  REQUIRE(c.question);
  REQUIRE(c.question->levels.size() == 8);
  CHECK(c.question->levels[0][0].zero == 0);
  CHECK(c.question->levels[1][0].zero == 1);
  CHECK(c.question->levels[1][0].dp_shard == 2);
  CHECK(c.question->levels[1][0].recompute == Recompute::none);
  CHECK(c.question->levels[2][0].zero == 1);
  CHECK(c.question->levels[2][0].recompute == Recompute::selective);
  c = one(with(with(kLlama, cells), {{"dp_shard", "none"}}));
  CHECK(c.question->levels[1][0].zero == 0);
}

TEST_CASE("words of a row: fine-tuning packs short documents, MLPerf's fill", "[published]") {
  const auto window = [](const char* detail) {
    const Case c = one(with(kLlama, {{"source_detail", detail}}));
    REQUIRE(c.question);
    return std::pair{c.question->model.window, c.question->adapters_only};
  };
  CHECK(window("an exploration") == std::pair<int64_t, bool>{0, false});
  CHECK(window("pre-training") == std::pair<int64_t, bool>{0, false});
  CHECK(window("llama3/finetuning/README: SFT") == std::pair<int64_t, bool>{256, false});
  CHECK(window("table of LoRA") == std::pair<int64_t, bool>{256, true});
  CHECK(window("training_results_v4.0: llama2_70b_lora") == std::pair<int64_t, bool>{0, true});
}

TEST_CASE("selective recompute of what is not stated: more until it fits", "[published]") {
  Case c = one(with(kLlama, {{"recompute", "selective"}}));
  REQUIRE(c.question->levels.size() == 3);
  CHECK(c.question->levels[0][0].recompute_modules == bit(Module::core_attention));
  CHECK(c.question->levels[2][0].recompute_modules ==
        (modules_of(c.question->model) & (cheap_modules() | expert_modules())));
  c = one(with(kLlama, {{"recompute", "mlp"}}));
  CHECK(c.question->levels.size() == 1);
  c = one(with(kLlama, {{"recompute", "moe_act"}}));  // of a dense model
  CHECK(c.question->levels[0][0].recompute == Recompute::none);
}

TEST_CASE("models: bundled by name, cut, by columns, hybrids", "[published]") {
  Case c = one(with(kLlama, {{"layers", "12"}, {"model", "Llama3-70B (L12 slice)"}, {"pp", "1"}}));
  CHECK(c.question->model.id == "llama3-70b");
  CHECK(c.question->model.layers == 12);
  CHECK(c.question->chosen.front() == "model: cut to 12 of 80 layers");
  // Of a kind whose name is known, sizes by columns: untied, squared ReLU, no biases.
  c = one(with(kLlama, {{"model", "Nemotron-3-22B"},
                        {"gated_mlp", "0"},
                        {"layers", "40"},
                        {"hidden", "6144"},
                        {"ffn", "24576"},
                        {"heads", "48"},
                        {"kv_heads", "48"},
                        {"vocab", "256000"}}));
  CHECK(c.question->model.activation == ActivationType::squared_relu);
  CHECK(double(parameters(c.question->model)) == Approx(21.27e9).epsilon(0.001));
  // What the row states replaces what the bundled model says.
  c = one(with(kLlama, {{"ffn", "20480"}}));
  CHECK(c.question->model.intermediate == 20480);
  CHECK(c.question->model.kv_heads == 8);
  CHECK(!c.question->model.tied_embeddings);
  // A GPT by columns: 12 L h^2 + 13 L h and embeddings, as in Megatron's own count.
  c = one(with(kLlama, {{"model", "GPT 1.3B"},
                        {"gated_mlp", "0"},
                        {"layers", "24"},
                        {"hidden", "2048"},
                        {"ffn", "8192"},
                        {"heads", ""},
                        {"kv_heads", ""},
                        {"vocab", "51200"},
                        {"seq_len", "1024"}}));
  CHECK(c.question->model.heads == 16);
  CHECK(parameters(c.question->model) == 24 * (12LL * 2048 * 2048 + 13 * 2048) +
                                             (51200LL + c.question->model.position_rows) * 2048 +
                                             2 * 2048);
  c = one(with(kLlama, {{"model", "Nemotron-H-56B"},
                        {"gated_mlp", "0"},
                        {"layers", "118"},
                        {"hidden", "8192"},
                        {"ffn", "32768"},
                        {"vocab", "131072"},
                        {"pp", "1"}}));
  CHECK(c.question->model.layers == 54);
  CHECK(double(parameters(c.question->model)) == Approx(56e9).epsilon(0.02));
  c = one(with(kLlama, {{"model", "Nemotron-3-Nano-30B-A3B"},
                        {"gated_mlp", "0"},
                        {"layers", "52"},
                        {"hidden", "2688"},
                        {"ffn", "1856"},
                        {"heads", "32"},
                        {"kv_heads", "2"},
                        {"vocab", "131072"},
                        {"experts", "128"},
                        {"top_k", "6"},
                        {"pp", "1"}}));
  CHECK(double(parameters(c.question->model)) == Approx(31.6e9).epsilon(0.02));
  CHECK(double(active_parameters(c.question->model)) == Approx(3.6e9).epsilon(0.1));
}

TEST_CASE("experts and sharding that the row leaves open or that cannot be", "[published]") {
  const Cells mixture = with(kLlama, {{"model", "Mixtral-8x22B"},
                                      {"layers", "56"},
                                      {"hidden", "6144"},
                                      {"ffn", "16384"},
                                      {"heads", "48"},
                                      {"experts", "8"},
                                      {"top_k", "2"},
                                      {"vocab", "32768"},
                                      {"vpp", "1"},
                                      {"ep", "2"}});
  Case c = one(mixture);
  REQUIRE(c.question);
  REQUIRE(c.question->levels[0].size() == 2);  // etp 1 and 4
  CHECK(c.question->levels[0][1].etp == 4);
  c = one(with(mixture, {{"ep", "8"}}));  // 8 * 4 ranks are not among 4 * 2 * 2
  REQUIRE(c.question->levels[0].size() == 1);
  CHECK(c.question->levels[0][0].etp == 1);
  // 70e9 weights and gradients of 4 bytes together do not fit into 80 GB.
  c = one(with(kLlama, {{"tp", "1"}, {"pp", "1"}, {"vpp", "1"}, {"cp", "1"}, {"dp", "64"}}));
  CHECK(c.question->levels[0][0].zero == 3);
  CHECK(c.question->levels[0][0].dp_shard == 64);
  CHECK(c.question->chosen.size() == 2);  // that, and layers on the host if nothing else fits
}

TEST_CASE("a row that cannot be asked is named and the others go on", "[published]") {
  const auto cases = cases_of(table_of(
      {with(kLlama, {{"tp", "four"}}), with(kLlama, {{"layers", ""}, {"model", "Mystery"}}),
       with(kLlama, {{"recompute", "sometimes"}}), with(kLlama, {{"gpus", "0"}}),
       with(kLlama, {{"gpu_id", "z100"}}), kLlama}));
  REQUIRE(cases.ok());
  REQUIRE(cases->size() == 6);
  CHECK((*cases)[0].refusal.where == "t:2: tp");
  CHECK((*cases)[0].refusal.value == "four");
  CHECK(!(*cases)[0].states_too_little);
  CHECK((*cases)[1].states_too_little);
  CHECK((*cases)[2].refusal.where == "recompute");
  CHECK(!(*cases)[3].question);
  CHECK(!(*cases)[4].question);
  CHECK((*cases)[5].question);
}

TEST_CASE("spellings of recompute, sharding, precision and offload", "[published]") {
  CHECK(recompute_words("none")->kind == Recompute::none);
  CHECK(!recompute_words("")->stated);
  CHECK(recompute_words("Full")->kind == Recompute::full);
  CHECK(recompute_words("full (block 4)")->kind == Recompute::full);
  CHECK(recompute_words("full")->layers == 0);
  CHECK(recompute_words("full (block 4)")->layers == 4);
  CHECK(recompute_words("full:5")->layers == 5);
  CHECK(recompute_words("full (uniform 2)")->layers == 0);
  CHECK(recompute_words("selective")->modules == 0);
  CHECK(recompute_words("layernorm+moe_act")->modules ==
        (bit(Module::norm) | bit(Module::expert_activation)));
  CHECK(recompute_words("activation checkpointing")->kind == Recompute::full);
  CHECK(!recompute_words("maybe").ok());
  CHECK(shard_words("hsdp:4")->group == 4);
  CHECK(shard_words("hsdp:4")->zero == 3);
  CHECK(shard_words("zero2")->zero == 2);
  CHECK(shard_words("none")->zero == 0);
  CHECK(!shard_words("")->stated);
  CHECK(shard_words("HYBRID_SHARD")->zero == 3);
  CHECK(shard_words("distributed optimizer")->zero == 1);
  CHECK(shard_words("2")->zero == 2);
  CHECK(!shard_words("zero4").ok());
  CHECK(*precision_words("MXFP8") == DType::fp8);
  CHECK(*precision_words("nvfp4") == DType::fp4);
  CHECK(*precision_words("16-mixed") == DType::fp16);
  CHECK(!precision_words("int3").ok());
  CHECK(*offload_share("cpu 25%") == Approx(0.25));
  CHECK(*offload_share("cpu 100-overlap%") == Approx(1));
  CHECK(*offload_share("0") == 0);
}

TEST_CASE("a format that the GPU lacks becomes the next it has, and is named", "[published]") {
  const auto compute = [](const std::string& gpu, const std::string& precision) {
    Cells row = kLlama;
    row["gpu"] = row["gpu_id"] = gpu;
    row["precision"] = precision;
    const Case c = one(row);
    REQUIRE(c.question);
    const bool named = std::any_of(
        c.question->chosen.begin(), c.question->chosen.end(),
        [](const std::string& line) { return line.find("products") != std::string::npos; });
    return std::pair{c.question->levels[0][0].compute, named};
  };
  CHECK(compute("v100-sxm2-32gb", "bf16") == std::pair{DType::fp16, true});
  CHECK(compute("a100-sxm4-80gb", "fp8") == std::pair{DType::bf16, true});
  CHECK(compute("a100-sxm4-80gb", "fp16") == std::pair{DType::fp16, false});
}

TEST_CASE("of a level the fastest that fits is taken, then the next level", "[published]") {
  Question question;
  question.levels = {{Plan{}, Plan{}}, {Plan{}}};
  question.levels[0][0].micro_batch = 1;
  question.levels[0][1].micro_batch = 2;
  question.levels[1][0].micro_batch = 3;
  int limit = 9;
  const Predictor predictor = [&](const Question&, const Plan& plan) -> Result<StepEstimate> {
    StepEstimate e;
    e.plan = plan;
    e.step_s = 10 - plan.micro_batch;
    e.peak_memory_bytes = plan.micro_batch == 3 ? 1 : plan.micro_batch + 1;
    e.fits = e.peak_memory_bytes <= limit;
    return e;
  };
  CHECK(predict(question, predictor)->estimate.plan.micro_batch == 2);
  limit = 2;
  CHECK(predict(question, predictor)->estimate.plan.micro_batch == 1);
  limit = 1;
  CHECK(predict(question, predictor)->estimate.plan.micro_batch == 3);
  limit = 0;
  CHECK(predict(question, predictor)->nothing_fit);
}

TEST_CASE("the shipped table: questions don't change when the answers are blank", "[published]") {
  const std::string path = data_root() + "/validate/published/runs.csv";
  auto table = CsvTable::open(path);
  REQUIRE(table.ok());
  const std::set<std::string> answers = {"step_s", "outcome", "tier", "notes"};
  std::string blank;
  for (const auto& column : table->header()) blank += (blank.empty() ? "" : ",") + column;
  blank += "\n";
  int blanked = 0;
  for (const CsvRecord& record : table->records()) {
    std::string line;
    for (const auto& column : table->header()) {
      const bool answer = answers.count(column) > 0 || column.rfind("measured_", 0) == 0;
      const auto cell = table->cell(record, column);
      blanked += answer && !cell.empty() ? 1 : 0;
      line += (&column == &table->header().front() ? "" : ",") +
              (answer ? std::string() : csv_cell(cell));
    }
    blank += line + "\n";
  }
  REQUIRE(blanked > 10000);
  const auto before = cases_of(*table);
  const auto after = cases_of(CsvTable::parse(blank, path).value());
  REQUIRE(before.ok());
  REQUIRE(after.ok());
  REQUIRE(before->size() == after->size());
  REQUIRE(before->size() == 2406);
  int different = 0, asked = 0;
  for (size_t i = 0; i < before->size(); ++i) {
    // Lines move where a blanked note held line breaks; they are no part of the question.
    Case a = (*before)[i], b = (*after)[i];
    if (a.question) {
      ++asked;
      different += question_text(a) != question_text(b) ? 1 : 0;
    } else {
      different += b.question ? 1 : 0;
    }
  }
  CHECK(different == 0);
  CHECK(asked > 2150);
}

TEST_CASE("every gold row of the shipped table can be asked", "[published]") {
  const auto cases = read_cases(data_root() + "/validate/published/runs.csv");
  REQUIRE(cases.ok());
  for (const Case& c : *cases) {
    if (c.tier != "gold" || c.question) continue;
    INFO(c.id << ": " << c.refusal.message << " " << c.refusal.where << " " << c.refusal.value);
    CHECK(false);
  }
}
