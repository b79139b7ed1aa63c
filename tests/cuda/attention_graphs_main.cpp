// SPDX-License-Identifier: Apache-2.0
// Does cuDNN offer kernels for the attention of the executor, shape by shape, on a GPU that is only
// described? Needs no GPU and no driver: a loadable libcuda.so.1 (the toolkit's stub) is enough.
#include <fmt/format.h>

#include "profiler/cuda/attention.hpp"

using meshplan::Result;
using namespace meshplan::cuda;

namespace {

int failures = 0;

void expect(bool offered, const GraphQuestion& question) {
  const auto& s = question.shape;
  const Result<int64_t> engines = attention_engines(question, described_hopper(132));
  const bool has = engines.ok() && engines.value() > 0;
  fmt::print("{} heads {} {} queries {} keys {} dim {}: {}\n",
             question.backward ? (question.deterministic ? "deterministic backward" : "backward")
                               : "forward",
             s.heads, s.kv_heads, s.q_len, s.kv_len, s.head_dim,
             engines.ok() ? fmt::format("{} kernels", engines.value()) : engines.error().message);
  if (has != offered) {
    ++failures;
    fmt::print("  expected {}\n", offered ? "some" : "none");
  }
}

}  // namespace

int main() {
  for (const bool backward : {false, true}) {
    for (const bool deterministic : {false, true}) {
      if (deterministic && !backward) continue;
      for (const int64_t dim : {64, 128}) {
        expect(true, {{.batch = 1,
                       .q_len = 8192,
                       .kv_len = 8192,
                       .heads = 32,
                       .kv_heads = 8,
                       .head_dim = dim,
                       .head_dim_v = dim},
                      backward,
                      deterministic});
      }
      // the last of four chunks of a context-parallel rank, and a tensor-parallel shard
      expect(true, {{.batch = 1,
                     .q_len = 2048,
                     .kv_len = 8192,
                     .heads = 32,
                     .kv_heads = 8,
                     .head_dim = 128,
                     .head_dim_v = 128},
                    backward,
                    deterministic});
      expect(true, {{.batch = 2,
                     .q_len = 4096,
                     .kv_len = 4096,
                     .heads = 4,
                     .kv_heads = 1,
                     .head_dim = 128,
                     .head_dim_v = 128},
                    backward,
                    deterministic});
    }
  }
  // the check can fail: 7 is no head dimension that cuDNN takes
  expect(false, {{.batch = 1,
                  .q_len = 512,
                  .kv_len = 512,
                  .heads = 4,
                  .kv_heads = 4,
                  .head_dim = 7,
                  .head_dim_v = 7},
                 false,
                 false});
  fmt::print("{}\n", failures == 0 ? "as expected" : "NOT as expected");
  return failures == 0 ? 0 : 1;
}
