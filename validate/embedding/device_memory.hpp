// SPDX-License-Identifier: Apache-2.0
// What of a round is on the device, and since when? Tables that are met again are not sent again,
// nor are edges.
#pragma once
#include <map>

#include "profiler/kernels/graph_device.hpp"
#include "validate/embedding/batch_worker.hpp"

namespace meshplan::graph {

/// Memory of the device that grows, its contents lost when it does.
class DeviceBuffer {
 public:
  Status reserve(GraphDevice& device, int64_t bytes) {
    if (bytes <= bytes_) return Done{};
    memory_.reset();
    bytes_ = 0;
    MESHPLAN_TRY(memory_, device.allocate(bytes));
    bytes_ = bytes;
    return Done{};
  }
  template <class T>
  Status fill(GraphDevice& device, const T* from, int64_t count) {
    MESHPLAN_CHECK(reserve(device, count * static_cast<int64_t>(sizeof(T))));
    return device.upload(memory_.get(), from, count * static_cast<int64_t>(sizeof(T)));
  }
  template <class T>
  T* as() const {
    return static_cast<T*>(memory_.get());
  }

 private:
  std::shared_ptr<void> memory_;
  int64_t bytes_ = 0;
};

class DeviceMemoryOfRound {
 public:
  explicit DeviceMemoryOfRound(GraphDevice& device) : device_(device) {}

  Status bring(const TrainingRound& round);
  Status bring(const SharedParameters& parameters);
  Status fetch(SharedParameters& parameters);
  Status settle(const Tables& tables, bool leaves);

  DeviceParts rows(int type) const { return parts_[static_cast<size_t>(type)]; }
  /// Ends, relations and weights, and the pieces of a group, into `draw`.
  void edges_of(size_t group, DeviceDraw& draw) const;
  /// values, then sums, of the table at this place of SharedParameters::all().
  float* operators(size_t at) const { return operators_.as<float>() + operator_first_[at]; }

 private:
  Status bring_tables(const std::vector<LoadedRows>& rows);
  Status bring_edges(const TrainingRound& round);

  GraphDevice& device_;
  std::map<const float*, std::shared_ptr<void>> tables_;  ///< by their memory on the host
  std::vector<DeviceParts> parts_;                        ///< by entity type
  DeviceBuffer part_list_, ends_[2], relations_, weights_, pieces_, operators_;
  const Edges* edges_ = nullptr;
  std::vector<EdgeRange> ranges_;
  std::vector<int64_t> first_piece_, operator_first_;  ///< by group; by table
  bool weighted_ = false;
};

}  // namespace meshplan::graph
