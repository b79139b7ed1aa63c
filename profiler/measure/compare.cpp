// SPDX-License-Identifier: Apache-2.0
#include "profiler/measure/compare.hpp"

#include <algorithm>
#include <set>
#include <tuple>

namespace meshplan {
namespace {

using Key = std::tuple<int, int, std::string>;  // ranks, nodes, kernel

std::map<Key, const GridTable*> tables_of(const CpuProfile& profile) {
  std::map<Key, const GridTable*> all;
  for (const CpuTables& tables : profile.tables) {
    for (const auto& [name, table] : tables.kernels)
      all[{tables.ranks, tables.nodes, name}] = &table;
  }
  return all;
}

/// Sizes of point `index` of a grid, row-major.
std::vector<double> sizes_of(const GridTable& table, size_t index) {
  std::vector<double> sizes(table.axes().size());
  for (size_t d = sizes.size(); d-- > 0;) {
    sizes[d] = table.axes()[d][index % table.axes()[d].size()];
    index /= table.axes()[d].size();
  }
  return sizes;
}

}  // namespace

std::vector<ProfileDifference> compare_profiles(const CpuProfile& first, const CpuProfile& second) {
  const auto a = tables_of(first), b = tables_of(second);
  std::set<Key> keys;
  for (const auto& [key, table] : a) keys.insert(key);
  for (const auto& [key, table] : b) keys.insert(key);
  std::vector<ProfileDifference> all;
  for (const Key& key : keys) {
    ProfileDifference& one = all.emplace_back();
    std::tie(one.ranks, one.nodes, one.kernel) = key;
    const auto mine = a.find(key), theirs = b.find(key);
    if (mine == a.end() || theirs == b.end()) continue;
    std::vector<double> ratios;
    const std::vector<double>& values = mine->second->values();
    for (size_t i = 0; i < values.size(); ++i) {
      if (values[i] <= 0) continue;  // not measured
      ratios.push_back(theirs->second->seconds_per_work(sizes_of(*mine->second, i)) / values[i]);
    }
    if (ratios.empty()) continue;
    std::sort(ratios.begin(), ratios.end());
    one.points = ratios.size();
    one.low = ratios.front();
    one.median = ratios[ratios.size() / 2];
    one.high = ratios.back();
  }
  return all;
}

}  // namespace meshplan
