// SPDX-License-Identifier: Apache-2.0
// What must a device with memory of its own do to train a batch of a graph's edges, all chunks at
// once? validate/embedding/device_batch.hpp puts these steps together; profiler/cuda/graph.hpp has
// them on GPUs. Pointers are into the device's memory, values fp32.
//
// Rows have a multiple of four values, and begin at 16 bytes.
// Rows of a side of a batch lie chunk after chunk in `slots` each: the ends of the edges, uniform
// candidates, rows of zeros up to a multiple of eight, whose id is kNoRow.
#pragma once
#include <memory>
#include <string>

#include "profiler/kernels/graph_random.hpp"
#include "strategies/embedding/workload.hpp"
#include "strategies/program/op.hpp"

namespace meshplan::graph {

inline constexpr int32_t kNoRow = -1;
enum End : uint8_t { left, right };

/// Rows of one partition, and its first entity by index and by place; see LoadedRows.
struct DevicePart {
  float *values, *sums;
  int64_t first, place;
};
/// The loaded partitions of an entity type.
struct DeviceParts {
  const DevicePart* parts = nullptr;
  int64_t count = 0;
  int64_t rows = 0;  ///< of all of them
};

/// Chunks of the same size.
struct ChunkGrid {
  int64_t chunks = 0, edges = 0, cols = 0;
  int64_t uniform[2] = {}, slots[2] = {};  ///< by End
  constexpr int64_t rows(End end) const { return chunks * slots[end]; }
  constexpr int64_t queries() const { return chunks * edges; }
};

/// Edges that a batch is cut from: pieces of the device's edges, one after the other.
struct EdgePiece {
  int64_t begin, place;  ///< of its first edge: among the device's edges, among those of the pieces
};
/// Ends, relations and weights of a grid's edges and its uniform candidates. Edge i of the grid is
/// order(from + i) of the pieces.
struct DeviceDraw {
  const int32_t *edges[2] = {}, *edge_relation = nullptr;  ///< by End
  const float* edge_weight = nullptr;                      ///< null: all 1
  const EdgePiece* pieces = nullptr;
  int64_t piece_count = 0;
  Permutation order{1, 0};
  int64_t from = 0;
  DeviceParts rows[2];
  uint64_t key[2] = {};   ///< of the uniform candidates
  int64_t drawn[2] = {};  ///< of them by earlier chunks of the batch
  int32_t *ids[2] = {}, *relations = nullptr;
  float* weights = nullptr;  ///< with edge_weight
};

/// out [rows, cols]: rows of the table, zeros for kNoRow. narrow, here and below: the same rounded
/// to bf16, or null. With it, only the first `wide` of every `slots` rows are in out.
struct DeviceGather {
  int64_t rows = 0, cols = 0, slots = 0, wide = 0;
  DeviceParts table;
  const int32_t* ids = nullptr;
  float* out = nullptr;
  uint16_t* narrow = nullptr;
};

/// The first `rows` rows of every chunk, whose own first rows lie `slots` apart.
struct ChunkRows {
  float* data = nullptr;
  int64_t slots = 0;
};

/// The operators' rows: [chunks, rows] with `relations` of their own, else all have `params`.
struct DeviceOperator {
  Operator op = Operator::none;
  int64_t chunks = 0, rows = 0, cols = 0, parameters = 0;
  const float* params = nullptr;
  const int32_t* relations = nullptr;
};
struct DeviceOperate {
  DeviceOperator op;
  ChunkRows x, out;
  uint16_t* narrow = nullptr;  ///< rows as those of out, in their place
};
/// dx (added to with `add`, else written), dparams (written): a row a row with relations, else a
/// row a chunk, summed.
struct DeviceOperatorGradient {
  DeviceOperator op;
  ChunkRows x, d, dx;
  bool add = false;
  float* dparams = nullptr;
};

/// c = a b of `count` pairs of matrices, each so far from the last; layouts of op.hpp, m, n, k of
/// one pair. fp32, or operands in bf16 and c in fp32.
struct DeviceProduct {
  Layout layout = Layout::tn;
  DType type = DType::fp32;
  bool odd = false;  ///< a shape that is seldom met again
  int64_t count = 0, m = 0, n = 0, k = 0;
  const void *a = nullptr, *b = nullptr;
  float* c = nullptr;
  int64_t a_stride = 0, b_stride = 0, c_stride = 0;
};

/// scores [chunks, edges, slots] become their gradients, or with `narrow` scratch: the gradients
/// are there; losses [chunks, edges] are added to. See loss_gradient in graph_loss.hpp.
struct DeviceLoss {
  Loss loss = Loss::softmax;
  float margin = 0, scale = 1;
  bool mask_batch = false;
  int64_t chunks = 0, edges = 0, candidates = 0, slots = 0;
  const int32_t* ids = nullptr;    ///< [chunks, slots], to mask the answers; else null
  const float* weights = nullptr;  ///< [chunks, edges]; null: all 1
  float *scores = nullptr, *losses = nullptr;
  uint16_t* narrow = nullptr;
};

/// g += gradient of factor * sum of |z|^3 of the first `rows` rows of every chunk; losses [chunks,
/// rows] are added to. `index`: rows of one table, by row; else x of the chunks.
struct DeviceN3 {
  bool halves = false;
  int64_t chunks = 0, rows = 0, cols = 0;
  float factor = 0;
  ChunkRows x, g;
  const int32_t* index = nullptr;
  float* losses = nullptr;
  int64_t loss_stride = 0;  ///< between the losses of two chunks
};

/// to += from, the first `rows` rows of every chunk.
struct DeviceAdd {
  int64_t chunks = 0, rows = 0, cols = 0;
  ChunkRows from, to;
};

/// Gradients [count, cols] of the rows `ids`, summed for equal ids in the order of their places (in
/// place: they are overwritten); then every row makes one step. See row_adagrad, value_adagrad.
struct DeviceStep {
  int64_t count = 0, cols = 0;
  const int32_t* ids = nullptr;
  bool same_ids = false;  ///< as those of the step before
  float* gradient = nullptr;
  float rate = 0, max_norm = 0;
  DeviceParts table;  ///< row-wise Adagrad; or, where it has none:
  float *values = nullptr, *sums = nullptr;
  int64_t rows = 0;  ///< of values
};

/// Errors of all steps: the device's. Steps are done in their order.
class GraphDevice {
 public:
  GraphDevice() = default;
  virtual ~GraphDevice() = default;
  GraphDevice(const GraphDevice&) = delete;
  GraphDevice& operator=(const GraphDevice&) = delete;

  virtual std::string name() const = 0;
  /// Aligned to 256 bytes, freed with the last owner. Error (check): no room.
  virtual Result<std::shared_ptr<void>> allocate(int64_t bytes) = 0;
  virtual Status upload(void* to, const void* from, int64_t bytes) = 0;
  virtual Status download(void* to, const void* from, int64_t bytes) = 0;  ///< waits
  virtual Status zero(void* data, int64_t bytes) = 0;
  virtual int64_t peak_bytes() const = 0;  ///< the most that was allocated at a time
  virtual int64_t free_bytes() const = 0;  ///< that could be allocated now

  virtual Status draw(const ChunkGrid& grid, const DeviceDraw& draw) = 0;
  virtual Status gather(const DeviceGather& gather) = 0;
  virtual Status operate(const DeviceOperate& operate) = 0;
  virtual Status operator_gradient(const DeviceOperatorGradient& gradient) = 0;
  virtual Status product(const DeviceProduct& product) = 0;
  virtual Status loss(const DeviceLoss& loss) = 0;
  virtual Status n3(const DeviceN3& n3) = 0;
  virtual Status add(const DeviceAdd& add) = 0;
  virtual Status step(const DeviceStep& step) = 0;
  /// *sum += all losses
  virtual Status sum(int64_t count, const float* losses, double* sum) = 0;
};

}  // namespace meshplan::graph
