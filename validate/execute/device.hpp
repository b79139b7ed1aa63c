// SPDX-License-Identifier: Apache-2.0
// On what does a rank compute? What the executor asks of a CPU or a GPU: everything else of it
// (schedule, lifetimes, sharding, communication) knows only this interface.
//
// Work is done in the order of the calls; take_sums() and download() wait for it, other calls need
// not. One thread, that of the rank, makes all calls.
#pragma once
#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "profiler/kernels/optimizer.hpp"
#include "strategies/program/op.hpp"
#include "topologies/base/result.hpp"

namespace meshplan {

class BlockState;
class RankEnv;
struct Routed;

/// Elements in the memory of a device.
struct Tensor {
  std::byte* data = nullptr;
  DType type = DType::fp32;
  Tensor from(int64_t elements) const { return {data + elements * bytes_of(type), type}; }
};

/// A buffer of the step program while it is alive.
using Memory = std::shared_ptr<std::byte>;
/// Activations of one block for one micro-batch, by buffer; null where not alive.
using Frame = std::vector<Memory>;

/// Some rows of a buffer.
struct Rows {
  BufferId id = -1;
  int64_t first = 0, count = 0;
};

/// What an operation works on.
struct OpSite {
  RankEnv& env;
  BlockState& state;
  Frame& frame;
  Routed* routed;                 ///< what routers did is added here
  std::array<Rows, 2> rows = {};  ///< of these buffers the operation sees these rows only

  Tensor tensor(BufferId id) const;
  int64_t elements(BufferId id) const;
};

/// Operands of sum = a + b and y = RMSNorm(sum), rows x cols of one type but rstd [rows] in fp32.
struct SumAndNorm {
  int64_t rows, cols;
  double epsilon;
  Tensor a, b, sum, weight, y, rstd;
};

/// Sums over operations since they were last taken.
struct StepSums {
  double loss = 0;          ///< of the tokens of all losses
  double squared_norm = 0;  ///< of what add_squared_norm was given
};

/// Names what a rank does in every step: a phase of its n-th block for a micro-batch.
using RepeatedWork = std::array<int64_t, 3>;

class Device {
 public:
  Device() = default;
  virtual ~Device() = default;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  /// Memory that lives as long as the device, aligned to kMemoryAlignment, contents undefined.
  /// Error: there is not so much.
  virtual Result<std::byte*> reserve(int64_t bytes) = 0;
  virtual Status upload(const void* host, int64_t bytes, std::byte* to) = 0;
  virtual Status download(const std::byte* from, int64_t bytes, void* host) = 0;

  virtual Status zero(int64_t bytes, std::byte* data) = 0;
  /// y = x in the type of y.
  virtual Status convert(int64_t count, Tensor x, Tensor y) = 0;
  /// y += x.
  virtual Status accumulate(int64_t count, Tensor x, Tensor y) = 0;
  /// x *= factor.
  virtual Status scale(int64_t count, float factor, Tensor x) = 0;
  /// Adds |x|^2 / copies to StepSums::squared_norm.
  virtual Status add_squared_norm(int64_t count, Tensor x, int copies) = 0;
  /// y may lie where a or b lay.
  virtual Status sum_and_norm(const SumAndNorm& operands) = 0;
  /// out[i] = parts[0][i] + parts[1][i] + ..., in that order and in fp32, rounded once; all of one
  /// type, `out` may be one of them.
  virtual Status sum(std::span<const Tensor> parts, int64_t count, Tensor out) = 0;
  /// Step number `step` = 1, 2, ... on the fp32 master weights, which may be `weight`; else weight
  /// is the master in its type.
  virtual Status adamw(const cpu::AdamW& adamw, int64_t step, double clip, int64_t count,
                       Tensor gradient, Tensor master, Tensor moment1, Tensor moment2,
                       Tensor weight) = 0;
  /// An operation of a block; collectives are not the device's.
  virtual Status apply(const Op& op, const OpSite& site) = 0;
  virtual Result<StepSums> take_sums() = 0;
  /// Keeps `blocks` multiprocessors busy for so long, as a collective would; nothing on a CPU.
  virtual Status occupy(int blocks, double seconds) = 0;
  /// Until all work is done.
  virtual Status wait() = 0;
  /// Bytes in use on the device by all that runs on it, libraries included; 0: not told.
  virtual int64_t used_bytes() const { return 0; }
  /// Name and libraries, for reports.
  virtual std::string about() const = 0;

  /// Work between begin and end is the same in every step: the same operations on the same
  /// addresses. false: the device does it by itself, the caller only keeps its books.
  virtual Result<bool> begin_repeated(const RepeatedWork& work) = 0;
  virtual Status end_repeated() = 0;
  /// Scratch, valid until the next call with this slot: 0 to 3 for the operation at hand.
  virtual Result<std::byte*> scratch(int slot, int64_t bytes) = 0;
};

constexpr int64_t kMemoryAlignment = 256;
/// Slots of scratch of a reduction under way, and of pieces of a product on their way.
constexpr int kReductionScratch = 4, kPieceScratch = 5;
constexpr int kScratchSlots = 6;

/// fp32 numbers of the host into a tensor (fp32 or bf16), and back.
Status put(Device& device, std::span<const float> host, Tensor to);
Status get(Device& device, Tensor from, std::span<float> host);

/// A kind of operation that no kernel of this device carries out: exit code 3.
Diagnostic not_executed(const OpSite& site, const char* what);

}  // namespace meshplan
