// SPDX-License-Identifier: Apache-2.0
// What is timed for graph workloads: a chunk of edges on one thread from rows to rows, a partition
// to the disk and back.
#pragma once
#include <functional>
#include <string>

#include "profiler/kernels/graph_chunk.hpp"
#include "topologies/base/result.hpp"

namespace meshplan {

class GraphBench {
 public:
  /// `folder` of the partition's file, which the destructor removes; `name` is this rank's own.
  GraphBench(const std::string& folder, const std::string& name);
  ~GraphBench();
  GraphBench(const GraphBench&) = delete;
  GraphBench& operator=(const GraphBench&) = delete;

  /// Both sides of `edges` edges, ComplEx with softmax: rows gathered, gradients, rows stepped.
  std::function<Status()> bucket(int64_t edges, int64_t candidates, int64_t cols);
  std::function<Status()> store(int64_t bytes);
  /// Of what a store of as many bytes has left.
  std::function<Status()> load(int64_t bytes);

 private:
  void step(const std::vector<int32_t>& ids, const std::vector<float>& gradient);

  std::string path_;
  int64_t cols_ = 0;
  std::vector<float> table_, sums_, x_, y_, dx_, dy_, operators_, drhs_, dlhs_, partition_;
  std::vector<int32_t> lhs_, rhs_, relations_;
  cpu::ChunkSpace space_;
};

}  // namespace meshplan
