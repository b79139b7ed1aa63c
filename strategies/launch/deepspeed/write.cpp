// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "strategies/launch/deepspeed/files.hpp"
#include "strategies/launch/trainers.hpp"

namespace meshplan::launch {
namespace deepspeed {

Result<std::string> write(const Job& job, Version) {
  using Ordered = nlohmann::ordered_json;
  const Plan& p = job.plan;
  Ordered out;
  out["train_batch_size"] = job.batch.global_sequences;
  out["train_micro_batch_size_per_gpu"] = p.micro_batch;
  out["gradient_accumulation_steps"] = job.batch.micro_batches(p);
  out["gradient_clipping"] = 1.0;
  if (p.compute == DType::bf16) out["bf16"] = {{"enabled", true}};
  if (p.compute == DType::fp16) out["fp16"] = {{"enabled", true}};
  if (p.compute != DType::fp32) out["data_types"] = {{"grad_accum_dtype", name_of(p.gradient)}};
  Ordered zero;
  zero["stage"] = p.zero;
  zero["overlap_comm"] = job.trainer.overlap_grad_reduce;
  zero["contiguous_gradients"] = true;
  if (p.optimizer_offload) zero["offload_optimizer"] = {{"device", "cpu"}, {"pin_memory", true}};
  out["zero_optimization"] = std::move(zero);
  if (p.tp > 1) out["tensor_parallel"] = {{"autotp_size", p.tp}};
  if (p.cp > 1) out["sequence_parallel_size"] = p.cp;
  if (p.ep > 1) out["expert_parallel"] = {{"enabled", true}, {"autoep_size", p.ep}};
  return out.dump(2) + "\n";
}

}  // namespace deepspeed

const TrainerFiles& deepspeed_files() {
  static const TrainerFiles files = {
      .id = "deepspeed",
      .name = "DeepSpeed with Hugging Face models",
      .plans = "deepspeed",
      .file = "deepspeed.json",
      .versions = {{0, 19}},
      .knobs = {{"--tp", "tensor_parallel.autotp_size"},
                {"--cp", "sequence_parallel_size"},
                {"--ep", "expert_parallel.autoep_size"},
                {"--zero", "zero_optimization.stage"},
                {"--micro-batch", "train_micro_batch_size_per_gpu"},
                {"--global-batch", "train_batch_size"},
                {"--offload-optimizer", "zero_optimization.offload_optimizer.device"},
                {"--recompute", "torchrun.sh: --gradient_checkpointing"},
                {"--seq", "torchrun.sh: --block_size"}},
      .rules = deepspeed::rules(),
      .limits = {{"--recompute", "recompute is the script's, see torchrun.sh"},
                 {"--etp", "experts are cut by expert parallelism only"}},
      .write = deepspeed::write,
      .start =
          [](const Job& job, Version) {
            Start start;
            start.program = fmt::format(
                "\"${{TRAIN:?a training script for the HF Trainer, such as run_clm.py}}\" \\\n"
                "  --deepspeed deepspeed.json --per_device_train_batch_size {} "
                "--gradient_accumulation_steps {} --block_size {}{}{} ${{TRAIN_ARGS:-}}",
                job.plan.micro_batch, job.batch.micro_batches(job.plan), job.batch.sequence,
                job.plan.recompute == Recompute::full ? " --gradient_checkpointing" : "",
                job.plan.compute == DType::bf16   ? " --bf16"
                : job.plan.compute == DType::fp16 ? " --fp16"
                                                  : "");
            start.needs = {"deepspeed 0.19, transformers, torch",
                           "a training script in `TRAIN`, its model and data in `TRAIN_ARGS`; it "
                           "takes the flags of torchrun.sh"};
            return start;
          },
      .read = deepspeed::read};
  return files;
}

}  // namespace meshplan::launch
