// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <set>

#include "strategies/program/builder.hpp"

namespace meshplan {
namespace {

bool chosen(const Op& op, uint32_t modules) { return (modules & bit(op.module)) != 0; }

/// Buffers that the backward operations of one segment read and its forward operations write.
std::set<BufferId> written_by(const std::vector<Op>& ops, size_t begin, size_t end) {
  std::set<BufferId> written;
  for (size_t i = begin; i < end; ++i) written.insert(ops[i].out.begin(), ops[i].out.end());
  return written;
}

bool read_by(const std::vector<Op>& ops, BufferId id) {
  return std::any_of(ops.begin(), ops.end(), [id](const Op& op) {
    return std::find(op.in.begin(), op.in.end(), id) != op.in.end();
  });
}

void substitute(Op& op, const std::map<BufferId, BufferId>& copies) {
  for (auto* list : {&op.in, &op.out}) {
    for (BufferId& id : *list) {
      if (const auto found = copies.find(id); found != copies.end()) id = found->second;
    }
  }
}

}  // namespace

void recompute(Block& block, uint32_t modules, bool stops_early) {
  const std::vector<Op> forward = block.ops(Phase::forward);
  std::vector<Op>& backward = block.ops(Phase::backward);
  std::vector<Op>& weight = block.ops(Phase::weight);
  size_t begin = 0;
  while (begin < forward.size()) {
    if (!chosen(forward[begin], modules)) {
      ++begin;
      continue;
    }
    size_t end = begin;
    while (end < forward.size() && chosen(forward[end], modules)) ++end;
    const size_t behind = end;
    const auto needed = [&](const Op& op) {
      for (const BufferId id : op.out) {
        if (read_by(backward, id) || read_by(weight, id)) return true;
      }
      return false;
    };
    while (stops_early && end > begin && !needed(forward[end - 1])) --end;
    if (end == begin) {
      begin = behind;
      continue;
    }
    const std::set<BufferId> written = written_by(forward, begin, end);
    // A checkpoint around the core of attention keeps its output for the projection that follows;
    // other segments drop theirs, and everybody reads the copies.
    const bool keeps_output = modules != ~0u && forward[end - 1].module == Module::core_attention;
    const auto concerned = [&](const Op& op) { return !keeps_output || chosen(op, modules); };
    size_t first = 0;
    const auto reads = [&](const Op& op) {
      if (!concerned(op)) return false;
      for (const BufferId id : op.in) {
        if (written.count(id) > 0) return true;
      }
      return false;
    };
    while (first < backward.size() && !reads(backward[first])) ++first;
    if (first == backward.size()) {
      begin = behind;
      continue;
    }
    std::map<BufferId, BufferId> copies;
    std::vector<Op> again(forward.begin() + static_cast<std::ptrdiff_t>(begin),
                          forward.begin() + static_cast<std::ptrdiff_t>(end));
    for (const BufferId id : written) {
      Buffer copy = block.buffer(id);
      copy.name += " again";
      block.buffers.push_back(copy);
      copies[id] = static_cast<BufferId>(block.buffers.size() - 1);
    }
    for (Op& op : again) substitute(op, copies);
    for (auto* ops : {&backward, &weight}) {
      for (Op& op : *ops) {
        if (concerned(op)) substitute(op, copies);
      }
    }
    backward.insert(backward.begin() + static_cast<std::ptrdiff_t>(first), again.begin(),
                    again.end());
    begin = behind;
  }
}

}  // namespace meshplan
