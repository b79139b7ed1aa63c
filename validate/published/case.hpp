// SPDX-License-Identifier: Apache-2.0
// What does one published run ask for, and what was measured?
//
// The question (model, batch, trainer, cluster, candidate plans) is kept apart from the answer. A
// question is built from QuestionRow, which does not hold the columns step_s, measured_*, outcome,
// tier and notes: no rule for what a row leaves open can read them.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "strategies/model/model.hpp"
#include "strategies/plan/plan.hpp"
#include "strategies/trainer/trainer.hpp"
#include "topologies/base/result.hpp"
#include "topologies/cluster/cluster.hpp"

namespace meshplan {

struct Measured {
  bool out_of_memory = false;
  std::optional<double> step_s;  ///< seconds of one optimizer step
  std::optional<double> tflops_per_gpu;
  std::optional<double> mfu;
  std::optional<double> tokens_per_s_per_gpu;
  std::optional<double> peak_memory_bytes;
};

struct Question {
  Model model;
  Batch batch;
  Trainer trainer;
  std::shared_ptr<const Cluster> cluster;  ///< the same object for rows on the same machine
  bool adapters_only = false;              ///< LoRA: the weights of the model are frozen
  // What the row's words say beyond its columns.
  std::optional<int64_t> expert_tp;
  std::string recompute;               ///< by the source's recipes, where a row leaves it open
  std::optional<int64_t> micro_batch;  ///< sequences, where its column is empty
  /// The same trainer with settings of its recipes that save memory, fewest first; the first with
  /// which a plan fits is taken if none fits without.
  std::vector<Trainer> saving;
  /// Candidates where the row leaves something open. Levels in order of preference: of the first
  /// level that has a plan that fits, the fastest fitting plan is predicted.
  std::vector<std::vector<Plan>> levels;
  std::vector<std::string> chosen;  ///< what was not stated and by which rule it was filled
};

struct Case {
  int line = 0;  ///< of the table
  std::string id, source, source_detail;
  std::string family;  ///< of sources that count as one
  std::string tier;    ///< gold, silver, bronze; may be empty
  std::string model_name, trainer_id, gpu_id, precision, flops_convention;
  int64_t gpus = 0;
  int64_t nodes = 1;
  /// Equal for rows that differ only in the plan: source, trainer, model, GPU, count, batch,
  /// sequence. Empty if the row has no id of that kind.
  std::string group;
  /// Equal for rows of a group with the same plan columns.
  std::string plan_key;

  Measured measured;
  std::optional<Question> question;  ///< empty: refused
  Diagnostic refusal;                ///< meaningful only without a question
  /// Refused because the row lacks what no rule can fill (sizes of the model, GPUs, GPU); such rows
  /// count neither for nor against the memory scores.
  bool states_too_little = false;
};

/// Diagnostic::rule of a refusal for lack of statements.
constexpr const char* kStatesTooLittle = "states-too-little";

}  // namespace meshplan
