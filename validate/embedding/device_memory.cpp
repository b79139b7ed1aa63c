// SPDX-License-Identifier: Apache-2.0
#include "validate/embedding/device_memory.hpp"

namespace meshplan::graph {

Status DeviceMemoryOfRound::bring(const TrainingRound& round) {
  MESHPLAN_CHECK(bring_tables(round.rows));
  return bring_edges(round);
}

Status DeviceMemoryOfRound::bring_tables(const std::vector<LoadedRows>& rows) {
  std::vector<DevicePart> list;
  for (const LoadedRows& of_type : rows)
    for (const LoadedRows::Part& part : of_type.parts()) {
      Table& table = *part.table;
      std::shared_ptr<void>& memory = tables_[table.memory.data()];
      if (memory == nullptr) {
        MESHPLAN_TRY(memory, device_.allocate(table.bytes()));
        MESHPLAN_CHECK(device_.upload(memory.get(), table.memory.data(), table.bytes()));
      }
      auto* values = static_cast<float*>(memory.get());
      list.push_back({values, values + table.rows * table.cols, part.first, part.place});
    }
  MESHPLAN_CHECK(part_list_.fill(device_, list.data(), static_cast<int64_t>(list.size())));
  parts_.clear();
  const auto* at = part_list_.as<DevicePart>();
  for (const LoadedRows& of_type : rows) {
    parts_.push_back({at, static_cast<int64_t>(of_type.parts().size()), of_type.count()});
    at += of_type.parts().size();
  }
  return Done{};
}

Status DeviceMemoryOfRound::bring_edges(const TrainingRound& round) {
  const Edges& edges = round.edges;
  int64_t count = 0;
  for (const EdgeRange& range : round.buckets) count += range.end - range.begin;
  const bool known = edges_ == &edges && std::equal(ranges_.begin(), ranges_.end(),
                                                    round.buckets.begin(), round.buckets.end());
  const auto send = [&](const auto& from, DeviceBuffer& to) -> Status {
    using T = std::decay_t<decltype(from.front())>;
    MESHPLAN_CHECK(to.reserve(device_, count * static_cast<int64_t>(sizeof(T))));
    int64_t at = 0;
    for (const EdgeRange& range : round.buckets) {
      MESHPLAN_CHECK(device_.upload(to.as<T>() + at, from.data() + range.begin,
                                    (range.end - range.begin) * static_cast<int64_t>(sizeof(T))));
      at += range.end - range.begin;
    }
    return Done{};
  };
  weighted_ = !edges.weight.empty();
  if (!known) {
    MESHPLAN_CHECK(send(edges.lhs, ends_[left]));
    MESHPLAN_CHECK(send(edges.rhs, ends_[right]));
    MESHPLAN_CHECK(send(edges.relation, relations_));
    if (weighted_) MESHPLAN_CHECK(send(edges.weight, weights_));
    edges_ = &edges;
    ranges_.assign(round.buckets.begin(), round.buckets.end());
  }
  std::vector<EdgePiece> pieces;
  first_piece_.clear();
  for (const EdgeGroup& group : round.groups) {
    first_piece_.push_back(static_cast<int64_t>(pieces.size()));
    for (const EdgeGroup::Piece& piece : group.pieces) {
      int64_t at = 0;  // on the device, ranges lie one after the other
      for (const EdgeRange& range : round.buckets) {
        if (piece.begin >= range.begin && piece.begin < range.end) {
          pieces.push_back({at + piece.begin - range.begin, piece.place});
          break;
        }
        at += range.end - range.begin;
      }
    }
  }
  first_piece_.push_back(static_cast<int64_t>(pieces.size()));
  return pieces_.fill(device_, pieces.data(), static_cast<int64_t>(pieces.size()));
}

void DeviceMemoryOfRound::edges_of(size_t group, DeviceDraw& draw) const {
  for (const End end : {left, right}) draw.edges[end] = ends_[end].as<int32_t>();
  draw.edge_relation = relations_.as<int32_t>();
  draw.edge_weight = weighted_ ? weights_.as<float>() : nullptr;
  draw.pieces = pieces_.as<EdgePiece>() + first_piece_[group];
  draw.piece_count = first_piece_[group + 1] - first_piece_[group];
}

Status DeviceMemoryOfRound::bring(const SharedParameters& parameters) {
  operator_first_.clear();
  int64_t count = 0;
  for (const ParameterTable* table : parameters.all()) {
    operator_first_.push_back(count);
    count += 2 * table->rows * table->cols;
  }
  MESHPLAN_CHECK(operators_.reserve(device_, 4 * count));
  size_t at = 0;
  for (const ParameterTable* table : parameters.all()) {
    const int64_t bytes = 4 * table->rows * table->cols;
    float* to = operators(at++);
    MESHPLAN_CHECK(device_.upload(to, table->values.data(), bytes));
    MESHPLAN_CHECK(device_.upload(to + bytes / 4, table->sums.data(), bytes));
  }
  return Done{};
}

Status DeviceMemoryOfRound::fetch(SharedParameters& parameters) {
  size_t at = 0;
  for (ParameterTable* table : parameters.all()) {
    const int64_t bytes = 4 * table->rows * table->cols;
    const float* from = operators(at++);
    MESHPLAN_CHECK(device_.download(table->values.data(), from, bytes));
    MESHPLAN_CHECK(device_.download(table->sums.data(), from + bytes / 4, bytes));
  }
  return Done{};
}

Status DeviceMemoryOfRound::settle(const Tables& tables, bool leaves) {
  for (const Table& table : tables) {
    const auto found = tables_.find(table.memory.data());
    if (found == tables_.end()) continue;                // never trained
    auto* to = const_cast<float*>(table.memory.data());  // the rows of the table, made current
    MESHPLAN_CHECK(device_.download(to, found->second.get(), table.bytes()));
    if (leaves) tables_.erase(found);
  }
  return Done{};
}

}  // namespace meshplan::graph
