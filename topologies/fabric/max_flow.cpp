// SPDX-License-Identifier: Apache-2.0
#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/push_relabel_max_flow.hpp>
#include <cassert>
#include <cmath>

#include "topologies/fabric/fabric.hpp"

namespace meshplan {
namespace {

// Whole bytes per second: push-relabel compares for equality, and 1e17 fits into 64 bits.
struct EdgeProperties {
  int64_t capacity = 0;
  int64_t residual = 0;
  boost::adjacency_list_traits<boost::vecS, boost::vecS, boost::directedS>::edge_descriptor reverse;
};
using Graph =
    boost::adjacency_list<boost::vecS, boost::vecS, boost::directedS, FabricVertex, EdgeProperties>;

/// One direction. Its reverse has no capacity of its own: Boost takes that as the mark of a
/// reverse.
void add(Graph& graph, size_t a, size_t b, int64_t rate) {
  const auto there = boost::add_edge(a, b, EdgeProperties{rate}, graph).first;
  const auto back = boost::add_edge(b, a, EdgeProperties{}, graph).first;
  graph[there].reverse = back;
  graph[back].reverse = there;
}

}  // namespace

double max_flow_bytes_per_s(const Cluster& cluster, const std::vector<int64_t>& from,
                            const std::vector<int64_t>& to) {
  assert(!from.empty() && !to.empty());
  const Fabric fabric = fabric_of(cluster, {from, to});
  const size_t source = fabric.vertices.size(), sink = source + 1;
  Graph graph(sink + 1);
  int64_t unlimited = 1;  // as much as all links together; not the largest integer, sums overflow
  for (const FabricLink& link : fabric.links) {
    const auto rate = static_cast<int64_t>(std::llround(link.bytes_per_s));
    unlimited += rate;
    add(graph, static_cast<size_t>(link.a), static_cast<size_t>(link.b), rate);
    add(graph, static_cast<size_t>(link.b), static_cast<size_t>(link.a), rate);
  }
  for (size_t v = 0; v < fabric.vertices.size(); ++v) {
    graph[v] = fabric.vertices[v];
    if (fabric.vertices[v].set == 1) add(graph, source, v, unlimited);
    if (fabric.vertices[v].set == 2) add(graph, v, sink, unlimited);
  }
  return static_cast<double>(boost::push_relabel_max_flow(
      graph, source, sink,
      boost::capacity_map(boost::get(&EdgeProperties::capacity, graph))
          .residual_capacity_map(boost::get(&EdgeProperties::residual, graph))
          .reverse_edge_map(boost::get(&EdgeProperties::reverse, graph))
          .vertex_index_map(boost::get(boost::vertex_index, graph))));
}

}  // namespace meshplan
