// SPDX-License-Identifier: Apache-2.0
#include "validate/published/cases.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <string_view>
#include <utility>

#include "validate/published/mapping.hpp"
#include "validate/published/model_of.hpp"
#include "validate/published/plan_of.hpp"
#include "validate/published/question_row.hpp"

namespace meshplan {
namespace {

/// Trainers and clusters are read once for all rows that name them.
class Caches {
 public:
  explicit Caches(const Mapping& mapping) : mapping_(mapping) {}

  Result<Trainer> trainer(QuestionRow& row, std::vector<std::string>& chosen) {
    const std::string stated = row.text("trainer");
    const Result<Trainer>& found = by_id(stated);
    std::string id;
    if (!stated.empty() && found.ok()) {
      id = found->id;
    } else {
      const char* by = "the framework";
      id = mapping_.trainer_by_framework(row.text("framework"));
      if (id.empty()) {
        by = "the sharding";
        const Result<ShardWords> shard = shard_words(row.text("dp_shard"));
        id = mapping_.unknown_trainer(shard.ok() && shard->zero > 1);
      }
      chosen.push_back(fmt::format("trainer: {}; {} by {}",
                                   stated.empty() ? "not stated" : "'" + stated + "' is unknown",
                                   id, by));
    }
    const std::string generation = mapping_.generation_of(
        id, row.text("framework"), row.text("source_detail"), row.count("year").value_or(0));
    MESHPLAN_CHECK(row.finish());
    if (generation != id)
      chosen.push_back(fmt::format("trainer: {} by the source's words and year", generation));
    return by_id(generation);
  }

  const Result<Trainer>& by_id(const std::string& id) {
    const auto found = trainers_.find(id);
    if (found != trainers_.end()) return found->second;
    return trainers_.emplace(id, find_trainer(id)).first->second;
  }

  Result<std::shared_ptr<const Cluster>> cluster(QuestionRow& row, int64_t gpus,
                                                 std::vector<std::string>& chosen) {
    ClusterFacts facts;
    facts.gpus = gpus;
    facts.gpus_per_node = row.count("gpus_per_node").value_or(0);
    facts.intra_gb_per_s = row.text("intra_bw_GBps");
    facts.inter_gb_per_s_per_gpu = row.text("inter_bw_GBps_per_gpu");
    facts.fabric = row.text("fabric");
    MESHPLAN_CHECK(row.finish());
    facts.gpu = row.text("gpu_id");
    if (facts.gpu.empty()) {
      facts.gpu = row.text("gpu");
      const std::string with_memory = fmt::format("{} {}GB", facts.gpu, row.text("gpu_mem_gb"));
      for (const std::string& words : {facts.gpu, with_memory})
        if (const auto known = find_gpu(words); known.ok()) facts.gpu = known->id;
    }
    if (facts.gpu.empty())
      return Diagnostic{ErrorKind::input, "the row does not state the GPU", row.where("gpu_id"), "",
                        kStatesTooLittle};
    const std::string board = mapping_.board_of(facts.gpu, row.text("source_detail"));
    if (board != facts.gpu) chosen.push_back(fmt::format("GPU: {} by the source", board));
    facts.gpu = board;
    const std::string key =
        fmt::format("{}|{}|{}|{}|{}|{}", facts.gpu, gpus, facts.gpus_per_node, facts.intra_gb_per_s,
                    facts.inter_gb_per_s_per_gpu, facts.fabric);
    const auto found = clusters_.find(key);
    if (found != clusters_.end()) return found->second;
    Result<Cluster> made = cluster_of(facts);
    Result<std::shared_ptr<const Cluster>> kept =
        made.ok() ? Result<std::shared_ptr<const Cluster>>(
                        std::make_shared<const Cluster>(std::move(*made)))
                  : Result<std::shared_ptr<const Cluster>>(std::move(made).error());
    return clusters_.emplace(key, std::move(kept)).first->second;
  }

 private:
  const Mapping& mapping_;
  std::map<std::string, Result<Trainer>> trainers_;
  std::map<std::string, Result<std::shared_ptr<const Cluster>>> clusters_;
};

/// Bytes of one unit of measured_peak_mem_gb. The column is meant in 1e9 bytes, but where the notes
/// say that it is in GiB the source's figure was taken as printed.
double memory_unit(std::string_view notes) {
  while (!notes.empty()) {
    const std::string_view note = notes.substr(0, notes.find(';'));
    notes.remove_prefix(std::min(notes.size(), note.size() + 1));
    const size_t unit = std::min(note.find("GiB"), note.find("MB as printed /1024"));
    if (unit == std::string_view::npos || note.find("converted") != std::string_view::npos)
      continue;
    // "65.97 GiB" is a figure of its own beside the column.
    const size_t before = unit == 0 ? unit : note.find_last_not_of(' ', unit - 1);
    if (unit > 0 && before != std::string_view::npos && note[before] >= '0' && note[before] <= '9')
      continue;
    return 1024.0 * 1024 * 1024;
  }
  return 1e9;
}

class CaseReader {
 public:
  CaseReader(const CsvTable& table, const Mapping& mapping)
      : table_(table), mapping_(mapping), caches_(mapping) {}

  Case read(const CsvRecord& record) {
    Case out;
    out.line = record.line;
    out.id = text(record, "id");
    if (out.id.empty()) out.id = fmt::format("line {}", record.line);
    out.source = text(record, "source");
    out.source_detail = text(record, "source_detail");
    out.family = mapping_.family_of(out.source);
    out.tier = text(record, "tier");
    out.model_name = text(record, "model");
    out.trainer_id = text(record, "trainer");
    out.gpu_id = text(record, "gpu_id");
    out.precision = text(record, "precision");
    out.flops_convention = text(record, "flops_convention");
    read_answer(record, out.measured);
    out.group =
        key(record, {"source", "framework", "trainer", "model", "layers", "hidden", "ffn", "heads",
                     "kv_heads", "vocab", "gated_mlp", "experts", "top_k", "seq_len",
                     "global_batch_seqs", "gpu", "gpu_id", "gpus", "gpus_per_node"});
    out.plan_key = key(record, {"micro_batch", "tp", "sp", "pp", "vpp", "cp", "ep", "dp",
                                "dp_shard", "recompute", "precision", "optimizer_offload"});
    if (!record.problem.empty()) {
      out.refusal = {ErrorKind::input, record.problem,
                     fmt::format("{}:{}", table_.name(), record.line), out.id, "row"};
      return out;
    }
    QuestionRow row(table_, record);
    Question question;
    const Status asked = ask(row, question);
    if (asked.ok()) {
      out.trainer_id = question.trainer.id;
      if (lower_case(out.flops_convention).find("not stated") != std::string::npos)
        out.flops_convention += "; " + mapping_.defaults_of(question.trainer.id).flops;
      out.gpu_id = question.cluster->gpu.id;
      out.gpus = question.cluster->gpus();
      out.nodes = question.cluster->nodes;
      out.question = std::move(question);
    } else {
      out.refusal = asked.error();
      out.states_too_little = out.refusal.rule == kStatesTooLittle;
    }
    return out;
  }

 private:
  std::string text(const CsvRecord& record, const char* column) const {
    return std::string(table_.cell(record, column));
  }
  std::string key(const CsvRecord& record, std::initializer_list<const char*> columns) const {
    std::string out;
    for (const char* column : columns) (out += table_.cell(record, column)) += '|';
    return out;
  }
  void read_answer(const CsvRecord& record, Measured& out) const {
    out.out_of_memory = lower_case(text(record, "outcome")) == "oom";
    const auto positive = [&](const char* column) -> std::optional<double> {
      const auto value = number_of(table_.cell(record, column));
      return value && *value > 0 ? value : std::nullopt;
    };
    out.step_s = positive("step_s");
    out.tflops_per_gpu = positive("measured_tflops_per_gpu");
    out.mfu = positive("measured_mfu");
    out.tokens_per_s_per_gpu = positive("measured_tokens_per_s_per_gpu");
    if (const auto gb = positive("measured_peak_mem_gb")) {
      const bool gib = mapping_.peaks_in_gib(table_.cell(record, "source_detail"));
      out.peak_memory_bytes = *gb * memory_unit(gib ? "GiB" : table_.cell(record, "notes"));
    }
  }

  /// What the row's words say beyond its columns.
  Status state(const QuestionRow& row, Question& out) const {
    std::string words;
    for (const char* column : {"id", "source_detail", "model", "framework", "flops_convention"})
      words += lower_case(row.text(column)) + "\n";
    const std::string precision = lower_case(row.text("precision"));
    int64_t sees = 0;
    std::string packed;
    for (const Statement& said : mapping_.statements()) {
      if (!said.holds(words, out.cluster->gpu.id, precision)) continue;
      if (said.of_experts && !out.model.moe) continue;
      Trainer& t = out.trainer;
      out.adapters_only = t.adapters_only = said.adapters_only.value_or(t.adapters_only);
      MESHPLAN_CHECK(read_facts(*said.trainer, t));
      out.model.tied_embeddings = said.tied_head.value_or(out.model.tied_embeddings);
      if (said.expert_tp) out.expert_tp = said.expert_tp;
      if (said.micro_batch) out.micro_batch = said.micro_batch;
      if (!said.recompute.empty()) out.recompute = said.recompute;
      if (said.sees_tokens) {
        sees = *said.sees_tokens;
        packed = said.says;
      } else if (said.recompute.empty() && !said.micro_batch) {  // else said where it is left open
        out.chosen.push_back(said.says);
      }
    }
    if (sees > 0 && out.model.window == 0 && out.model.sublayers == 0) {
      out.model.window = sees;
      out.chosen.push_back(packed);
    }
    return Done{};
  }

  Status ask(QuestionRow& row, Question& out) {
    MESHPLAN_TRY(out.trainer, caches_.trainer(row, out.chosen));
    const TrainerDefaults& defaults = mapping_.defaults_of(out.trainer.id);
    MESHPLAN_TRY(out.model, model_of(row, mapping_, defaults, out.chosen));
    MESHPLAN_TRY(const int64_t gpus, gpus_of(row, out.chosen));
    MESHPLAN_TRY(out.cluster, caches_.cluster(row, gpus, out.chosen));
    MESHPLAN_CHECK(state(row, out));
    if (const std::string name = plain_name(row.text("model"));
        name.rfind("bert", 0) == 0 || name.rfind("t5", 0) == 0)
      out.chosen.emplace_back("an encoder's attention is priced as causal");
    MESHPLAN_CHECK(plans_of(row, defaults, gpus, out));
    return savings_of(defaults, out);
  }

  Status savings_of(const TrainerDefaults& defaults, Question& out) {
    bool sharded = false;  // the only plans whose layers can go to the host
    for (const auto& level : out.levels)
      for (const Plan& plan : level) sharded = sharded || (plan.zero == 3 && plan.pp == 1);
    std::string names;
    for (const std::string& id : defaults.saving) {
      MESHPLAN_TRY(Trainer saving, caches_.by_id(id));
      if (saving.layers_on_host_share > 0 && !sharded) continue;
      saving.adapters_only = out.adapters_only;
      out.saving.push_back(std::move(saving));
      names += (names.empty() ? "" : ", ") + id;
    }
    if (!names.empty()) {
      out.chosen.push_back("settings that save memory: not stated; " + names +
                           " if nothing else fits");
    }
    return Done{};
  }

  const CsvTable& table_;
  const Mapping& mapping_;
  Caches caches_;
};

}  // namespace

Result<std::vector<Case>> cases_of(const CsvTable& table) {
  MESHPLAN_CHECK(table.require(QuestionRow::columns()));
  MESHPLAN_CHECK(table.require({"source"}));
  MESHPLAN_TRY(const Mapping mapping, Mapping::open());
  CaseReader reader(table, mapping);
  std::vector<Case> out;
  out.reserve(table.records().size());
  for (const CsvRecord& record : table.records()) out.push_back(reader.read(record));
  return out;
}

Result<std::vector<Case>> read_cases(const std::string& path) {
  MESHPLAN_TRY(const CsvTable table, CsvTable::open(path));
  return cases_of(table);
}

}  // namespace meshplan
