// SPDX-License-Identifier: Apache-2.0
#include "strategies/trainer/settings.hpp"

#include <filesystem>
#include <fstream>

#include "strategies/rules/rules.hpp"
#include "tests/unit/catch.hpp"

using namespace meshplan;

TEST_CASE("every trainer of the published runs is bundled, and each file names its sources") {
  for (const char* id : {"aleph-alpha",
                         "deepspeed",
                         "fair-fsdp",
                         "fsdp1",
                         "fsdp2",
                         "internevo",
                         "jax",
                         "jax-2022",
                         "llama3-meta",
                         "llm-foundry",
                         "llm.c",
                         "megatron-2020",
                         "megatron-2021",
                         "megatron-2022",
                         "megatron-core",
                         "nanotron",
                         "nemo-2022",
                         "pytorch-eager",
                         "megatron-deepspeed",
                         "mlperf-megatron",
                         "torchtitan",
                         "torchtitan-2025",
                         "torchtitan-eager",
                         "torchtitan-eager-2025",
                         "torchtitan-eager-2024",
                         "torchtune",
                         "meshplan",
                         "meshplan-gpu",
                         "nemo-2024",
                         "nemo-launcher-2024",
                         "mlperf-megatron-v3.0",
                         "mlperf-megatron-v3.1",
                         "megatron-bridge-2606"}) {
    const auto trainer = find_trainer(id);
    INFO(id << (trainer.ok() ? "" : render(trainer.error())));
    REQUIRE(trainer.ok());
    CHECK(trainer->id == id);
    CHECK(trainer->source.size() > 30);
  }
}

TEST_CASE("mechanisms that the sources state") {
  const Trainer sc21 = *find_trainer("megatron-2021");
  CHECK(sc21.attention == AttentionKernel::materialised);
  CHECK(sc21.dropout);
  CHECK_FALSE(sc21.overlap_grad_reduce);
  CHECK_FALSE(sc21.sequence_parallel_default);
  CHECK(sc21.p2p_scattered);
  CHECK(find_trainer("megatron-2022")->recompute_core_attention);
  const Trainer meta = *find_trainer("llama3-meta");
  CHECK(meta.gradient == DType::fp32);
  CHECK(meta.rank_order == "tp-cp-pp-dp");
  CHECK(meta.context_parallel_kinds == std::vector<std::string>{"all-gather"});
  CHECK_FALSE(find_trainer("torchtitan")->master_weights);
  CHECK(find_trainer("llm.c")->host == HostClass::native);
  CHECK(find_trainer("aleph-alpha")->zero_all_reduces == 1);
  const Trainer own = *find_trainer("meshplan");
  CHECK(own.compute.front() == DType::fp32);
  CHECK(own.context_bytes == 0);
}

TEST_CASE("a file that begins with another trainer states what differs") {
  const Trainer base = *find_trainer("aleph-alpha"), kernel = *find_trainer("aleph-alpha-rms");
  CHECK_FALSE(base.fused_norm);
  CHECK(kernel.fused_norm);
  CHECK(kernel.id == "aleph-alpha-rms");
  CHECK(kernel.aliases.empty());
  CHECK(kernel.zero_all_reduces == base.zero_all_reduces);
  CHECK(kernel.gradient_bf16 == base.gradient_bf16);
  CHECK(kernel.schedules == base.schedules);
  CHECK(kernel.overlap_p2p == base.overlap_p2p);
  CHECK(find_trainer("torchtune-saving")->host == find_trainer("torchtune")->host);
}

TEST_CASE("trainers are found by alias, the default is one of them, a misspelt one is answered") {
  CHECK(find_trainer("nemo")->id == "megatron-core");
  CHECK(default_trainer()->id == kDefaultTrainer);
  const auto misspelt = find_trainer("torchtitn");
  REQUIRE_FALSE(misspelt.ok());
  CHECK(misspelt.error().kind == ErrorKind::usage);
  CHECK(misspelt.error().hint == "did you mean 'torchtitan'?");
  CHECK_FALSE(find_trainer("").ok());
  CHECK_FALSE(find_trainer("../trainers/meshplan").ok());
}

TEST_CASE("a trainer file with a misspelt key, rule or schedule is refused with its line") {
  const auto refused = [](const std::string& text) {
    const auto path = std::filesystem::temp_directory_path() / "meshplan_trainer_test.yaml";
    std::ofstream(path) << "id: x\nname: X\nsource: [a paper]\n" << text;
    const auto trainer = read_trainer(path.string());
    std::filesystem::remove(path);
    return trainer.ok() ? Diagnostic{} : trainer.error();
  };
  CHECK(refused("plans:\n  max_zero: 1\n").message.empty());
  const Diagnostic key = refused("kernels:\n  fused_nrm: true\n");
  CHECK(key.hint == "did you mean 'fused_norm'?");
  CHECK(key.where.find(":5: kernels.fused_nrm") != std::string::npos);
  CHECK(refused("plans:\n  rules: [even-layer]\n").hint == "did you mean 'even-layers'?");
  CHECK(refused("plans:\n  schedules: [1f2b]\n").hint == "did you mean '1f1b'?");
  CHECK(refused("formats:\n  gradient: fp33\n").kind == ErrorKind::input);
}

TEST_CASE("a plan's settings of its trainer: what changes is noted, by section and key") {
  Trainer trainer = find_trainer("megatron-lm").value();
  REQUIRE(trainer.overlap_grad_reduce);
  REQUIRE(set(trainer, {"overlap", "grad_reduce", "true"}).ok());
  CHECK(trainer.settings.empty());
  REQUIRE(set(trainer, {"overlap", "tp", "ring"}).ok());
  REQUIRE(set(trainer, {"overlap", "grad_reduce", "false"}).ok());
  REQUIRE(set(trainer, {"kernels", "dropout", "true"}).ok());
  REQUIRE(set(trainer, {"overlap", "tp", "bulk"}).ok());
  CHECK_FALSE(trainer.overlap_grad_reduce);
  CHECK(trainer.tp_overlap == TpOverlap::bulk);
  CHECK(settings_text(trainer) ==
        "kernels.dropout: true, overlap.grad_reduce: false, overlap.tp: bulk");
  const Trainer before = trainer;
  CHECK(set(trainer, {"overlap", "grad_redduce", "false"}).error().hint ==
        "did you mean 'grad_reduce'?");
  CHECK_FALSE(set(trainer, {"plans", "max_zero", "1"}).ok());
  CHECK_FALSE(set(trainer, {"overlap", "tp", "most"}).ok());
  CHECK(trainer == before);
  REQUIRE(set(trainer, {"kernels", "dropout", "false"}).ok());  // as its file says
  CHECK(settings_text(trainer) == "overlap.grad_reduce: false, overlap.tp: bulk");
}
