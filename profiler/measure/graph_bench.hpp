// SPDX-License-Identifier: Apache-2.0
// What is timed for graph workloads, on one thread: losses and gradients of a chunk of edges, rows
// that are gathered from a table and stepped in it, operators that are stepped; a partition to the
// disk and back.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "profiler/kernels/graph_chunk.hpp"
#include "profiler/kernels/row_merge.hpp"
#include "topologies/base/result.hpp"

namespace meshplan {

class GraphBench {
 public:
  /// `folder` of the partition's file, which the destructor removes; `name` is this rank's own.
  GraphBench(const std::string& folder, const std::string& name);
  ~GraphBench();
  GraphBench(const GraphBench&) = delete;
  GraphBench& operator=(const GraphBench&) = delete;

  /// Both sides of `edges` edges, ComplEx with softmax, from gathered rows to their gradients;
  /// products in fp32 or bf16.
  std::function<Status()> chunk(int64_t edges, int64_t candidates, int64_t cols, DType products);
  /// kRows edges in the order of an epoch: their places among `count`, their ends and relations.
  std::function<Status()> edges(int64_t count);
  /// kRows rows of a table of `bytes`, drawn and read as the candidates of a chunk are.
  std::function<Status()> gather(int64_t bytes, int64_t cols);
  /// The same, their equal ones merged and each stepped by row-wise Adagrad, chunk after chunk.
  std::function<Status()> step(int64_t bytes, int64_t cols);
  /// Gradients of kRows edges' operators of `cols` values, summed by relation and stepped.
  std::function<Status()> operators(int64_t cols);
  static constexpr int64_t kRows = 2048;
  static constexpr int64_t kChunkRows = 512;    ///< of these rows
  static constexpr int64_t kBatchEdges = 1000;  ///< edges' operators, not in near caches
  std::function<Status()> store(int64_t bytes);
  /// Of what a store of as many bytes has left.
  std::function<Status()> load(int64_t bytes);

 private:
  /// A table of `bytes` on large pages, and more draws of its rows than the caches remember.
  void make_table(int64_t bytes, int64_t cols);
  void draw_rows();

  struct Free {
    void operator()(float* data) const;
  };
  std::string path_;
  int64_t table_rows_ = 0, table_bytes_ = 0, next_edge_ = 0;
  uint64_t next_ = 0;
  std::unique_ptr<float, Free> table_;
  std::vector<float> sums_, x_, y_, gradient_, dx_, dy_, operators_, drhs_, dlhs_, partition_;
  std::vector<int32_t> ids_, ends_, relations_, slots_;
  std::vector<const float*> from_;
  graph::RowMerge merge_;
  cpu::ChunkSpace space_;
};

}  // namespace meshplan
