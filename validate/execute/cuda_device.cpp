// SPDX-License-Identifier: Apache-2.0
#include "validate/execute/cuda_device.hpp"

#include <fmt/format.h>

#include <cstring>
#include <optional>

#include "profiler/cuda/norm.hpp"
#include "profiler/cuda/optimizer.hpp"
#include "profiler/cuda/rank_sum.hpp"
#include "validate/execute/cuda_apply.hpp"

namespace meshplan {
namespace {

/// Small uploads go through pinned memory, so that the host need not wait for the GPU.
class Staging {
 public:
  Status make() {
    for (Slot& slot : slots_) {
      void* memory = nullptr;
      MESHPLAN_CUDA(cudaMallocHost(&memory, kBytes));
      slot.memory = cuda::Owner<void*, cudaFreeHost>(memory);
      MESHPLAN_TRY(slot.free, cuda::make_event(false));
    }
    return Done{};
  }
  static bool takes(int64_t bytes) { return bytes <= kBytes; }
  Status upload(cudaStream_t stream, const void* host, size_t bytes, std::byte* to) {
    Slot& slot = slots_[next_++ % slots_.size()];
    MESHPLAN_CUDA(cudaEventSynchronize(slot.free.get()));
    std::memcpy(slot.memory.get(), host, bytes);
    MESHPLAN_CUDA(cudaMemcpyAsync(to, slot.memory.get(), bytes, cudaMemcpyHostToDevice, stream));
    return cuda::status_of(cudaEventRecord(slot.free.get(), stream), "cudaEventRecord");
  }

 private:
  static constexpr int64_t kBytes = 1 << 18;
  struct Slot {
    cuda::Owner<void*, cudaFreeHost> memory;
    cuda::Event free;
  };
  std::array<Slot, 32> slots_;
  size_t next_ = 0;
};

class CudaDevice : public Device {
 public:
  Status make(cudaStream_t stream, const CudaDeviceOptions& options) {
    stream_ = stream;
    MESHPLAN_TRY(kernels_, CudaKernels::make(stream, options));
    return staging_.make();
  }

  Result<std::byte*> reserve(int64_t bytes) override {
    size_t free = 0, total = 0;
    MESHPLAN_CUDA(cudaMemGetInfo(&free, &total));
    if (static_cast<int64_t>(free) < bytes) {
      return Diagnostic{
          .kind = ErrorKind::no_plan,
          .message = fmt::format("a rank needs {} bytes, {} of the GPU are free", bytes, free),
          .rule = "executor.memory",
          .hint = "a smaller model, fewer layers, a shorter sequence or more recompute"};
    }
    MESHPLAN_TRY(cuda::DeviceMemory memory, cuda::DeviceMemory::make(bytes));
    reserved_.push_back(std::move(memory));
    return reserved_.back().as<std::byte>();
  }
  Status upload(const void* host, int64_t bytes, std::byte* to) override {
    const auto size = static_cast<size_t>(bytes);
    if (Staging::takes(bytes)) return staging_.upload(stream_, host, size, to);
    MESHPLAN_CUDA(cudaMemcpyAsync(to, host, size, cudaMemcpyHostToDevice, stream_));
    return wait();
  }
  Status download(const std::byte* from, int64_t bytes, void* host) override {
    MESHPLAN_CUDA(
        cudaMemcpyAsync(host, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost, stream_));
    return wait();
  }
  Status zero(int64_t bytes, std::byte* data) override {
    return cuda::status_of(cudaMemsetAsync(data, 0, static_cast<size_t>(bytes), stream_),
                           "cudaMemsetAsync");
  }
  Status convert(int64_t count, Tensor x, Tensor y) override {
    if (x.type != y.type) return cuda::convert(stream_, count, x.type, x.data, y.type, y.data);
    if (x.data == y.data) return Done{};
    return cuda::status_of(
        cudaMemcpyAsync(y.data, x.data, static_cast<size_t>(count * bytes_of(x.type)),
                        cudaMemcpyDeviceToDevice, stream_),
        "cudaMemcpyAsync");
  }
  Status accumulate(int64_t count, Tensor x, Tensor y) override {
    return cuda::accumulate(stream_, count, 1, x.type, x.data, y.type, y.data);
  }
  Status scale(int64_t count, float factor, Tensor x) override {
    return cuda::scale(stream_, count, factor, x.type, x.data);
  }
  Status add_squared_norm(int64_t count, Tensor x, int copies) override {
    MESHPLAN_TRY(double* const slot, kernels_->sum_slot({copies}));
    MESHPLAN_TRY(std::byte* const workspace, scratch(3, cuda::squared_norm_workspace()));
    return cuda::squared_norm(stream_, count, x.type, x.data, slot,
                              reinterpret_cast<double*>(workspace));
  }
  Status sum_and_norm(const SumAndNorm& x) override {
    const int64_t bytes = x.rows * x.cols * bytes_of(x.y.type);
    // a block of the fused kernel writes a row of y when it has read that row alone
    const auto shifted = [&](Tensor operand) {
      const auto distance = std::abs(operand.data - x.y.data);
      return distance != 0 && distance < bytes;
    };
    const auto epsilon = static_cast<float>(x.epsilon);
    auto* rstd = reinterpret_cast<float*>(x.rstd.data);
    const DType type = x.sum.type;
    if (!shifted(x.a) && !shifted(x.b)) {
      return cuda::rmsnorm_forward(stream_, x.rows, x.cols, epsilon, type, x.a.data, x.b.data,
                                   x.sum.data, x.weight.data, x.y.data, rstd);
    }
    MESHPLAN_CHECK(cuda::add(stream_, x.rows * x.cols, type, x.a.data, x.b.data, x.sum.data));
    return cuda::rmsnorm_forward(stream_, x.rows, x.cols, epsilon, type, x.sum.data, nullptr,
                                 nullptr, x.weight.data, x.y.data, rstd);
  }
  Status sum(std::span<const Tensor> parts, int64_t count, Tensor out) override {
    std::vector<const void*> sources;
    for (const Tensor& part : parts) sources.push_back(part.data);
    const Element element = out.type == DType::fp32 ? Element::fp32 : Element::bf16;
    return cuda::reduce_in_order(stream_, element, ReduceOp::sum, sources, count, out.data);
  }
  Status adamw(const cpu::AdamW& adamw, int64_t step, double clip, int64_t count, Tensor gradient,
               Tensor master, Tensor moment1, Tensor moment2, Tensor weight) override {
    const auto fp32 = [](Tensor x) { return reinterpret_cast<float*>(x.data); };
    return cuda::adamw_step(stream_, adamw, step, clip, count, gradient.type, gradient.data,
                            fp32(master), fp32(moment1), fp32(moment2), weight.type, weight.data);
  }
  Status apply(const Op& op, const OpSite& site) override {
    return std::visit(CudaApply(*kernels_, site, op), op.body);
  }
  Result<StepSums> take_sums() override {
    ++steps_;
    return kernels_->take_sums();
  }
  Result<std::byte*> scratch(int slot, int64_t bytes) override {
    return kernels_->scratch(slot, bytes);
  }
  Status occupy(int blocks, double seconds) override {
    constexpr int64_t kBytes = 64 << 20;  // beyond the second-level cache
    // a slot of its own: the others must not grow once graphs are recorded
    MESHPLAN_TRY(std::byte* const buffer, scratch(kScratchSlots, kBytes));
    return cuda::stand_in(stream_, blocks, seconds, buffer, kBytes);
  }
  Status wait() override {
    return cuda::status_of(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
  }
  int64_t used_bytes() const override {
    size_t free = 0, total = 0;
    return cudaMemGetInfo(&free, &total) == cudaSuccess ? static_cast<int64_t>(total - free) : 0;
  }
  std::string about() const override {
    cudaDeviceProp properties{};
    int device = 0;
    const bool known = cudaGetDevice(&device) == cudaSuccess &&
                       cudaGetDeviceProperties(&properties, device) == cudaSuccess;
    return fmt::format("{}; attention by {}", known ? properties.name : "GPU",
                       kernels_->cudnn != nullptr
                           ? "cuDNN, in what it does not take by plain kernels"
                           : "plain kernels: " + kernels_->cudnn_absent);
  }

  /// The first step runs as it is (libraries choose their kernels), the second one is recorded and
  /// run, later ones run the record.
  Result<bool> begin_repeated(const RepeatedWork& work) override {
    if (!kernels_->options.graphs || steps_ == 0) return true;
    current_ = &records_[work];
    Record& record = *current_;
    if (record.graph) {
      std::vector<CudaKernels::Sum>& sums = kernels_->sums();
      if (sums.size() != record.first_sum) {
        return Diagnostic{.message = "a recorded part of the step comes in another order",
                          .rule = "executor.graph"};
      }
      sums.insert(sums.end(), record.sums.begin(), record.sums.end());
      return false;
    }
    record.first_sum = kernels_->sums().size();
    MESHPLAN_CHECK(cuda::Graph::begin_record(stream_));
    return true;
  }
  Status end_repeated() override {
    if (current_ == nullptr) return Done{};
    Record& record = *std::exchange(current_, nullptr);
    if (!record.graph) {
      MESHPLAN_TRY(record.graph, cuda::Graph::end_record(stream_));
      const std::vector<CudaKernels::Sum>& sums = kernels_->sums();
      record.sums.assign(sums.begin() + static_cast<std::ptrdiff_t>(record.first_sum), sums.end());
    }
    return record.graph->launch(stream_);
  }

 private:
  struct Record {
    std::optional<cuda::Graph> graph;
    size_t first_sum = 0;
    std::vector<CudaKernels::Sum> sums;
  };
  cudaStream_t stream_ = nullptr;
  std::unique_ptr<CudaKernels> kernels_;
  Staging staging_;
  std::vector<cuda::DeviceMemory> reserved_;
  int64_t steps_ = 0;
  std::map<RepeatedWork, Record> records_;
  Record* current_ = nullptr;
};

}  // namespace

Result<std::unique_ptr<Device>> make_cuda_device(CUstream_st* stream,
                                                 const CudaDeviceOptions& options) {
  auto device = std::make_unique<CudaDevice>();
  MESHPLAN_CHECK(device->make(stream, options));
  return std::unique_ptr<Device>(std::move(device));
}

}  // namespace meshplan
