// SPDX-License-Identifier: Apache-2.0
// Owners of what the CUDA runtime hands out: device memory, streams, events, graphs. Movable; freed
// in destructors, whose errors have nowhere to go (a broken context shows in the next call).
#pragma once
#include <utility>

#include "profiler/cuda/status.hpp"

namespace meshplan::cuda {

template <class Handle, cudaError_t (*destroy)(Handle)>
class Owner {
 public:
  Owner() = default;
  explicit Owner(Handle handle) : handle_(handle) {}
  Owner(Owner&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Owner& operator=(Owner&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Owner() {
    if (handle_ != nullptr) static_cast<void>(destroy(handle_));
  }
  Handle get() const { return handle_; }

 private:
  Handle handle_ = nullptr;
};

using Stream = Owner<cudaStream_t, cudaStreamDestroy>;
using Event = Owner<cudaEvent_t, cudaEventDestroy>;

Result<Stream> make_stream();
/// timed: for seconds_between; else for ordering alone, which is cheaper.
Result<Event> make_event(bool timed);
/// What is put on `stream` from now on starts after what is on `first` now.
Status order(cudaStream_t first, cudaStream_t stream);
/// Waits for both events.
Result<double> seconds_between(const Event& begin, const Event& end);

class DeviceMemory {
 public:
  /// Aligned to 256 bytes, contents undefined. Error (check): out of memory.
  static Result<DeviceMemory> make(int64_t bytes);
  void* get() const { return memory_.get(); }
  template <class T>
  T* as() const {
    return static_cast<T*>(memory_.get());
  }
  int64_t bytes() const { return bytes_; }

 private:
  Owner<void*, cudaFree> memory_;
  int64_t bytes_ = 0;
};

/// A recorded sequence of launches that starts as one: repeated blocks without gaps of the host.
class Graph {
 public:
  /// Until end_record, what this thread puts on `stream` (and on streams ordered after it) is
  /// recorded, not run.
  static Status begin_record(cudaStream_t stream);
  static Result<Graph> end_record(cudaStream_t stream);
  Status launch(cudaStream_t stream) const;

 private:
  Owner<cudaGraphExec_t, cudaGraphExecDestroy> graph_;
};

/// Number of GPUs. Error (missing): none, or no driver that this build can use.
Result<int> gpu_count();

}  // namespace meshplan::cuda
