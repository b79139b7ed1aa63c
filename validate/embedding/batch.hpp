// SPDX-License-Identifier: Apache-2.0
// How is one batch of edges trained? Chunks with their candidates, gradients, one step of every row
// that was touched.
//
// A batch gives the same result with any number of workers: every row that a chunk reads is as it
// was before the batch, and sums its gradients in one order. Several BatchTrainers on the
// same tables at once are Hogwild (Niu et al., arXiv 1106.5730): fast, and not reproducible.
#pragma once
#include <span>

#include "profiler/kernels/graph_chunk.hpp"
#include "profiler/kernels/row_step.hpp"
#include "profiler/kernels/workers.hpp"
#include "validate/embedding/loaded_rows.hpp"

namespace meshplan::graph {

/// Places in `edges` of the batch's edges; all of one relation unless batches mix relations.
struct Batch {
  const Edges* edges = nullptr;
  std::span<const int32_t> places;
  const std::vector<LoadedRows>* rows = nullptr;  ///< by entity type; all ends are among them
  uint64_t key = 0;                               ///< of the uniform negatives
};

/// Multiplies once as a chunk does. The libraries of the products load and generate code then,
/// which is the program's memory, not the plan's.
void load_products(const Workload& workload, DType products);

class BatchTrainer {
 public:
  /// products: see cpu::Pairs.
  BatchTrainer(const Workload& workload, SharedParameters& parameters, cpu::Workers& workers,
               DType products);

  /// Loss summed over the edges, N3 with it.
  double train(const Batch& batch);

 private:
  struct Side {
    const LoadedRows* rows = nullptr;
    int type = 0;
    int64_t candidates = 0;      ///< uniform ones of a chunk
    std::vector<int32_t> ids;    ///< places in `rows`, chunk after chunk
    std::vector<int64_t> first;  ///< place of a chunk's first in ids
    std::vector<float> global;   ///< gradients of the type's global vector, [chunks, D]

    std::span<const int32_t> of(int64_t chunk) const {
      const auto c = static_cast<size_t>(chunk);
      return {ids.data() + first[c], ids.data() + first[c + 1]};
    }
  };
  /// Rows of one type that the batch moves.
  struct Moved {
    const LoadedRows* rows = nullptr;
    RowMerge merge;
    std::vector<float> kept;  ///< gradients of rows that several chunks touch
  };
  struct Space {
    cpu::ChunkSpace chunk;
    std::vector<float> x, y, gradient, row;
    std::vector<const float*> from;
  };

  void read_edges(const Batch& batch);
  void draw(const Batch& batch, Side& side, bool right, uint64_t stream);
  void merge_rows();
  double run_chunk(const Batch& batch, int64_t chunk, Space& space);
  void gather(const Side& side, int64_t chunk, Space& space, std::vector<float>& out) const;
  RowStep<LoadedRows> step_of(Moved& moved) const;
  void update_parameters(ParameterTable& table, std::vector<float>& gradient);
  void update_global(const Side& side);

  const Workload& w_;
  SharedParameters& parameters_;
  cpu::Workers& workers_;
  DType products_;
  bool mixed_;
  int64_t chunk_edges_;
  size_t type_ = 0;       ///< relation type of the batch
  int32_t relation_ = 0;  ///< row of its operator where the batch has one relation
  int64_t chunks_ = 0;
  Side lhs_, rhs_;
  Moved moved_[2];  ///< the second where the sides are of different types
  /// Operators: an edge's slot among the gradients of its chunk, [groups, parameters].
  RowMerge operators_;
  std::vector<int32_t> relations_, slots_;
  std::vector<float> rhs_gradient_, lhs_gradient_, weights_;
  std::vector<uint8_t> loops_;
  std::vector<double> loss_;
  std::vector<Space> spaces_;  ///< by worker
};

}  // namespace meshplan::graph
