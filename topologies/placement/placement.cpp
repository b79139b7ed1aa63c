// SPDX-License-Identifier: Apache-2.0
#include "topologies/placement/placement.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>

#include "topologies/base/nearest.hpp"

namespace meshplan {

const char* name_of(Axis axis) {
  switch (axis) {
    case Axis::tp:
      return "tp";
    case Axis::cp:
      return "cp";
    case Axis::ep:
      return "ep";
    case Axis::dp_shard:
      return "dp_shard";
    case Axis::dp_replicate:
      return "dp_replicate";
    case Axis::pp:
      return "pp";
  }
  return "?";
}

int64_t Degrees::world() const {
  int64_t product = 1;
  for (int64_t degree : of) product *= degree;
  return product;
}

Result<Degrees> expert_degrees(const Degrees& dense, int64_t ep, int64_t etp) {
  const int64_t ranks = dense.world() / dense[Axis::pp];
  if (ep < 1 || etp < 1 || ranks % (ep * etp) != 0)
    return Diagnostic{ErrorKind::no_plan,
                      fmt::format("ep x etp = {} does not divide the {} ranks of a pipeline stage",
                                  ep * etp, ranks),
                      "--ep",
                      std::to_string(ep),
                      "expert-ranks",
                      "choose ep from the divisors of tp x cp x dp / etp"};
  Degrees out;
  out[Axis::tp] = etp;
  out[Axis::ep] = ep;
  out[Axis::pp] = dense[Axis::pp];
  const int64_t rest = ranks / (ep * etp);
  // Replicas stay replicas where they can, so that HSDP's outer groups are the same ranks.
  const int64_t replicas = rest % dense[Axis::dp_replicate] == 0 ? dense[Axis::dp_replicate] : 1;
  out[Axis::dp_replicate] = replicas;
  out[Axis::dp_shard] = rest / replicas;
  return out;
}

Result<RankOrder> RankOrder::parse(const std::string& text) {
  static const std::vector<std::string> known = {"tp",       "cp",           "ep", "dp",
                                                 "dp_shard", "dp_replicate", "pp"};
  std::vector<Axis> axes;
  const auto has = [&](Axis axis) {
    return std::find(axes.begin(), axes.end(), axis) != axes.end();
  };
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('-', begin), text.size());
    const std::string word = text.substr(begin, end - begin);
    begin = end + 1;
    const size_t before = axes.size();
    for (Axis axis : {Axis::tp, Axis::cp, Axis::ep, Axis::dp_shard, Axis::dp_replicate, Axis::pp})
      if (word == name_of(axis)) axes.push_back(axis);
    if (word == "dp") axes.insert(axes.end(), {Axis::dp_shard, Axis::dp_replicate});
    if (axes.size() == before)
      return Diagnostic{ErrorKind::usage,
                        fmt::format("unknown axis '{}' in a rank order", word),
                        "rank order",
                        text,
                        "",
                        suggest(word, known)};
    for (size_t i = before; i < axes.size(); ++i)
      if (std::count(axes.begin(), axes.end(), axes[i]) > 1)
        return Diagnostic{ErrorKind::usage, fmt::format("axis '{}' stands twice", word),
                          "rank order", text};
  }
  if (!has(Axis::ep))
    axes.insert(std::find_if(axes.begin(), axes.end(),
                             [](Axis a) { return a == Axis::dp_shard || a == Axis::dp_replicate; }),
                Axis::ep);
  for (Axis axis : {Axis::tp, Axis::cp, Axis::dp_shard, Axis::dp_replicate, Axis::pp})
    if (!has(axis)) axes.push_back(axis);
  RankOrder out;
  std::copy(axes.begin(), axes.end(), out.axes.begin());
  return out;
}

std::string to_text(const RankOrder& order) {
  std::string out;
  for (Axis axis : order.axes) out += (out.empty() ? "" : "-") + std::string(name_of(axis));
  return out;
}

GroupDims::GroupDims(std::initializer_list<GroupDim> dims) {
  for (const GroupDim& dim : dims) add(dim);
}

void GroupDims::add(GroupDim dim) {
  if (dim.size <= 1) return;
  if (count_ > 0) {
    GroupDim& last = dims_[static_cast<size_t>(count_ - 1)];
    assert(dim.stride >= last.size * last.stride);
    if (last.size * last.stride == dim.stride) {
      last.size *= dim.size;
      return;
    }
  }
  assert(count_ < kAxes);
  dims_[static_cast<size_t>(count_++)] = dim;
}

int64_t GroupDims::ranks() const {
  int64_t product = 1;
  for (const GroupDim& dim : *this) product *= dim.size;
  return product;
}

bool GroupDims::operator==(const GroupDims& other) const {
  return std::equal(begin(), end(), other.begin(), other.end());
}

GroupDims group_of(const RankOrder& order, const Degrees& degrees,
                   std::initializer_list<Axis> axes) {
  GroupDims out;
  int64_t stride = 1;
  for (Axis axis : order.axes) {
    if (std::find(axes.begin(), axes.end(), axis) != axes.end()) out.add({degrees[axis], stride});
    stride *= degrees[axis];
  }
  return out;
}

std::vector<int64_t> ranks_of(const GroupDims& dims, int64_t base) {
  std::vector<int64_t> out = {base};
  for (const GroupDim& dim : dims) {
    const size_t inner = out.size();
    for (int64_t i = 1; i < dim.size; ++i)
      for (size_t j = 0; j < inner; ++j) out.push_back(out[j] + i * dim.stride);
  }
  return out;
}

}  // namespace meshplan
