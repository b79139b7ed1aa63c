// SPDX-License-Identifier: Apache-2.0
#include "profiler/comm/gpu_world.hpp"

#include <fmt/format.h>

#include "profiler/cuda/gpu_group.hpp"

namespace meshplan {
namespace {

class DeviceWorld : public GpuWorld {
 public:
  DeviceWorld(World& base, GpuTransport transport, std::unique_ptr<cuda::RankStreams> streams)
      : base_(base), transport_(transport), streams_(std::move(streams)) {}

  int rank() const override { return base_.rank(); }
  int size() const override { return base_.size(); }
  void stop(const std::string& reason) override { base_.stop(reason); }
  CUstream_st* compute_stream() const override { return streams_->compute.get(); }

  Result<std::unique_ptr<Communicator>> group(const std::vector<int>& members,
                                              const std::string& label) override {
    MESHPLAN_TRY(std::unique_ptr<Communicator> base, base_.group(members, label));
    return transport_ == GpuTransport::nccl
               ? cuda::nccl_group(std::move(base), *streams_, &ledger())
               : cuda::shared_group(std::move(base), *streams_, &ledger());
  }

 private:
  World& base_;
  GpuTransport transport_;
  std::unique_ptr<cuda::RankStreams> streams_;
};

}  // namespace

Result<std::unique_ptr<GpuWorld>> GpuWorld::make(World& base, const GpuWorldOptions& options) {
  MESHPLAN_TRY(auto streams, cuda::make_rank_streams(options.device));
  return std::unique_ptr<GpuWorld>(
      std::make_unique<DeviceWorld>(base, options.transport, std::move(streams)));
}

namespace cuda {

Result<std::unique_ptr<RankStreams>> make_rank_streams(int device) {
  MESHPLAN_TRY(const int count, gpu_count());
  if (device < 0 || device >= count) {
    return Diagnostic{.kind = ErrorKind::missing,
                      .message = fmt::format("there are {} GPUs here", count),
                      .where = "device of a rank",
                      .value = std::to_string(device)};
  }
  MESHPLAN_CUDA(cudaSetDevice(device));  // of the calling thread, which is the rank's
  auto streams = std::make_unique<RankStreams>();
  streams->device = device;
  MESHPLAN_TRY(streams->compute, make_stream());
  return streams;
}

Status RankStreams::begin(cudaStream_t stream) {
  MESHPLAN_CHECK(order(compute.get(), stream));
  for (const cudaEvent_t event : settled) MESHPLAN_CUDA(cudaStreamWaitEvent(stream, event, 0));
  settled.clear();
  return Done{};
}

}  // namespace cuda
}  // namespace meshplan
