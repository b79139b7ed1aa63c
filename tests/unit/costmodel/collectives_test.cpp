// SPDX-License-Identifier: Apache-2.0
#include "costmodel/collectives/collectives.hpp"

#include <cmath>
#include <iterator>
#include <numeric>

#include "costmodel/collectives/node_table.hpp"
#include "costmodel/collectives/normal.hpp"
#include "tests/unit/catch.hpp"

namespace meshplan {
namespace {

constexpr double kMiB = 1 << 20, kGiB = 1 << 30;

CollectiveModel model(const std::string& gpu) {
  auto found = find_gpu(gpu);
  REQUIRE(found.ok());
  auto loaded = CollectiveModel::load(*found);
  if (!loaded.ok()) FAIL(render(loaded.error()));
  return *loaded;
}

/// `per_node` ranks on each of `nodes` nodes of 8 H100 with a 50 GB/s NIC each.
GroupLinks h100(int64_t nodes, int64_t per_node) {
  GroupLinks out;
  out.ranks = nodes * per_node;
  out.ranks_per_node = per_node;
  out.nodes = out.hosts = nodes;
  out.nvlink = true;
  out.nvlink_domain_ranks = per_node;
  out.intra_bytes_per_s = out.p2p_bytes_per_s = 450e9;
  if (nodes > 1) {
    out.inter_bytes_per_s = out.alltoall_inter_bytes_per_s = out.p2p_bytes_per_s = 50e9;
    out.inter_latency_s = 3e-6;
    out.level = 0;
  }
  return out;
}

TEST_CASE("Inside a node the measured times come back", "[collectives]") {
  const CollectiveModel m = model("h100-sxm5-80gb");
  const auto e = m.time(CollectiveOp::all_reduce, 512 * kMiB, h100(1, 8));
  CHECK(e.seconds == Approx(2112e-6).epsilon(1e-3));  // nccl_single_node.csv
  CHECK(e.provenance == Provenance::measured);
  CHECK(m.time(CollectiveOp::all_gather, 16 * kMiB, h100(1, 8)).seconds ==
        Approx(68e-6).epsilon(0.01));
  // Twice the largest size at the bus bandwidth of the largest.
  const auto twice = m.time(CollectiveOp::all_reduce, kGiB, h100(1, 8));
  CHECK(twice.seconds == Approx(15.6e-6 + 2 * (2112e-6 - 15.6e-6)).epsilon(2e-3));
  // Three ranks lie between two and four.
  const double two = m.time(CollectiveOp::all_gather, 64 * kMiB, h100(1, 2)).seconds;
  const double three = m.time(CollectiveOp::all_gather, 64 * kMiB, h100(1, 3)).seconds;
  const double four = m.time(CollectiveOp::all_gather, 64 * kMiB, h100(1, 4)).seconds;
  CHECK(three == Approx(2.0 / 3 * (two / (1.0 / 2) + four / (3.0 / 4)) / 2));
  CHECK(m.time(CollectiveOp::all_reduce, kMiB, h100(1, 1)).seconds == 0);
}

TEST_CASE("All-reduce across nodes follows the fitted law and the charts", "[collectives]") {
  const CollectiveModel m = model("h100-sxm5-80gb");
  // 4 nodes of 8, 1 GiB: 2 (57.1 + 0.00494 * 32768) + 2 * 31/32 * 1073741824 / 391000 us.
  const double law = 2 * (57.1 + 0.00494 * 32768) + 2 * 31.0 / 32 * kGiB / 391e3;
  CHECK(m.time(CollectiveOp::all_reduce, kGiB, h100(4, 8)).seconds == Approx(law * 1e-6));
  // GTC24 S62129, bus bandwidth in GB/s by (GPUs, bytes).
  struct {
    int64_t gpus;
    double bytes, busbw;
  } const chart[] = {{32, 16 * kMiB, 126},   {32, kGiB, 352},       {128, 64 * kMiB, 177},
                     {128, kGiB, 350},       {512, 16 * kMiB, 58},  {512, 256 * kMiB, 265},
                     {1024, 64 * kMiB, 125}, {1024, kGiB, 321},     {4096, 64 * kMiB, 108},
                     {8192, kGiB, 301},      {2048, 16 * kMiB, 43}, {8192, 16 * kGiB, 367}};
  double sum = 0;
  for (const auto& p : chart) {
    const double n = static_cast<double>(p.gpus);
    const double measured = 2 * (n - 1) / n * p.bytes / (p.busbw * 1e9);
    const auto e = m.time(CollectiveOp::all_reduce, p.bytes, h100(p.gpus / 8, 8));
    INFO(p.gpus << " GPUs, " << p.bytes / kMiB << " MiB, " << name_of(e.algorithm));
    CHECK(e.seconds == Approx(measured).epsilon(0.15));
    sum += std::abs(e.seconds / measured - 1);
    CHECK(e.algorithm == Algorithm::nvls_tree);
  }
  CHECK(sum / static_cast<double>(std::size(chart)) < 0.07);
}

TEST_CASE("All-reduce on another cluster's chart", "[collectives]") {
  const CollectiveModel m = model("h100-sxm5-80gb");
  // arXiv 2411.13055: bus bandwidth in GB/s by nodes of 8 H100, 1 MiB x 4^i; 0: not shown.
  struct {
    int64_t nodes;
    double busbw[8];
  } const chart[] = {{4, {20, 47, 114, 217, 271, 339, 0, 0}},
                     {8, {14, 35, 89, 191, 281, 330, 350, 0}},
                     {32, {0, 25, 58, 152, 255, 314, 339, 353}},
                     {64, {0, 18, 44, 136, 246, 303, 331, 349}},
                     {512, {0, 0, 0, 112, 220, 286, 0, 0}}};
  double sum = 0, points = 0;
  for (const auto& row : chart) {
    double bytes = kMiB;
    for (const double busbw : row.busbw) {
      const auto n = static_cast<double>(8 * row.nodes);
      const double measured = 2 * (n - 1) / n * bytes / (busbw * 1e9);
      if (busbw > 0) {
        const auto e = m.time(CollectiveOp::all_reduce, bytes, h100(row.nodes, 8));
        sum += std::abs(e.seconds / measured - 1);
        ++points;
      }
      bytes *= 4;
    }
  }
  CHECK(points == 30);
  CHECK(sum / points < 0.095);
}

TEST_CASE("Ring collectives pay for every rank, one rank a node much less", "[collectives]") {
  const CollectiveModel m = model("h100-sxm5-80gb");
  // 128 nodes of 8, 16 MiB: latency 15 + 3 (1024 - 128) + 15 * 127 us and 41.7 us of bytes.
  const auto wide = m.time(CollectiveOp::all_gather, kGiB, h100(128, 8));
  const double volume = 1023.0 / 1024 * kGiB / 377e9;
  CHECK(wide.seconds == Approx(4608e-6 + volume).epsilon(1e-3));
  CHECK(wide.algorithm == Algorithm::ring);
  // SimAI: 0.314575 of 400 GB/s at 1 GiB, 128 nodes; its error is stated as 15 %.
  CHECK(wide.seconds == Approx(1023.0 / 1024 * kGiB / (0.314575 * 400e9)).epsilon(0.15));
  // 64 nodes, one rank each, 16 MiB: 0.77 of 50 GB/s.
  const auto thin = m.time(CollectiveOp::all_gather, 16 * kMiB, h100(64, 1));
  CHECK(thin.seconds == Approx(63.0 / 64 * 16 * kMiB / (0.77 * 50e9)).epsilon(0.15));
  CHECK(thin.algorithm == Algorithm::pat);
  // A slow fabric adds its latency to every network hop of the ring.
  GroupLinks far = h100(128, 8);
  far.inter_latency_s = 13e-6;
  CHECK(m.time(CollectiveOp::all_gather, kGiB, far).seconds - wide.seconds == Approx(127 * 10e-6));
}

TEST_CASE("Pairs: all-to-all and point to point", "[collectives]") {
  const CollectiveModel m = model("h100-sxm5-80gb");
  // GTC24: 48 GB/s bus bandwidth on 32 H100.
  const double measured = 31.0 / 32 * kGiB / 48e9;
  CHECK(m.time(CollectiveOp::all_to_all, kGiB, h100(4, 8)).seconds ==
        Approx(measured).epsilon(0.1));
  // One NIC at 0.96 of 50 GB/s, 17 us to start.
  CHECK(m.p2p(64 * kMiB, h100(2, 1)).seconds == Approx(17e-6 + 64 * kMiB / 48e9));
  // NVLink: two ranks that gather 512 MiB send 256 MiB to each other in 1042 us.
  CHECK(m.p2p(256 * kMiB, h100(1, 2)).seconds == Approx(1038.6e-6).epsilon(1e-3));
}

TEST_CASE("A larger message never takes less time, more nodes never less", "[collectives]") {
  for (const std::string& id : gpu_ids()) {
    const CollectiveModel m = model(id);
    for (const auto op :
         {CollectiveOp::all_reduce, CollectiveOp::all_gather, CollectiveOp::reduce_scatter,
          CollectiveOp::all_to_all, CollectiveOp::ring_exchange})
      for (const int64_t per_node : {1, 2, 4, 8}) {
        double smaller_cluster = 0;
        for (const int64_t nodes : {1, 2, 3, 8, 64, 512}) {
          double before = 0;
          for (double bytes = 256; bytes < 3e10; bytes *= 1.7) {
            const double now = m.time(op, bytes, h100(nodes, per_node)).seconds;
            INFO(id << " op " << static_cast<int>(op) << " " << nodes << "x" << per_node << " "
                    << bytes);
            REQUIRE(now >= before);
            before = now;
          }
          if (nodes > 1) CHECK(before >= smaller_cluster);
          smaller_cluster = before;
        }
      }
  }
}

TEST_CASE("Sizes left out of the node tables are predicted from their neighbours",
          "[collectives]") {
  for (const char* id : {"a100-sxm4-80gb", "h100-sxm5-80gb", "b200-sxm"}) {
    const auto errors = model(id).leave_one_out();
    const double mean =
        std::accumulate(errors.begin(), errors.end(), 0.0) / static_cast<double>(errors.size());
    INFO(id << " mean " << mean << ", median " << errors[errors.size() / 2]);
    CHECK(errors.size() > 200);
    CHECK(mean < 0.07);
    CHECK(errors[errors.size() / 2] < 0.05);
  }
}

TEST_CASE("Rings of a library that sends an all-reduce over one NIC's share", "[collectives]") {
  const CollectiveModel nccl = model("a100-sxm4-80gb"), oneccl = model("max-1550-tile");
  const auto ratio = [&](CollectiveOp op, int64_t per_node) {
    const GroupLinks links = h100(16, per_node);
    return oneccl.time(op, 16 * kGiB, links).seconds / nccl.time(op, 16 * kGiB, links).seconds;
  };
  CHECK(ratio(CollectiveOp::all_reduce, 1) == Approx(1));
  CHECK(ratio(CollectiveOp::all_reduce, 4) == Approx(4).epsilon(0.05));
  CHECK(ratio(CollectiveOp::all_gather, 4) == Approx(1));
}

TEST_CASE("A ring over fewer NICs takes less from the kernels beside it", "[collectives]") {
  CHECK(occupancy(CollectiveOp::all_gather, h100(1, 8)) == 1);
  // 50 of 450 GB/s, and 8 NICs' 400.
  CHECK(occupancy(CollectiveOp::all_gather, h100(16, 1)) == Approx(1.0 / 9));
  CHECK(occupancy(CollectiveOp::reduce_scatter, h100(16, 8)) == Approx(8.0 / 9));
  CHECK(occupancy(CollectiveOp::ring_exchange, h100(16, 8)) == Approx(1.0 / 9));
  CHECK(occupancy(CollectiveOp::ring_exchange, h100(1, 8)) == 1);
  CHECK(occupancy(CollectiveOp::all_to_all, h100(16, 1)) == 1);
}

TEST_CASE("The slowest of many devices", "[collectives]") {
  CHECK(expected_maximum(1) == 0);
  CHECK(expected_maximum(4) == Approx(1.0294).epsilon(0.02));     // exact order statistic
  CHECK(expected_maximum(1000) == Approx(3.2414).epsilon(0.01));  // exact order statistic
  CHECK(model("h100-sxm5-80gb").straggler_factor(1000) == Approx(1.0324).epsilon(1e-3));
}

}  // namespace
}  // namespace meshplan
