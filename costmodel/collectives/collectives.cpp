// SPDX-License-Identifier: Apache-2.0
#include "costmodel/collectives/collectives.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "costmodel/collectives/config.hpp"
#include "costmodel/collectives/node_table.hpp"
#include "costmodel/collectives/normal.hpp"
#include "costmodel/cpu/gpu_measures.hpp"
#include "topologies/base/files.hpp"

namespace meshplan {
namespace {

// Relative errors of the laws, research behind collectives.yaml: +-6 % in one node, 10 % all-reduce
// and 15 % ring collectives across nodes, 25 % all-to-all and point to point.
constexpr double kNodeError = 0.06, kReduceError = 0.10, kRingError = 0.15, kPairError = 0.25;
constexpr double kExtendedError = 0.15;

struct Candidate {
  double latency_s, seconds;
  Algorithm algorithm;
  Protocol protocol;
};

/// y at n: linear in log2(x), constant beyond the ends.
double at_doubling(const std::vector<double>& x, const std::vector<double>& y, int64_t n) {
  const double at = std::log2(static_cast<double>(n));
  if (at <= std::log2(x.front())) return y.front();
  for (size_t i = 1; i < x.size(); ++i) {
    const double before = std::log2(x[i - 1]), next = std::log2(x[i]);
    if (at > next) continue;
    const double w = (at - before) / (next - before);
    return (1 - w) * y[i - 1] + w * y[i];
  }
  return y.back();
}

}  // namespace

const char* name_of(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::none:
      return "none";
    case Algorithm::table:
      return "table";
    case Algorithm::ring:
      return "ring";
    case Algorithm::tree:
      return "tree";
    case Algorithm::nvls_tree:
      return "nvls-tree";
    case Algorithm::pat:
      return "pat";
    case Algorithm::pairwise:
      return "pairwise";
    case Algorithm::direct:
      return "direct";
  }
  return "?";
}

struct CollectiveModel::Data {
  CollectiveConfig config;
  NodeTable node;
  std::shared_ptr<const GpuMeasures> profiled;  ///< null: no profile of this machine

  static CollectiveEstimate from_profile(double seconds) {
    return {.seconds = seconds,
            .relative_error = kProfileError,
            .provenance = Provenance::interpolated,
            .algorithm = Algorithm::table};
  }

  /// Rate of these links over those of the measured machine.
  double link_ratio(int64_t ranks, double intra_bytes_per_s) const {
    const auto& measured = config.links_bytes_per_s;
    const auto i =
        std::min(static_cast<size_t>(std::max<int64_t>(ranks, 2) - 2), measured.size() - 1);
    return intra_bytes_per_s > 0 ? intra_bytes_per_s / measured[i] : 1;
  }

  CollectiveEstimate inside(CollectiveOp op, double bytes, int64_t ranks, double rate) const {
    const NodeTable::Time t = node.time(op, ranks, bytes);
    const double ratio = link_ratio(ranks, rate);
    const bool other_links = std::abs(ratio - 1) > 0.05;
    CollectiveEstimate out;
    out.latency_s = t.latency_s;
    out.seconds = other_links ? t.latency_s + (t.seconds - t.latency_s) / ratio : t.seconds;
    out.relative_error = t.extended || other_links ? kExtendedError : kNodeError;
    out.provenance = other_links ? Provenance::scaled
                     : t.exact   ? Provenance::measured
                                 : Provenance::interpolated;
    out.algorithm = Algorithm::table;
    return out;
  }

  /// Extra time of one network hop on a fabric slower than those behind the fits.
  double extra_hop(const GroupLinks& links) const {
    return std::max(0.0, links.inter_latency_s - config.reference_latency_s);
  }

  Candidate ring(const HopCosts& h, double factor, Protocol protocol, double steps, double volume,
                 double rate, const GroupLinks& links) const {
    const auto n = static_cast<double>(links.ranks), nodes = static_cast<double>(links.nodes);
    const double latency =
        factor * h.base_s + steps * (factor * h.intra_hop_s * (n - nodes) +
                                     (factor * h.inter_hop_s + extra_hop(links)) * (nodes - 1));
    const double speed = std::min(h.share * rate, h.cap_bytes_per_s);
    return {latency, latency + volume / speed, Algorithm::ring, protocol};
  }

  Candidate tree(const HopCosts& h, Protocol protocol, double bytes, double volume, double rate,
                 const GroupLinks& links) const {
    const double depth = std::log2(static_cast<double>(links.nodes));
    const auto inside_hops = static_cast<double>(links.ranks_per_node - 1);
    const double f = config.tuner_factor;
    const double latency = f * h.base_s + 2 * (f * h.intra_hop_s * inside_hops +
                                               depth * (f * h.inter_hop_s + extra_hop(links)));
    const double speed = std::min(h.share * rate, h.cap_bytes_per_s);
    // A tree pays its depth again for the pipeline's fill, as the NVLS tree's fit does.
    const double fill = protocol == Protocol::simple ? depth * pipeline(bytes, rate) : 0;
    return {latency, latency + fill + volume / speed, Algorithm::tree, protocol};
  }

  double pipeline(double bytes, double rate) const {
    return config.nvls_tree.sqrt_s *
           std::sqrt(bytes * config.nvls_tree.reference_bytes_per_s / rate);
  }

  CollectiveEstimate across(CollectiveOp op, double bytes, const GroupLinks& links) const;
  CollectiveEstimate all_to_all(double bytes, const GroupLinks& links) const;
};

CollectiveEstimate CollectiveModel::Data::across(CollectiveOp op, double bytes,
                                                 const GroupLinks& links) const {
  const auto per_node = static_cast<double>(links.ranks_per_node);
  const auto n = static_cast<double>(links.ranks);
  const double depth = std::log2(static_cast<double>(links.nodes));
  // A ring or tree of the group leaves each node once, over the NICs of all its ranks there.
  const bool reduce = op == CollectiveOp::all_reduce;
  double rate = links.inter_bytes_per_s * (reduce && config.all_reduce_by_one_nic ? 1 : per_node);
  if (links.ranks_per_node > 1 && links.intra_bytes_per_s > 0)
    rate = std::min(rate, links.intra_bytes_per_s);
  const double volume = bus_factor(op, links.ranks) * bytes;
  const double steps = reduce ? 2 : 1;

  Candidate best =
      ring(config.ring_ll, config.tuner_factor, Protocol::ll, steps, volume, rate, links);
  const auto consider = [&best](const Candidate& other) {
    if (other.seconds < best.seconds) best = other;
  };
  if (reduce) {
    consider(tree(config.tree_ll, Protocol::ll, bytes, volume, rate, links));
    const auto& t = config.nvls_tree;
    if (config.nvls && links.nvlink && links.ranks_per_node >= t.least_ranks_per_node) {
      // What was measured where NCCL has all of its algorithms; its ring and tree with Simple are
      // no candidates, their unfitted constants would undercut that.
      const double latency = depth * (t.per_doubling_s + 2 * extra_hop(links));
      const Candidate nvls = {latency,
                              latency + depth * pipeline(bytes, rate) + volume / (t.share * rate),
                              Algorithm::nvls_tree, Protocol::simple};
      consider(nvls);
    } else {
      consider(ring(config.ring_simple, 1, Protocol::simple, steps, volume, rate, links));
      consider(tree(config.tree_simple, Protocol::simple, bytes, volume, rate, links));
    }
  } else {
    consider(ring(config.ring_simple, 1, Protocol::simple, steps, volume, rate, links));
  }
  if (!reduce && links.ranks_per_node == 1) {
    const auto& p = config.pat;
    const double latency =
        p.base_s + depth * (p.per_doubling_s + extra_hop(links)) + p.per_rank_s * n;
    consider({latency, latency + volume / (p.share * rate), Algorithm::pat, Protocol::simple});
  }
  CollectiveEstimate out;
  out.latency_s = best.latency_s;
  out.seconds = best.seconds;
  out.algorithm = best.algorithm;
  out.protocol = best.protocol;
  out.relative_error = reduce ? kReduceError : kRingError;
  out.provenance = Provenance::interpolated;
  return out;
}

CollectiveEstimate CollectiveModel::Data::all_to_all(double bytes, const GroupLinks& links) const {
  const auto n = static_cast<double>(links.ranks);
  const auto local = static_cast<double>(links.ranks_per_node);
  const auto& a = config.all_to_all;
  const double share = at_doubling(a.nodes, a.share, links.nodes);
  CollectiveEstimate out;
  out.latency_s = a.base_s + a.per_peer_s * (n - 1) + extra_hop(links);
  out.seconds =
      out.latency_s + bytes * (n - local) / n / (share * links.alltoall_inter_bytes_per_s);
  out.algorithm = Algorithm::pairwise;
  out.protocol = Protocol::simple;
  out.relative_error = kPairError;
  out.provenance = Provenance::interpolated;
  return out;
}

CollectiveModel::CollectiveModel(std::shared_ptr<const Data> data) : data_(std::move(data)) {}

Result<CollectiveModel> CollectiveModel::load(const Gpu& gpu) {
  MESHPLAN_TRY(CollectiveConfig config,
               CollectiveConfig::find(table_name(gpu.collective_table).table));
  MESHPLAN_TRY(NodeTable node, NodeTable::read(data_root() + "/costmodel/data/collectives/" +
                                               config.times + ".csv"));
  MESHPLAN_TRY(std::shared_ptr<const GpuMeasures> measured,
               GpuMeasures::load(table_name(gpu.collective_table).profile));
  return CollectiveModel(
      std::make_shared<const Data>(Data{std::move(config), std::move(node), std::move(measured)}));
}

CollectiveEstimate CollectiveModel::time(CollectiveOp op, double bytes,
                                         const GroupLinks& links) const {
  if (links.ranks <= 1 || bytes <= 0) return {0, 0, 0, Provenance::measured};
  if (op == CollectiveOp::ring_exchange) return p2p(bytes, links);
  const Data& d = *data_;
  if (d.profiled) {
    const auto s =
        d.profiled->collective(op, bytes, links.ranks, std::max<int64_t>(1, links.nodes));
    if (s) return Data::from_profile(*s);
  }
  if (links.nodes <= 1) return d.inside(op, bytes, links.ranks, links.intra_bytes_per_s);
  CollectiveEstimate out =
      op == CollectiveOp::all_to_all ? d.all_to_all(bytes, links) : d.across(op, bytes, links);
  if (links.ranks_per_node > 1) {
    // Never faster than its share inside the node. An all-to-all sends only local/n of its bytes
    // there; for the others the part inside the node moves nearly everything.
    const double share =
        op == CollectiveOp::all_to_all
            ? static_cast<double>(links.ranks_per_node) / static_cast<double>(links.ranks)
            : 1;
    const CollectiveEstimate inner =
        d.inside(op, bytes * share, links.ranks_per_node, links.intra_bytes_per_s);
    out.seconds = std::max(out.seconds, inner.seconds);
  }
  return out;
}

CollectiveEstimate CollectiveModel::sent_once(double bytes, int64_t copies, double reach,
                                              double map_bytes, const GroupLinks& links) const {
  if (links.ranks <= 1 || bytes <= 0) return {0, 0, 0, Provenance::measured};
  const auto& s = data_->config.sent_once;
  const auto k = static_cast<double>(copies);
  // Experts are taken as spread evenly: of r places, r (1 - (1 - 1/r)^k) are distinct for k copies.
  const auto distinct = [&](int64_t places) {
    const double r = std::max(1.0, reach * static_cast<double>(places));
    return r * (1 - std::pow(1 - 1 / r, k));
  };
  // Rates count what stays on the rank or in the node, as those of the source do.
  CollectiveEstimate out;
  out.latency_s = links.nodes > 1 ? s.base_across_s : s.base_s;
  if (links.nodes > 1 && map_bytes > 0) out.latency_s += s.map_s + map_bytes / s.map_bytes_per_s;
  const double inside = bytes / k * distinct(links.ranks) /
                        (at_doubling(s.ranks, s.share, links.ranks_per_node) *
                         std::max(links.intra_bytes_per_s, 1.0));
  double across = 0;
  if (links.nodes > 1) {
    const auto nodes = static_cast<double>(links.nodes);
    across = bytes / k * distinct(links.nodes) * (nodes - 1) / nodes /
             (at_doubling(s.nodes, s.share_across, links.nodes) * links.alltoall_inter_bytes_per_s);
  }
  // Both legs are pipelined; the slower one is seen.
  out.seconds = out.latency_s + std::max(inside, across);
  out.algorithm = Algorithm::pairwise;
  out.relative_error = kPairError;
  out.provenance = Provenance::interpolated;
  return out;
}

CollectiveEstimate CollectiveModel::p2p(double bytes, const GroupLinks& links) const {
  if (links.ranks <= 1 || bytes <= 0) return {0, 0, 0, Provenance::measured};
  const Data& d = *data_;
  if (d.profiled) {
    if (const auto s = d.profiled->message(bytes, links.nodes)) return Data::from_profile(*s);
  }
  CollectiveEstimate out;
  if (links.nodes <= 1) {
    // Two ranks that gather 2 x bytes send bytes to each other.
    out = d.inside(CollectiveOp::all_gather, 2 * bytes, 2, links.p2p_bytes_per_s);
    if (out.provenance == Provenance::measured) out.provenance = Provenance::interpolated;
  } else {
    out.latency_s = d.config.p2p.base_s + d.extra_hop(links);
    out.seconds = out.latency_s + bytes / (d.config.p2p.share * links.p2p_bytes_per_s);
    out.provenance = Provenance::interpolated;
  }
  out.relative_error = kPairError;
  out.algorithm = Algorithm::direct;
  return out;
}

double occupancy(CollectiveOp op, const GroupLinks& links) {
  if (op == CollectiveOp::all_to_all || links.nodes <= 1 || links.intra_bytes_per_s <= 0) return 1;
  // A neighbour across nodes is one adapter's work, a ring that of all its node's.
  const auto adapters =
      op == CollectiveOp::ring_exchange ? 1 : static_cast<double>(links.ranks_per_node);
  const double rate = adapters * links.inter_bytes_per_s;
  return std::min(1.0, rate / links.intra_bytes_per_s);
}

double CollectiveModel::straggler_factor(int64_t ranks) const {
  return 1 + data_->config.straggler_sigma * expected_maximum(ranks);
}

std::vector<double> CollectiveModel::leave_one_out() const { return data_->node.leave_one_out(); }

}  // namespace meshplan
