// SPDX-License-Identifier: Apache-2.0
// Which trainer, which GPU, with which of its settings, does a row of a published table mean?
#include <algorithm>

#include "strategies/program/op.hpp"
#include "tests/unit/validate/published_rows.hpp"
#include "validate/published/plan_of.hpp"
#include "validate/published/predict.hpp"
#include "validate/published/series.hpp"

using namespace meshplan;
using namespace meshplan::test;

namespace {

const Cells kMixtral = with(kLlama, {{"model", "Mixtral-8x7B"},
                                     {"layers", "32"},
                                     {"hidden", "4096"},
                                     {"ffn", "14336"},
                                     {"heads", "32"},
                                     {"vocab", "32000"},
                                     {"experts", "8"},
                                     {"top_k", "2"},
                                     {"ep", "4"},
                                     {"pp", "2"},
                                     {"vpp", "4"},
                                     {"dp", "4"}});

}  // namespace

TEST_CASE("generations of Megatron-Core differ in how they cut experts and exchange tokens",
          "[published]") {
  const Case old = one(with(kMixtral, {{"framework", "NeMo 24.05"}}));
  REQUIRE(old.question);
  CHECK(old.trainer_id == "nemo-launcher-2024");
  CHECK_FALSE(old.question->trainer.ep_sends_once);
  REQUIRE(old.question->levels[0].size() == 1);
  CHECK(old.question->levels[0][0].etp == 4);
  const Case middle =
      one(with(kMixtral, {{"framework", "Megatron-Bridge (NeMo container 26.02)"}}));
  REQUIRE(middle.question);
  CHECK(middle.trainer_id == "megatron-core");
  CHECK_FALSE(middle.question->trainer.overlap_ep);
  CHECK(middle.question->levels[0].size() == 2);  // 1 and 4, the faster
  const Case now = one(with(kMixtral, {{"framework", "Megatron-Bridge (NeMo container 26.06)"}}));
  REQUIRE(now.question);
  CHECK(now.question->trainer.overlap_ep);
}

TEST_CASE("what the recipes of a release set for a model, a GPU and a format", "[published]") {
  // A row of Megatron-Bridge's tables.
  const auto asked = [](const std::string& release, const std::string& model,
                        const std::string& gpu, const std::string& format) {
    const Case row = one(with(
        kMixtral, {{"framework", "Megatron-Bridge (NeMo container " + release + ")"},
                   {"source_detail", "commit 1, release " + release + ", \"" + model + "\" DGX"},
                   {"gpu_id", gpu},
                   {"precision", format},
                   {"recompute", "selective"}}));
    REQUIRE(row.question);
    return *row.question;
  };
  const auto flags = [&](const std::string& release, const std::string& model,
                         const std::string& gpu, const std::string& format) {
    const Trainer t = asked(release, model, gpu, format).trainer;
    return std::vector<bool>{t.overlap_ep, t.ep_sends_once, t.experts_padded};
  };
  using Flags = std::vector<bool>;
  // Since 26.06 in MXFP8 on Blackwell alone.
  CHECK(flags("26.06", "Qwen3_30B_a3B", "b300-sxm", "mxfp8") == Flags{true, true, false});
  CHECK(flags("26.06", "Qwen3_30B_a3B", "b300-sxm", "bf16") == Flags{false, true, true});
  CHECK(flags("26.06", "Qwen3_30B_a3B", "h100-sxm5-80gb", "fp8") == Flags{false, true, true});
  CHECK(flags("26.04", "Qwen3_30B_a3B", "b300-sxm", "mxfp8") == Flags{false, true, true});
  // By model and release: "26.02" is not "26.02.01".
  CHECK(flags("26.02", "Qwen3_235B_a22B", "b300-sxm", "mxfp8") == Flags{true, false, true});
  CHECK(flags("26.02.01", "Qwen3_235B_a22B", "b300-sxm", "mxfp8") == Flags{false, true, true});
  CHECK(flags("26.02", "GPT OSS 120B", "gb200", "mxfp8") == Flags{false, false, true});
  CHECK(flags("26.04", "GPT OSS 120B", "gb200", "mxfp8") == Flags{true, true, true});
  // "selective" of a recipe that says which modules; the plan has those of them that its model has.
  const auto modules = [&](const std::string& model, const std::string& gpu) {
    return asked("26.04", model, gpu, "bf16").recompute;
  };
  CHECK(modules("DeepSeekV3", "gb300") == "mla_up_proj");
  CHECK(modules("DeepSeekV3", "h100-sxm5-80gb") == "mla_up_proj+mlp");
  CHECK(asked("26.04", "GPT OSS 120B", "gb300", "bf16").levels[0][0].recompute_modules ==
        recompute_words("layernorm+moe_act").value().modules);
  CHECK(asked("26.04", "DeepSeekV3", "gb300", "bf16").levels[0][0].recompute_modules ==
        bit(Module::rope));
}

TEST_CASE("layers of a chunk that recompute in full", "[published]") {
  // Of 80 / (pp vpp) in a chunk; -1: all.
  const auto layers = [](const Cells& cells) {
    const Case row = one(with(kLlama, cells));
    REQUIRE(row.question);
    const Plan& plan = row.question->levels[0][0];
    return plan.recompute == Recompute::full ? plan.recompute_layers : 0;
  };
  const Cells chunks = {{"pp", "4"}, {"vpp", "5"}, {"dp", "2"}};
  CHECK(layers(with(chunks, {{"recompute", "full"}})) == -1);
  CHECK(layers(with(chunks, {{"recompute", "full (block 3)"}})) == 3);
  CHECK(layers(with(chunks, {{"recompute", "full (block 4)"}})) == -1);
  // A recipe's number holds where the row says full, no more, or nothing; not against the row.
  const auto of_recipe = [&](const std::string& stated) {
    return layers({{"framework", "Megatron-Bridge (NeMo container 26.02)"},
                   {"source_detail", "commit 1, release 26.02, \"LLAMA3_8B\" DGX-H100"},
                   {"pp", "1"},
                   {"vpp", "1"},
                   {"dp", "8"},
                   {"recompute", stated}});
  };
  CHECK(of_recipe("full") == 5);
  CHECK(of_recipe("") == 5);
  CHECK(of_recipe("full (block 7)") == 7);
  CHECK(of_recipe("none") == 0);
  CHECK(of_recipe("selective") == 0);
}

TEST_CASE("what recipes of fine-tuning set", "[published]") {
  const auto trainer = [](const std::string& id, const std::string& format,
                          const std::string& gpu) {
    const Case row = one(with(
        kLlama, {{"id", id}, {"framework", "NeMo 2.0"}, {"precision", format}, {"gpu_id", gpu}}));
    REQUIRE(row.question);
    return row.question->trainer;
  };
  const std::string h100 = "h100-sxm5-80gb";
  CHECK(trainer("70b-lora", "fp8", h100).weights_transposed_anew);
  CHECK(trainer("70b-sft", "fp8", h100).weights_transposed_anew);
  CHECK_FALSE(trainer("70b-lora", "fp8", "gb200").weights_transposed_anew);
  CHECK_FALSE(trainer("70b-pretrain", "fp8", h100).weights_transposed_anew);
  CHECK_FALSE(trainer("70b-lora", "bf16", h100).fused_cross_entropy);
  CHECK(trainer("70b-sft", "bf16", h100).fused_cross_entropy);
  CHECK(trainer("70b-lora", "bf16", h100).tp_overlap == TpOverlap::none);
  CHECK(trainer("70b-lora", "fp8", h100).tp_overlap == TpOverlap::ring);
  CHECK(trainer("70b-lora", "fp8", h100).tp_scatter_in_pieces);
}

TEST_CASE("what a source says of routing and of its head", "[published]") {
  const auto ratio = [](const std::string& id) {
    const Case row = one(with(kMixtral, {{"id", id}}));
    REQUIRE(row.question);
    return row.question->trainer.expert_load_ratio;
  };
  CHECK(ratio("qwen3-30b-h100-natural") == 1.6);
  CHECK(ratio("qwen3-30b-h100-perf") == 1);
  CHECK(ratio("zoo-q235-long-16k-dropless") == 1.6);
  const auto tied = [](const std::string& detail) {
    const Case row = one(with(kLlama, {{"model", "SmolLM3 L8"}, {"source_detail", detail}}));
    REQUIRE(row.question);
    return row.question->model.tied_embeddings;
  };
  CHECK(tied("a blog"));
  CHECK_FALSE(tied("argonne-lcf/Megatron-DeepSpeed ALCF/notes/AuroraGPT-small.md"));
}

TEST_CASE("what a row is taken to mean names no recipe that does not count for it", "[published]") {
  const Cells recipe = {{"framework", "Megatron-Bridge (NeMo container 26.06)"},
                        {"source_detail", "release 26.06, \"GPT OSS 120B\""}};
  const auto named = [&](const Cells& row, const std::string& words) {
    const auto chosen = one(with(row, recipe)).question->chosen;
    return std::any_of(chosen.begin(), chosen.end(), [&](const std::string& text) {
      return text.find(words) != std::string::npos;
    });
  };
  CHECK(named(kMixtral, "hide exchanges of experts"));
  CHECK_FALSE(named(kLlama, "hide exchanges of experts"));
  const std::string modules = "layernorm+moe_act by the source's recipes";
  CHECK(named(with(kMixtral, {{"recompute", "selective"}}), modules));
  CHECK(named(with(kMixtral, {{"recompute", ""}}), modules));
  CHECK_FALSE(named(with(kMixtral, {{"recompute", "none"}}), modules));
}

TEST_CASE("the tensor parallelism of the experts in a source's launch scripts", "[published]") {
  const auto expert_tp = [](const std::string& detail, const std::string& gpu) {
    return one(with(kMixtral, {{"source_detail", detail}, {"gpu_id", gpu}})).question->expert_tp;
  };
  CHECK(expert_tp("x, grok1/README.md", "h100-sxm5-80gb") == 1);
  CHECK_FALSE(expert_tp("x, grok1/README.md", "gb200"));
  CHECK(expert_tp("tag v25.05: grok1/README.md", "b200-sxm") == 8);
  CHECK(expert_tp("tag v25.07: grok1/README.md", "b200-sxm") == 1);
  CHECK(expert_tp("best_practice/Mixtral", "h100-sxm5-80gb") == 1);
}

TEST_CASE("what TFLOP/s count where a row does not say it is the trainer's custom", "[published]") {
  const Case meta = one(
      with(kLlama, {{"trainer", "llama3-meta"}, {"flops_convention", "MFU; formula not stated"}}));
  CHECK(convention_of(meta.flops_convention) == FlopsConvention::causal);
  const Case megatron = one(with(kLlama, {{"flops_convention", "formula not stated"}}));
  CHECK(convention_of(megatron.flops_convention) == FlopsConvention::full_square);
}

TEST_CASE("a GPU that only the source's words name, with its memory", "[published]") {
  const auto gpu = [](const Cells& cells) { return one(with(kLlama, cells)).gpu_id; };
  CHECK(gpu({{"gpu_id", ""}, {"gpu", "NVIDIA A100"}, {"gpu_mem_gb", "40"}}) == "a100-sxm4-40gb");
  CHECK(gpu({{"gpu_id", ""}, {"gpu", "A100"}, {"gpu_mem_gb", "80"}}) == "a100-sxm4-80gb");
  CHECK(gpu({{"gpu_id", ""}, {"gpu", "A100"}}) == "a100-sxm4-80gb");
  CHECK(gpu({{"gpu_id", "mi300x"}, {"gpu", "A100"}}) == "mi300x");
  // Boards that the source tells apart.
  CHECK(gpu({{"source_detail", "pytorch/ao docs"}}) == "h100-sxm5-96gb-500w");
  CHECK(gpu({{"source_detail", "pytorch/ao docs"}, {"gpu_id", "b200-sxm"}}) == "b200-sxm");
}

TEST_CASE("words for what is not stated are empty cells", "[published]") {
  const std::string empty =
      question_text(one(with(kLlama, {{"kv_heads", ""}, {"vpp", ""}, {"framework", ""}})));
  CHECK(question_text(one(
            with(kLlama, {{"kv_heads", "N/A"}, {"vpp", "-"}, {"framework", "unknown"}}))) == empty);
}

TEST_CASE("generations of a trainer by words of the source and its year", "[published]") {
  const auto trainer = [](const Cells& more) {
    return one(with(kLlama, more)).question->trainer.id;
  };
  CHECK(trainer({{"trainer", "torchtitan"}, {"year", "2024"}}) == "torchtitan-2024");
  CHECK(trainer({{"trainer", "torchtitan"}, {"year", "2025"}}) == "torchtitan-2025");
  CHECK(trainer({{"trainer", "torchtitan"}, {"year", "2027"}}) == "torchtitan");
  CHECK(trainer({{"framework", "torchtitan, eager"}, {"trainer", ""}, {"year", "2024"}}) ==
        "torchtitan-eager-2024");
  CHECK(trainer({{"framework", "torchtitan, eager"}, {"trainer", "torchtitan"}}) ==
        "torchtitan-eager");
  CHECK(trainer({{"framework", "Megatron-Core MoE"}, {"year", "2025"}}) == "megatron-core");
  // The same where the trainer's column is empty or unknown to us.
  CHECK(trainer({{"trainer", ""}, {"framework", "torchtitan"}, {"year", "2024"}}) ==
        "torchtitan-2024");
  CHECK(trainer({{"trainer", "their-own"}, {"framework", "Megatron-LM"}, {"year", "2021"}}) ==
        "megatron-2021");
  CHECK(trainer({{"trainer", ""}, {"framework", "their own"}, {"dp_shard", "zero3"}}) ==
        "torchtitan");
  CHECK(trainer({{"trainer", ""}, {"framework", "their own"}, {"dp_shard", "zero1"}}) ==
        "megatron-core");
  CHECK(trainer({{"trainer", ""}, {"framework", "their own"}, {"year", "2023"}}) ==
        "megatron-lm-defaults");
  CHECK(trainer({{"trainer", ""}, {"framework", "their own"}, {"year", "2022"}}) ==
        "megatron-2022");
  CHECK(trainer({{"framework", "Megatron-Core MoE"}, {"year", "2026"}}) == "megatron-bridge-2606");
  CHECK(trainer({{"trainer", "aleph-alpha"}, {"source_detail", "data/seqpara/x"}}) ==
        "aleph-alpha-rms");
  CHECK(trainer({{"trainer", "aleph-alpha"}, {"source_detail", "data/x"}}) == "aleph-alpha");
  const auto trial = [&](const std::string& number) {
    return trainer(
        {{"trainer", "aleph-alpha"}, {"source_detail", "data/x_all_runs.xlsx trial " + number}});
  };
  CHECK(trial("97343") == "aleph-alpha-torch");
  CHECK(trial("97600") == "aleph-alpha-torch");  // in the second of its ranges
  CHECK(trial("97358") == "aleph-alpha-fused");
  CHECK(trial("132400") == "aleph-alpha");
  CHECK(trial("1") == "aleph-alpha-flash1");  // of no range: by the sheet
}

TEST_CASE("peaks of a source that prints GiB without saying so", "[published]") {
  const auto peak = [](const std::string& detail) {
    return *one(with(kLlama, {{"measured_peak_mem_gb", "10"}, {"source_detail", detail}}))
                .measured.peak_memory_bytes;
  };
  CHECK(peak("x") == 10e9);
  CHECK(peak("pytorch/ao docs/source/workflows/training.md e2e table H100-80GB") ==
        10 * 1024.0 * 1024 * 1024);
}

TEST_CASE("layers go to the host only in fully sharded plans without pipeline", "[published]") {
  const Cells sharded =
      with(kLlama, {{"tp", "1"}, {"pp", "1"}, {"cp", "1"}, {"vpp", "1"}, {"dp", "64"}});
  CHECK(one(kLlama).question->saving.empty());
  CHECK(one(with(kLlama, {{"dp_shard", "zero3"}})).question->saving.empty());
  const Case c = one(with(sharded, {{"dp_shard", "zero3"}}));
  REQUIRE(c.question->saving.size() == 1);
  CHECK(c.question->saving[0].id == "megatron-core-offload");
}

TEST_CASE("settings that save memory are taken if nothing else fits", "[published]") {
  Case c = one(with(kLlama, {{"trainer", "torchtune"}}));
  REQUIRE(c.question->saving.size() == 2);
  CHECK(c.question->saving[0].optimizer_paged);
  CHECK_FALSE(c.question->saving[0].optimizer_in_backward);
  int asked = 0;
  const auto fits_if_saving = [&](const Question& question, const Plan&) -> Result<StepEstimate> {
    ++asked;
    StepEstimate estimate;
    estimate.fits = question.trainer.optimizer_in_backward;
    return estimate;
  };
  const auto prediction = predict(*c.question, fits_if_saving);
  REQUIRE(prediction.ok());
  CHECK(prediction->estimate.fits);
  CHECK(asked == 3);  // as it is, with paged states, and with the optimizer in the backward pass
}

TEST_CASE("an axis that a row calls off is of degree 1", "[published]") {
  const Case off = one(with(kLlama, {{"cp", "0"}, {"vpp", "none"}, {"dp", "4"}}));
  REQUIRE(off.question);
  CHECK(off.question->levels[0][0].cp == 1);
  CHECK(off.question->levels[0][0].vpp == 1);
  CHECK(!one(with(kLlama, {{"cp", "-1"}})).question);
}
