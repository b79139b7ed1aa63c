// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "profiler/cuda/gemm.hpp"
#include "profiler/cuda/gpu.hpp"
#include "profiler/cuda/graph.hpp"
#include "profiler/cuda/graph_batch.hpp"

namespace meshplan::cuda {
namespace {

using namespace graph;  // NOLINT

class CudaGraphDevice : public GraphDevice {
 public:
  Status make(int gpu) {
    MESHPLAN_TRY(const std::vector<GpuFacts> present, gpus());
    MESHPLAN_CUDA(cudaSetDevice(gpu % static_cast<int>(present.size())));
    name_ = present[static_cast<size_t>(gpu) % present.size()].name;
    MESHPLAN_TRY(stream_, make_stream());
    MESHPLAN_TRY(products_, Products::make());
    MESHPLAN_TRY(odd_products_, Products::make());
    products_->candidates = 32;  // few shapes, unlike those that the heuristics know best
    odd_products_->candidates = 1;
    return Done{};
  }

  std::string name() const override { return name_; }
  int64_t peak_bytes() const override { return memory_->peak; }
  int64_t free_bytes() const override {
    size_t free = 0, total = 0;
    return cudaMemGetInfo(&free, &total) == cudaSuccess ? static_cast<int64_t>(free) : 0;
  }

  Result<std::shared_ptr<void>> allocate(int64_t bytes) override {
    MESHPLAN_TRY(DeviceMemory made, DeviceMemory::make(std::max<int64_t>(bytes, 256)));
    memory_->held += made.bytes();
    memory_->peak = std::max(memory_->peak, memory_->held);
    auto owner = std::make_shared<DeviceMemory>(std::move(made));
    const auto free = [owner, memory = memory_](void*) mutable {
      memory->held -= owner->bytes();
      owner.reset();
    };
    return std::shared_ptr<void>(owner->get(), free);
  }
  Status upload(void* to, const void* from, int64_t bytes) override {
    if (bytes == 0) return Done{};
    return status_of(
        cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, get()),
        "cudaMemcpyAsync");
  }
  Status download(void* to, const void* from, int64_t bytes) override {
    if (bytes == 0) return Done{};
    MESHPLAN_CUDA(
        cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost, get()));
    return status_of(cudaStreamSynchronize(get()), "cudaStreamSynchronize");
  }
  Status zero(void* data, int64_t bytes) override {
    return status_of(cudaMemsetAsync(data, 0, static_cast<size_t>(bytes), get()),
                     "cudaMemsetAsync");
  }

  Status draw(const ChunkGrid& grid, const DeviceDraw& draw) override {
    return graph_draw(get(), grid, draw);
  }
  Status gather(const DeviceGather& gather) override { return graph_gather(get(), gather); }
  Status operate(const DeviceOperate& operate) override { return graph_operate(get(), operate); }
  Status operator_gradient(const DeviceOperatorGradient& gradient) override {
    return graph_operator_gradient(get(), gradient);
  }
  Status product(const DeviceProduct& p) override {
    const Product product{.m = p.m,
                          .n = p.n,
                          .k = p.k,
                          .layout = p.layout,
                          .in = p.type,
                          .out = DType::fp32,
                          .count = p.count,
                          .a_stride = p.a_stride,
                          .b_stride = p.b_stride,
                          .c_stride = p.c_stride};
    return (p.odd ? odd_products_ : products_)->run(get(), product, p.a, p.b, p.c);
  }
  Status loss(const DeviceLoss& loss) override { return graph_loss(get(), loss); }
  Status n3(const DeviceN3& n3) override { return graph_n3(get(), n3); }
  Status add(const DeviceAdd& add) override { return graph_add(get(), add); }
  Status step(const DeviceStep& step) override {
    if (step.count > space_.count) MESHPLAN_CHECK(grow(step.count));
    return graph_step(get(), step, space_);
  }
  Status sum(int64_t count, const float* losses, double* sum) override {
    return graph_sum(get(), count, losses, sum);
  }

 private:
  struct Counted {
    int64_t held = 0, peak = 0;
  };
  cudaStream_t get() const { return stream_.get(); }

  Status grow(int64_t count) {
    MESHPLAN_TRY(space_.sort_bytes, graph_sort_bytes(count));
    const int64_t each = 4 * ((count + 63) / 64 * 64);
    space_memory_.reset();
    MESHPLAN_TRY(space_memory_, allocate(3 * each + space_.sort_bytes));
    auto* at = static_cast<std::byte*>(space_memory_.get());
    space_.count = count;
    space_.places = reinterpret_cast<int32_t*>(at);
    space_.position = reinterpret_cast<int32_t*>(at + each);
    space_.id = reinterpret_cast<uint32_t*>(at + 2 * each);
    space_.sort = at + 3 * each;
    return graph_places(get(), count, space_.places);
  }

  std::string name_;
  std::shared_ptr<Counted> memory_ = std::make_shared<Counted>();
  Stream stream_;
  std::unique_ptr<Products> products_, odd_products_;  ///< kernels of the odd ones are not timed
  GraphStepSpace space_;
  std::shared_ptr<void> space_memory_;
};

}  // namespace

Result<std::unique_ptr<GraphDevice>> make_graph_device(int gpu) {
  auto device = std::make_unique<CudaGraphDevice>();
  MESHPLAN_CHECK(device->make(gpu));
  return std::unique_ptr<GraphDevice>(std::move(device));
}

}  // namespace meshplan::cuda
