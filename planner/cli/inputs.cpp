// SPDX-License-Identifier: Apache-2.0
#include "planner/cli/inputs.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "costmodel/cpu/gpu_measures.hpp"
#include "planner/planfile/planfile.hpp"
#include "planner/report/format.hpp"
#include "strategies/trainer/settings.hpp"
#include "topologies/base/nearest.hpp"

namespace meshplan::cli {
namespace {

constexpr int64_t kDefaultTokens = int64_t{4} << 20;
constexpr int64_t kDefaultSequence = 8192;
constexpr std::array kFormats = {DType::bf16, DType::fp16, DType::fp8, DType::fp32};

Result<DType> format_from(const std::string& text) {
  for (const DType type : kFormats)
    if (text == name_of(type)) return type;
  return Diagnostic{.kind = ErrorKind::usage,
                    .message = "there is no such number format",
                    .where = "--precision",
                    .value = text,
                    .hint = suggest(text, {"bf16", "fp16", "fp8", "fp32"})};
}

/// Formats of products that the trainer offers and the GPU has.
std::vector<DType> formats_of(const report::Question& q) {
  std::vector<DType> out;
  for (const DType type : kFormats) {
    const auto& offered = q.trainer.compute;
    if ((offered.empty() || std::find(offered.begin(), offered.end(), type) != offered.end()) &&
        q.cluster.gpu.peak_flops_per_s(type) > 0)
      out.push_back(type);
  }
  return out;
}

/// As the flag or the plan file says; else bf16, or the next that trainer and GPU have.
Status read_precision(const InputFlags& flags, report::Question& q) {
  const std::vector<DType> formats = formats_of(q);
  if (flags.precision.empty() && !q.plan) {
    if (formats.empty() || formats.front() == q.compute) return Done{};
    q.compute = formats.front();
    q.defaults.push_back(fmt::format("--precision {}", name_of(q.compute)));
    return Done{};
  }
  if (!flags.precision.empty()) {
    MESHPLAN_TRY(q.compute, format_from(flags.precision));
  }
  if (q.cluster.gpu.peak_flops_per_s(q.compute) > 0) return Done{};
  std::vector<std::string_view> names;
  names.reserve(formats.size());
  for (const DType type : formats) names.push_back(name_of(type));
  const bool stated = !flags.precision.empty();
  return Diagnostic{.kind = stated ? ErrorKind::usage : ErrorKind::input,
                    .message = fmt::format("{} has no products in this format", q.cluster.gpu.id),
                    .where = stated ? "--precision" : flags.model + ": compute",
                    .value = std::string(name_of(q.compute)),
                    .hint = fmt::format("{}", fmt::join(names, ", "))};
}

/// In place of the trainer's rule and of a plan file's choice.
Status read_gradients(const InputFlags& flags, report::Question& q) {
  if (flags.gradients.empty()) return Done{};
  const bool narrow = flags.gradients == "bf16";
  Diagnostic wrong{.kind = ErrorKind::usage, .where = "--gradients", .value = flags.gradients};
  if (!narrow && flags.gradients != "fp32") {
    wrong.message = "gradients are not accumulated in this format";
    wrong.hint = "fp32, bf16";
    return wrong;
  }
  if (narrow && q.compute == DType::fp32) {
    wrong.message = "products in fp32 accumulate their gradients in fp32";
    wrong.hint = "--gradients fp32, or --precision bf16";
    return wrong;
  }
  q.trainer.gradient = q.trainer.gradient_bf16 = narrow ? DType::bf16 : DType::fp32;
  if (q.plan) q.plan->gradient = gradient_of(q.trainer, q.plan->compute);
  return Done{};
}

Status read_batch(const InputFlags& flags, report::Question& q) {
  if (!flags.sequence.empty()) {
    MESHPLAN_TRY(q.batch.sequence, whole_number(flags.sequence, "--seq"));
  } else if (q.batch.sequence == 0) {
    const int64_t longest = q.model.max_positions;
    q.batch.sequence = longest > 0 ? std::min(longest, kDefaultSequence) : kDefaultSequence;
    q.defaults.push_back(fmt::format("--seq {}", q.batch.sequence));
  }
  if (!flags.global_batch.empty() && !flags.global_batch_tokens.empty())
    return Diagnostic{.kind = ErrorKind::usage,
                      .message = "--global-batch and --global-batch-tokens say the same thing",
                      .where = "--global-batch-tokens",
                      .value = flags.global_batch_tokens,
                      .hint = "give one of them: sequences, or tokens"};
  if (!flags.global_batch.empty()) {
    MESHPLAN_TRY(q.batch.global_sequences, whole_number(flags.global_batch, "--global-batch"));
  } else if (!flags.global_batch_tokens.empty()) {
    MESHPLAN_TRY(const int64_t tokens,
                 whole_number(flags.global_batch_tokens, "--global-batch-tokens"));
    if (tokens % q.batch.sequence != 0) {
      const int64_t below = tokens / q.batch.sequence * q.batch.sequence;
      return Diagnostic{
          .kind = ErrorKind::usage,
          .message = fmt::format("not a whole number of sequences of {} tokens", q.batch.sequence),
          .where = "--global-batch-tokens",
          .value = flags.global_batch_tokens,
          .hint = below > 0 ? fmt::format("{} or {}", below, below + q.batch.sequence)
                            : fmt::format("{}", q.batch.sequence)};
    }
    q.batch.global_sequences = tokens / q.batch.sequence;
  } else if (q.batch.global_sequences == 0) {
    q.batch.global_sequences = default_global_batch(q.batch.sequence, q.cluster.gpus());
    q.defaults.push_back(fmt::format("--global-batch {}", q.batch.global_sequences));
  }
  return Done{};
}

Status read_machine(const InputFlags& flags, report::Question& q) {
  if (flags.cluster.empty())
    return Diagnostic{.kind = ErrorKind::usage,
                      .message = "CLUSTER is missing",
                      .hint =
                          "MODEL CLUSTER, e.g. llama3-70b 64x8xH100; or the path of a plan "
                          "file alone"};
  MESHPLAN_TRY(q.model, find_model(flags.model));
  auto cluster = find_cluster(flags.cluster);
  if (!cluster.ok()) {
    Diagnostic error = cluster.error();
    if (error.kind == ErrorKind::usage && error.where.empty()) error.where = "cluster";
    return error;
  }
  q.cluster = std::move(cluster).value();
  return Done{};
}

/// "overlap.tp=none"
Status read_setting(const std::string& text, Trainer& trainer) {
  const size_t dot = text.find('.'), equals = text.find('=');
  if (dot == std::string::npos || equals == std::string::npos || equals < dot)
    return Diagnostic{.kind = ErrorKind::usage,
                      .message = "a setting is SECTION.KEY=VALUE",
                      .where = "--set",
                      .value = text,
                      .hint =
                          "overlap.tp=none; the sections are kernels, formats, overlap, host "
                          "and memory"};
  Status status = set(trainer, {text.substr(0, dot), text.substr(dot + 1, equals - dot - 1),
                                text.substr(equals + 1)});
  if (status.ok()) return status;
  Diagnostic error = at(status.error(), "--set");
  error.kind = ErrorKind::usage;
  return error;
}

}  // namespace

int64_t default_global_batch(int64_t sequence, int64_t gpus) {
  const int64_t wanted = std::max<int64_t>(1, kDefaultTokens / sequence);
  int64_t step = gpus;
  while (step > wanted && step % 2 == 0) step /= 2;
  return (wanted + step - 1) / step * step;
}

void add_input_flags(CLI::App& app, InputFlags& flags) {
  app.add_option("MODEL", flags.model,
                 "bundled name, also as the Hugging Face hub has it, path to config.json, size "
                 "such as 70B, or a plan file");
  app.add_option("CLUSTER", flags.cluster,
                 "bundled name, path, NODESxGPUS_PER_NODExGPU or GPUSxGPU");
  const char* group = "Inputs";
  const auto text = [&](const char* name, std::string& to, const char* about) {
    app.add_option(name, to, about)->group(group);
  };
  text("--gpus", flags.gpus, "take this many GPUs of the cluster");
  text("--seq", flags.sequence,
       "tokens a sequence; else what the model was made for, at most 8192");
  text("--global-batch", flags.global_batch, "sequences a step; else about 4 million tokens");
  text("--global-batch-tokens", flags.global_batch_tokens, "the same in tokens");
  text("--trainer", flags.trainer,
       "whose kernels, overlap and rules; see 'meshplan list trainers'");
  app.add_option("--set", flags.settings,
                 "overlap.tp=none: a fact of the trainer otherwise than in its file "
                 "(strategies/data/trainers); may be repeated")
      ->group(group)
      ->allow_extra_args(false);
  text("--gpu-profile", flags.gpu_profile,
       "file of 'meshplan profile --device cuda': what it has measured prices this GPU");
  text("--precision", flags.precision,
       "products in bf16 (default where the GPU has it), fp16, fp8 or fp32");
  text("--gradients", flags.gradients,
       "weight gradients accumulated in fp32 or bf16; else as the trainer does");
  text("--flops-convention", flags.convention,
       "what tflops_per_gpu and mfu count: causal (default), full_square, all_parameters, "
       "parameters_only, with_recompute");
  app.add_flag("--json", flags.json, "one JSON document on standard output")->group("Output");
}

Result<report::Question> resolve(const InputFlags& flags) {
  report::Question q;
  if (flags.model.empty())
    return Diagnostic{.kind = ErrorKind::usage,
                      .message = "MODEL and CLUSTER are missing",
                      .hint = "e.g. llama3-70b 64x8xH100; --help says more"};
  if (flags.cluster.empty() && planfile::is_plan_file(flags.model)) {
    MESHPLAN_TRY(planfile::PlanFile file, planfile::read(flags.model));
    q.model = std::move(file.model);
    q.cluster = std::move(file.cluster);
    q.trainer = std::move(file.trainer);
    q.batch = file.batch;
    q.compute = file.plan.compute;
    // A plan that is searched in its place accumulates gradients as it does.
    q.trainer.gradient = q.trainer.gradient_bf16 = file.plan.gradient;
    q.plan = std::move(file.plan);
  } else {
    MESHPLAN_CHECK(read_machine(flags, q));
  }
  if (!flags.gpus.empty()) {
    MESHPLAN_TRY(const int64_t gpus, whole_number(flags.gpus, "--gpus"));
    auto cluster = with_gpus(q.cluster, gpus);
    if (!cluster.ok()) return at(cluster.error(), "--gpus");
    q.cluster = std::move(cluster).value();
  }
  if (!flags.gpu_profile.empty()) {
    if (const auto read = GpuMeasures::load(flags.gpu_profile); !read.ok()) return read.error();
    for (std::string* table : {&q.cluster.gpu.kernel_table, &q.cluster.gpu.collective_table}) {
      *table = with_profile(flags.gpu_profile, *table);
    }
  }
  MESHPLAN_CHECK(read_batch(flags, q));
  if (!flags.trainer.empty()) {
    MESHPLAN_TRY(q.trainer, find_trainer(flags.trainer));
  } else if (q.trainer.id.empty()) {
    MESHPLAN_TRY(q.trainer, default_trainer());
    q.defaults.push_back("--trainer " + q.trainer.id);
  }
  for (const std::string& setting : flags.settings)
    MESHPLAN_CHECK(read_setting(setting, q.trainer));
  MESHPLAN_CHECK(read_precision(flags, q));
  MESHPLAN_CHECK(read_gradients(flags, q));
  if (!flags.convention.empty()) {
    auto convention = flops_convention_from(flags.convention);
    if (!convention.ok()) return at(convention.error(), "--flops-convention");
    q.convention = convention.value();
  }
  return q;
}

}  // namespace meshplan::cli
