// SPDX-License-Identifier: Apache-2.0
#include "costmodel/collectives/config.hpp"

#include "topologies/base/files.hpp"
#include "topologies/base/nearest.hpp"
#include "topologies/base/reader.hpp"

namespace meshplan {
namespace {

constexpr double kMicro = 1e-6, kGiga = 1e9;

Result<HopCosts> hops(MapReader& in, const std::string& key) {
  MapReader map = in.map(key);
  const HopCosts out = {map.number("base_us") * kMicro, map.number("intra_hop_us") * kMicro,
                        map.number("inter_hop_us") * kMicro, map.positive("share"),
                        map.positive("cap_gb_per_s") * kGiga};
  MESHPLAN_CHECK(map.finish());
  return out;
}

}  // namespace

Result<CollectiveConfig> CollectiveConfig::find(const std::string& id) {
  MESHPLAN_TRY(MapReader in, MapReader::open(data_root() + "/costmodel/data/collectives.yaml"));
  CollectiveConfig out;
  std::vector<std::string> known;
  for (MapReader& map : in.maps("tables")) {
    CollectiveConfig table;
    table.table = map.text("id");
    for (const double rate : map.numbers("links_gb_per_s"))
      table.links_bytes_per_s.push_back(rate * kGiga);
    if (table.links_bytes_per_s.empty()) map.problem("links_gb_per_s", "needs a rate");
    table.nvls = map.boolean("nvls");
    table.tuner_factor = map.positive("tuner_factor");
    table.times = map.text("times_of", table.table);
    table.all_reduce_by_one_nic = map.boolean("all_reduce_by_one_nic", false);
    MESHPLAN_CHECK(map.finish());
    known.push_back(table.table);
    if (table.table == id) out = std::move(table);
  }
  for (const char* key : {"tables_source", "tuner_source", "ring_source", "nvls_tree_source",
                          "pat_source", "all_to_all_source", "sent_once_source", "p2p_source",
                          "reference_latency_source", "straggler_source"})
    in.text(key);
  MESHPLAN_TRY(out.ring_ll, hops(in, "ring_ll"));
  MESHPLAN_TRY(out.ring_simple, hops(in, "ring_simple"));
  MESHPLAN_TRY(out.tree_ll, hops(in, "tree_ll"));
  MESHPLAN_TRY(out.tree_simple, hops(in, "tree_simple"));
  MapReader nvls = in.map("nvls_tree");
  out.nvls_tree = {nvls.number("per_doubling_us") * kMicro, nvls.number("sqrt_us") * kMicro,
                   nvls.positive("share"), nvls.positive("reference_gb_per_s") * kGiga,
                   nvls.integer("least_ranks_per_node")};
  MESHPLAN_CHECK(nvls.finish());
  MapReader pat = in.map("pat");
  out.pat = {pat.number("base_us") * kMicro, pat.number("per_doubling_us") * kMicro,
             pat.number("per_rank_us") * kMicro, pat.positive("share")};
  MESHPLAN_CHECK(pat.finish());
  MapReader all = in.map("all_to_all");
  out.all_to_all = {all.number("base_us") * kMicro, all.number("per_peer_us") * kMicro,
                    all.numbers("nodes"), all.numbers("share")};
  if (out.all_to_all.nodes.empty() || out.all_to_all.nodes.size() != out.all_to_all.share.size())
    all.problem("share", "needs one share for each entry of nodes");
  MESHPLAN_CHECK(all.finish());
  MapReader once = in.map("sent_once");
  out.sent_once = {once.number("base_us") * kMicro, once.number("base_across_us") * kMicro,
                   once.number("map_us") * kMicro,  once.positive("map_gb_per_s") * kGiga,
                   once.numbers("ranks"),           once.numbers("share"),
                   once.numbers("nodes"),           once.numbers("share_across")};
  const auto& s = out.sent_once;
  if (s.ranks.empty() || s.ranks.size() != s.share.size())
    once.problem("share", "needs one share for each entry of ranks");
  if (s.nodes.empty() || s.nodes.size() != s.share_across.size())
    once.problem("share_across", "needs one share for each entry of nodes");
  MESHPLAN_CHECK(once.finish());
  MapReader p2p = in.map("p2p");
  out.p2p = {p2p.number("base_us") * kMicro, p2p.positive("share")};
  MESHPLAN_CHECK(p2p.finish());
  out.reference_latency_s = in.number("reference_latency_us") * kMicro;
  out.straggler_sigma = in.number("straggler_sigma");
  MESHPLAN_CHECK(in.finish());
  if (out.table != id)
    return Diagnostic{ErrorKind::input,  "unknown collective table", "collective_table", id, {},
                      suggest(id, known)};
  return out;
}

}  // namespace meshplan
