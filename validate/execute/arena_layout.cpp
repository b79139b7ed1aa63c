// SPDX-License-Identifier: Apache-2.0
#include "validate/execute/arena_layout.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

#include "validate/execute/lone_world.hpp"
#include "validate/execute/stage_runner.hpp"

namespace meshplan {
namespace {

int64_t aligned(int64_t bytes) {
  return (bytes + kMemoryAlignment - 1) / kMemoryAlignment * kMemoryAlignment;
}

/// Does nothing, at once.
class NoDevice : public Device {
 public:
  Result<std::byte*> reserve(int64_t) override { return nothing(); }
  Status upload(const void*, int64_t, std::byte*) override { return Done{}; }
  Status download(const std::byte*, int64_t, void*) override { return Done{}; }
  Status zero(int64_t, std::byte*) override { return Done{}; }
  Status convert(int64_t, Tensor, Tensor) override { return Done{}; }
  Status accumulate(int64_t, Tensor, Tensor) override { return Done{}; }
  Status scale(int64_t, float, Tensor) override { return Done{}; }
  Status add_squared_norm(int64_t, Tensor, int) override { return Done{}; }
  Status sum_and_norm(const SumAndNorm&) override { return Done{}; }
  Status sum(std::span<const Tensor>, int64_t, Tensor) override { return Done{}; }
  Status adamw(const cpu::AdamW&, int64_t, double, int64_t, Tensor, Tensor, Tensor, Tensor,
               Tensor) override {
    return Done{};
  }
  Status apply(const Op&, const OpSite&) override { return Done{}; }
  Result<StepSums> take_sums() override { return StepSums{}; }
  Status occupy(int, double) override { return Done{}; }
  Status wait() override { return Done{}; }
  std::string about() const override { return "none"; }
  Result<bool> begin_repeated(const RepeatedWork&) override { return true; }
  Status end_repeated() override { return Done{}; }
  Result<std::byte*> scratch(int, int64_t) override { return nothing(); }

 private:
  std::byte* nothing() { return &nothing_; }
  std::byte nothing_{};
};

class NoTokens : public TokenSource {
 public:
  Status read(int64_t, int64_t, int64_t, int32_t*) const override { return Done{}; }
};

}  // namespace

ArenaLayout lay_out(std::span<const Life> lives, size_t first_step) {
  ArenaLayout layout{.first_step = first_step};
  layout.offset.resize(lives.size());
  for (const Life& life : lives) layout.size.push_back(life.bytes);
  for (size_t i = 0; i < first_step; ++i) {
    layout.offset[i] = layout.bytes;
    layout.bytes += aligned(lives[i].bytes);
  }
  const int64_t states = layout.bytes;
  std::vector<size_t> order(lives.size() - first_step);
  std::iota(order.begin(), order.end(), first_step);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return lives[a].bytes > lives[b].bytes; });
  const auto end_of = [&](size_t i) {
    return lives[i].end < 0 ? std::numeric_limits<int64_t>::max() : lives[i].end;
  };
  std::vector<size_t> placed;  // by offset
  for (const size_t i : order) {
    int64_t at = states;
    for (const size_t other : placed) {
      if (lives[other].begin >= end_of(i) || lives[i].begin >= end_of(other)) continue;
      if (layout.offset[other] >= at + aligned(lives[i].bytes)) break;
      at = std::max(at, layout.offset[other] + aligned(lives[other].bytes));
    }
    layout.offset[i] = at;
    layout.bytes = std::max(layout.bytes, at + aligned(lives[i].bytes));
    placed.insert(
        std::upper_bound(placed.begin(), placed.end(), i,
                         [&](size_t a, size_t b) { return layout.offset[a] < layout.offset[b]; }),
        i);
  }
  return layout;
}

Result<ArenaLayout> lay_out_rank(const Program& program, const RunOptions& options, int rank) {
  NoDevice device;
  LoneWorld world(rank, static_cast<int>(program.plan.world()), nullptr);
  RunOptions silent = options;
  silent.observe = nullptr;
  MESHPLAN_TRY(const std::unique_ptr<RankEnv> env, RankEnv::make(world, program, silent, device));
  const NoTokens tokens;
  StageRunner runner(*env, tokens);
  MESHPLAN_CHECK(runner.create(nullptr));
  const size_t states = runner.arena().lives().size();
  MESHPLAN_CHECK(runner.pass(0));
  runner.close();
  return lay_out(runner.arena().lives(), states);
}

}  // namespace meshplan
