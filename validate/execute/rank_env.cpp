// SPDX-License-Identifier: Apache-2.0
#include "validate/execute/rank_env.hpp"

#include <cmath>
#include <numbers>
#include <numeric>

#include "profiler/kernels/rope.hpp"

namespace meshplan {

double learning_rate(const RunOptions& options, int64_t step) {
  const double rate = options.adamw.learning_rate;
  if (step < options.warmup_steps) {
    return rate * static_cast<double>(step + 1) / static_cast<double>(options.warmup_steps);
  }
  if (options.decay_steps <= 0) return rate;
  const double done = std::min(1.0, static_cast<double>(step - options.warmup_steps) /
                                        static_cast<double>(options.decay_steps));
  const double low = options.final_share;
  return rate * (low + (1 - low) * (1 + std::cos(std::numbers::pi * done)) / 2);
}

RankEnv::RankEnv(const Program& program, const RunOptions& options, RankPlace place, Device& device)
    : program_(&program), options_(&options), place_(std::move(place)), device_(&device) {
  make_positions();
}

void RankEnv::make_positions() {
  const int cp = plan().cp;
  const int64_t sequence = program_->batch.sequence;
  for (int r = 0; r < cp; ++r) {
    std::vector<int32_t> own;
    const int64_t chunk = sequence / (int64_t{2} * cp);
    for (const int64_t c : {int64_t{r}, int64_t{2 * cp - 1 - r}}) {
      for (int64_t i = 0; i < chunk; ++i) own.push_back(static_cast<int32_t>(c * chunk + i));
    }
    if (cp == 1) {
      own.resize(static_cast<size_t>(sequence));
      std::iota(own.begin(), own.end(), 0);
    }
    if (r == place_.cp) tokens_ = own;
    if (options_->fault == Fault::rope_offset) std::iota(own.begin(), own.end(), 0);
    gathered_.insert(gathered_.end(), own.begin(), own.end());
    positions_.push_back(std::move(own));
  }
  const std::vector<int32_t>& own = positions(place_.cp);
  for (int i = 0; i < plan().micro_batch; ++i) rows_.insert(rows_.end(), own.begin(), own.end());

  const Model& model = program_->model;
  if (model.positions != Positions::rope) return;
  cpu::RopeConfig config{.head_dim = model.head_dim, .theta = model.rope_theta};
  if (model.rope_scaling == RopeScaling::llama3) {
    config.scaling = {model.rope_factor, model.rope_low_freq_factor, model.rope_high_freq_factor,
                      model.rope_original_positions};
  }
  const auto size = static_cast<size_t>(sequence * model.head_dim / 2);
  cosine_.resize(size);
  sine_.resize(size);
  cpu::rope_table(config, sequence, cosine_.data(), sine_.data());
}

double RankEnv::token_weight() const {
  const double share = options_->fault == Fault::no_data_share ? plan().dp() : 1;
  return share / tokens_per_step();
}

Result<std::unique_ptr<RankEnv>> RankEnv::make(World& world, const Program& program,
                                               const RunOptions& options, Device& device) {
  MESHPLAN_TRY(RankPlace place,
               place_of_rank(program.plan, program.trainer.rank_order, world.rank()));
  std::unique_ptr<RankEnv> env(new RankEnv(program, options, std::move(place), device));
  for (int g = 0; g < kGroups; ++g) {
    const auto group = static_cast<Group>(g);
    const std::vector<int>& members = env->place_.of(group);
    if (members.size() < 2 || (group == Group::tied && !program.tied_across_stages)) continue;
    MESHPLAN_TRY(env->groups_[static_cast<size_t>(g)], world.group(members, name_of(group)));
  }
  return env;
}

}  // namespace meshplan
