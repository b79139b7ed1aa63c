// SPDX-License-Identifier: Apache-2.0
// What Megatron-Bridge asks of its keys beyond what a plan may be (training/config.py:
// ConfigContainer.validate, training/comm_overlap.py).
#include <fmt/format.h>

#include "strategies/launch/common.hpp"
#include "strategies/launch/megatron_bridge/files.hpp"

namespace meshplan::launch::megatron_bridge {
namespace {

void one_length(const Config& c, Report& r) {
  int said = 0;
  for (const char* key : {"train.train_iters", "train.train_samples", "train.num_epochs"}) {
    const Setting* set = c.settings.find(key);
    if (set != nullptr && !set->value.is_null()) ++said;
  }
  if (said > 1)
    r.add("train.train_samples", "steps, samples and epochs all say how long to train",
          "one of them");
}

void sequences(const Config& c, Report& r) {
  const int64_t data = c.settings.integer("dataset.seq_length", 0);
  const int64_t model = c.settings.integer("model.seq_length", 0);
  if (data > 0 && model > 0 && data != model)
    r.add("model.seq_length", "data and model have sequences of different lengths",
          fmt::format("{}", data));
}

void gather(const Config& c, Report& r) {
  const Settings& s = c.settings;
  if (s.boolean("ddp.overlap_param_gather", false) &&
      !s.boolean("ddp.use_distributed_optimizer", true))
    r.add("ddp.overlap_param_gather", "there is no sharded optimizer whose weights are gathered",
          "ddp.use_distributed_optimizer=true");
}

void overlap(const Config& c, Report& r) {
  const Settings& s = c.settings;
  if (s.boolean("comm_overlap.tp_comm_overlap", false) &&
      (s.integer("model.tensor_model_parallel_size", 1) < 2 ||
       !s.boolean("model.sequence_parallel", false)))
    r.add("comm_overlap.tp_comm_overlap",
          "it is switched off: it needs tp > 1 and sequence "
          "parallelism",
          "model.sequence_parallel=true");
}

void preset(const Config& c, Report& r) {
  const std::string name = c.settings.text("comm_overlap.tp_comm_overlap_cfg", "");
  const int64_t tp = c.settings.integer("model.tensor_model_parallel_size", 1);
  const size_t at = name.find("_tp");
  if (at == std::string::npos) return;
  if (std::atoll(name.c_str() + at + 3) != tp)  // NOLINT: a number or 0
    r.add("comm_overlap.tp_comm_overlap_cfg", fmt::format("the preset is not for tp {}", tp),
          "null, or the preset of this tp");
}

void fsdp_checkpoint(const Config& c, Report& r) {
  const Settings& s = c.settings;
  if (s.boolean("ddp.use_megatron_fsdp", false) &&
      s.text("checkpoint.ckpt_format", "torch_dist") != "fsdp_dtensor")
    r.add("checkpoint.ckpt_format", "Megatron-FSDP has a checkpoint format of its own",
          "fsdp_dtensor");
}

}  // namespace

std::vector<ConfigRule> rules() {
  return {
      {"one-length", "steps, samples or epochs say how long to train", one_length},
      {"one-sequence", "data and model have sequences of one length", sequences, false},
      {"gather-needs-shards", "overlapped gathers need a sharded optimizer", gather, false},
      {"overlap-needs-sp", "overlap of tensor parallelism needs tp > 1 and sequence parallelism",
       overlap, false},
      {"overlap-preset", "the preset of the overlap is for this tp", preset},
      {"fsdp-checkpoint", "Megatron-FSDP has its own checkpoint format", fsdp_checkpoint},
  };
}

}  // namespace meshplan::launch::megatron_bridge
