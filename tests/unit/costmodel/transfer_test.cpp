// SPDX-License-Identifier: Apache-2.0
#include "costmodel/step/estimate.hpp"
#include "strategies/model/model.hpp"
#include "tests/unit/catch.hpp"

namespace meshplan {
namespace {

const Calibration& a100() {
  static CalibrationCache cache;
  return **cache.get(*find_gpu("a100-sxm4-80gb"));
}

}  // namespace

TEST_CASE("collectives in a step are slower between nodes only") {
  const Trainer trainer;
  PriceContext context{a100().kernels, a100().collectives, trainer, DType::bf16, {}};
  GroupLinks& links = context.links[static_cast<size_t>(Group::tp)];
  links.ranks = links.ranks_per_node = 8;
  links.nodes = links.hosts = 1;
  links.nvlink = true;
  links.intra_bytes_per_s = 300e9;
  const auto seconds = [&](double slowdown) {
    context.network_slowdown = slowdown;
    const Collective op{CollectiveOp::all_gather, Group::tp, 100'000'000, DType::bf16};
    return price(Op{op, Module::qkv, {}, {}}, context).seconds;
  };
  CHECK(seconds(2) == Approx(seconds(1)));
  links.ranks = 16;
  links.nodes = links.hosts = 2;
  links.inter_bytes_per_s = 25e9;
  CHECK(seconds(2) == Approx(2 * seconds(1)));
}

TEST_CASE("a reduce-scatter that a trainer does as an all-reduce takes as long as one") {
  const Trainer trainer;
  PriceContext context{a100().kernels, a100().collectives, trainer, DType::bf16, {}};
  GroupLinks& links = context.links[static_cast<size_t>(Group::shard)];
  links.ranks = links.ranks_per_node = 8;
  links.intra_bytes_per_s = 300e9;
  const auto seconds = [&](CollectiveOp op, bool whole) {
    Collective body{op, Group::shard, 100'000'000, DType::bf16};
    body.whole = whole;
    return price(Op{body, Module::state, {}, {}}, context).seconds;
  };
  const double summed = seconds(CollectiveOp::all_reduce, false);
  CHECK(seconds(CollectiveOp::reduce_scatter, true) == summed);
  CHECK(seconds(CollectiveOp::reduce_scatter, false) < 0.7 * summed);
}

TEST_CASE("layers that are reduced in one bucket share its latency") {
  const Trainer trainer;
  PriceContext context{a100().kernels, a100().collectives, trainer, DType::bf16, {}};
  GroupLinks& links = context.links[static_cast<size_t>(Group::shard)];
  links.ranks = 256;
  links.ranks_per_node = 8;
  links.nodes = links.hosts = 32;
  links.intra_bytes_per_s = 300e9;
  links.inter_bytes_per_s = 25e9;
  const auto seconds = [&](int64_t bytes, int64_t pooled) {
    Collective body{CollectiveOp::reduce_scatter, Group::shard, bytes, DType::bf16};
    body.pooled = pooled;
    return price(Op{body, Module::state, {}, {}}, context).seconds;
  };
  CHECK(10 * seconds(20'000'000, 200'000'000) == Approx(seconds(200'000'000, 0)));
  CHECK(seconds(20'000'000, 200'000'000) < 0.7 * seconds(20'000'000, 0));
}

TEST_CASE("kernels of makers without measured libraries have a slowdown of their own") {
  Constants constants;
  constants.kernel_slowdown = 1.1;
  constants.network_slowdown = 1.6;
  constants.other_libraries = 1.5;
  for (const auto& [name, slower] : {std::pair{"8xH100", 1.0}, {"8xMI300X", 1.5}}) {
    const auto costs = CostModel::load(*find_cluster(name), constants);
    REQUIRE(costs.ok());
    const auto links = (*costs)->links(Plan{}, Trainer{});
    REQUIRE(links.ok());
    const PriceContext context = (*costs)->context(Plan{}, Trainer{}, *links);
    CHECK(context.kernel_slowdown == Approx(1.1 * slower));
    CHECK(context.network_slowdown == 1.6);
  }
}

TEST_CASE("norms have the rate of their own kernels, above that of a copy") {
  const Trainer trainer;
  const PriceContext context{a100().kernels, a100().collectives, trainer, DType::bf16, {}};
  const Norm norm{Pass::backward, NormType::rms, 4096, 8192, true};
  const double own = price(Op{norm, Module::norm, {}, {}}, context).seconds;
  CHECK(own == Approx(a100().kernels.norm(norm, DType::bf16).seconds));
  CHECK(own > a100().kernels.memory_bound(3.0 * 4096 * 8192 * 2).seconds);
}

TEST_CASE("a pipeline send in parts: an eighth over the network, then a gather inside the node") {
  const Cluster cluster = *find_cluster("2x8xA100");
  const Model model = *find_model("llama2-7b");
  Plan plan;
  plan.tp = 8;
  plan.pp = 2;
  plan.sequence_parallel = false;
  const Batch batch{2048, 4};
  Constants constants;
  const auto costs = CostModel::load(cluster, constants);
  REQUIRE(costs.ok());
  const auto p2p = [&](bool scattered, bool sp) {
    Trainer trainer;
    trainer.p2p_scattered = scattered;
    plan.sequence_parallel = sp;
    StepDetail detail;
    EstimateOptions options;
    options.detail = &detail;
    options.check_rules = false;
    REQUIRE(estimate_step(**costs, model, plan, batch, trainer, options).ok());
    return detail.pipeline.p2p_s;
  };
  const double bytes = 2048.0 * 4096 * 2;
  const auto links = (*costs)->links(plan, Trainer{});
  REQUIRE(links.ok());
  const GroupLinks& pp = links->links[static_cast<size_t>(Group::pp)];
  const GroupLinks& tp = links->links[static_cast<size_t>(Group::tp)];
  const CollectiveModel& collectives = (*costs)->collectives();
  const double gather = collectives.time(CollectiveOp::all_gather, bytes, tp).seconds;
  CHECK(p2p(false, false) == Approx(collectives.p2p(bytes, pp).seconds));
  CHECK(p2p(true, false) == Approx(collectives.p2p(bytes / 8, pp).seconds + gather));
  CHECK(p2p(true, false) < p2p(false, false));
  // With sequence parallelism a rank has its own part already.
  CHECK(p2p(true, true) == Approx(collectives.p2p(bytes / 8, pp).seconds));
}

}  // namespace meshplan
