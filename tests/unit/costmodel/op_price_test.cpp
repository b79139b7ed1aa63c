// SPDX-License-Identifier: Apache-2.0
#include "costmodel/step/op_price.hpp"

#include "strategies/trainer/trainer.hpp"
#include "tests/unit/catch.hpp"

using namespace meshplan;

namespace {

constexpr int64_t kTokens = 1024, kVocabulary = 32000;

/// Passes over the logits from the largest value to the gradient.
double loss_passes(const char* trainer, DType logits) {
  const Trainer t = *find_trainer(trainer);
  double bytes = 0;
  for (const auto part : {CrossEntropy::Part::maximum, CrossEntropy::Part::sum,
                          CrossEntropy::Part::loss, CrossEntropy::Part::gradient}) {
    const Op op{CrossEntropy{part, kTokens, kVocabulary, logits, t.fused_cross_entropy},
                Module::loss,
                {},
                {}};
    bytes += traffic_bytes(op, t, DType::bf16);
  }
  return bytes / static_cast<double>(kTokens * kVocabulary * bytes_of(logits));
}

}  // namespace

TEST_CASE("cross-entropy: the passes of each implementation over the logits") {
  const auto is = [](double passes) { return Approx(passes).epsilon(1e-3); };
  CHECK(loss_passes("megatron-core", DType::bf16) == is(3));     // reads, reads, writes
  CHECK(loss_passes("nanotron", DType::fp32) == is(1 + 7 + 2));  // vocabulary-parallel
  CHECK(loss_passes("fsdp1", DType::fp32) == is(1 + 3 + 5));     // torch's log_softmax, nll_loss
  CHECK(loss_passes("megatron-lm", DType::bf16) == is(5 + 10 + 3));  // fp32 beside 16-bit logits
  // Composer goes over them again for two metrics: cast to fp32, log_softmax.
  CHECK(loss_passes("llm-foundry", DType::bf16) == is(3 + 2 * 9));
}

TEST_CASE("clipping: a norm reads the gradients; torch's also multiplies them in every step") {
  const Op norm{GradientNorm{1000, DType::fp32}, Module::state, {}, {}};
  CHECK(traffic_bytes(norm, *find_trainer("megatron-core"), DType::bf16) == 4000);
  CHECK(traffic_bytes(norm, *find_trainer("torchtitan"), DType::bf16) == 12000);
}

TEST_CASE("softmax of single kernels: 16-bit scores are cast to fp32 and back") {
  const Trainer t = *find_trainer("megatron-core");
  const auto per_score = [&](Pass pass, bool fused, DType value) {
    const Op op{Softmax{pass, 10, 100, fused}, Module::core_attention, {}, {}};
    return traffic_bytes(op, t, value) / 1000;
  };
  CHECK(per_score(Pass::forward, true, DType::bf16) == 2 * 2);
  CHECK(per_score(Pass::backward, true, DType::bf16) == 3 * 2);
  CHECK(per_score(Pass::forward, false, DType::bf16) == (2 + 4) + (4 + 4) + (4 + 4) + (4 + 2));
  CHECK(per_score(Pass::backward, false, DType::bf16) == (2 + 4) + (4 + 4 + 4) + (4 + 4) + (4 + 2));
  CHECK(per_score(Pass::forward, false, DType::fp32) == 6 * 4);
  CHECK(per_score(Pass::backward, false, DType::fp32) == 7 * 4);
}
