// SPDX-License-Identifier: Apache-2.0
#include "profiler/cuda/memory.hpp"

#include <algorithm>

namespace meshplan::cuda {

Result<Stream> make_stream() {
  cudaStream_t stream = nullptr;
  MESHPLAN_CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  return Stream(stream);
}

Result<Event> make_event(bool timed) {
  cudaEvent_t event = nullptr;
  MESHPLAN_CUDA(
      cudaEventCreateWithFlags(&event, timed ? cudaEventDefault : cudaEventDisableTiming));
  return Event(event);
}

Status order(cudaStream_t first, cudaStream_t stream) {
  // the runtime keeps a destroyed event until the wait on it is over
  MESHPLAN_TRY(const Event event, make_event(false));
  MESHPLAN_CUDA(cudaEventRecord(event.get(), first));
  return status_of(cudaStreamWaitEvent(stream, event.get(), 0), "cudaStreamWaitEvent");
}

Result<double> seconds_between(const Event& begin, const Event& end) {
  MESHPLAN_CUDA(cudaEventSynchronize(end.get()));
  float milliseconds = 0;
  MESHPLAN_CUDA(cudaEventElapsedTime(&milliseconds, begin.get(), end.get()));
  return milliseconds / 1e3;
}

Result<DeviceMemory> DeviceMemory::make(int64_t bytes) {
  void* memory = nullptr;
  MESHPLAN_CUDA(cudaMalloc(&memory, static_cast<size_t>(std::max<int64_t>(bytes, 16))));
  DeviceMemory made;
  made.memory_ = Owner<void*, cudaFree>(memory);
  made.bytes_ = bytes;
  return made;
}

Status Graph::begin_record(cudaStream_t stream) {
  return status_of(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal),
                   "cudaStreamBeginCapture");
}

Result<Graph> Graph::end_record(cudaStream_t stream) {
  cudaGraph_t raw = nullptr;
  const cudaError_t ended = cudaStreamEndCapture(stream, &raw);
  const Owner<cudaGraph_t, cudaGraphDestroy> graph(raw);
  MESHPLAN_CHECK(status_of(ended, "cudaStreamEndCapture"));
  cudaGraphExec_t ready = nullptr;
  MESHPLAN_CUDA(cudaGraphInstantiate(&ready, graph.get(), 0));
  Graph made;
  made.graph_ = Owner<cudaGraphExec_t, cudaGraphExecDestroy>(ready);
  return made;
}

Status Graph::launch(cudaStream_t stream) const {
  return status_of(cudaGraphLaunch(graph_.get(), stream), "cudaGraphLaunch");
}

Result<int> gpu_count() {
  int count = 0;
  const Status status = status_of(cudaGetDeviceCount(&count), "cudaGetDeviceCount");
  if (status.ok() && count > 0) return count;
  std::string message = "no GPU that CUDA can use";
  if (!status.ok()) message += ": " + status.error().message;
  return Diagnostic{.kind = ErrorKind::missing, .message = std::move(message)};
}

}  // namespace meshplan::cuda
