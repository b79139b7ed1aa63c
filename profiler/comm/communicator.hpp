// SPDX-License-Identifier: Apache-2.0
// How does one rank talk to the ranks of a group? The interface that the executor uses; back ends
// are threads of this process (thread_world.hpp), OpenMPI (mpi_world.hpp) and, for device memory,
// NCCL and threads that share a GPU (gpu_world.hpp).
//
// * Every rank of a group calls the same collectives in the same order. Different calls, sizes or
//   kinds that meet are an error on every rank, not a hang.
// * Sums run in rank order in the type of the buffer (bf16 in fp32, rounded once): the same bits on
//   every back end and run; NCCL keeps its own order.
// * A rank that fails, hangs or leaves makes every call of the others return an error within the
//   time-out of the world. After that the world can't be used any more.
// * start_*: the operation is under way until wait(); its buffers belong to it until then. Dropping
//   a collective that has not completed ends the world. The wait() of a send needs no receiver: the
//   message is copied.
// * One thread per rank makes all the calls of that rank.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "profiler/comm/ledger.hpp"
#include "topologies/base/result.hpp"

namespace meshplan {

enum class ReduceOp : uint8_t { sum, max };
enum class Element : uint8_t { byte, bf16, fp32, fp64 };
int64_t bytes_of(Element element);

/// One call as a back end sees it.
struct Request {
  Transfer transfer = Transfer::barrier;
  Element element = Element::byte;
  ReduceOp reduce = ReduceOp::sum;
  const void* send = nullptr;
  void* receive = nullptr;
  /// all_gather: of one shard; reduce_scatter: of one result; all_to_all: per pair of ranks (0 if
  /// counts are given); else of the buffer.
  int64_t bytes = 0;
  std::vector<int64_t> send_bytes, receive_bytes;  ///< all_to_all with counts: per rank
  int peer = -1;  ///< send, receive: the other rank; broadcast: root
  int tag = 0;
};

/// What a back end returns for a request. A collective that is destroyed unfinished ends the world.
class Operation {
 public:
  virtual ~Operation() = default;
  virtual Status wait() = 0;
  /// See Pending::settle. Back ends of host memory, whose wait() may be called again: wait().
  virtual Status settle() { return wait(); }
  virtual int64_t moved_bytes() const = 0;  ///< valid after a good wait()
};

class Communicator;

/// A started operation. Movable; wait() once.
class [[nodiscard]] Pending {
 public:
  Pending() = default;
  Status wait();
  /// Of a collective: what this rank starts next, in any group, begins after it. On GPUs only that
  /// is ordered so: kernels do not wait. wait() must follow.
  Status settle() { return operation_->settle(); }
  bool started() const { return operation_ != nullptr; }

 private:
  friend class Communicator;
  std::unique_ptr<Operation> operation_;
  Communicator* owner_ = nullptr;
  Transfer transfer_ = Transfer::barrier;
  int64_t bytes_ = 0;
};

/// Orders messages between two pipeline stages: equal tags are received in the order sent.
/// micro_batch < 2^20, chunk < 2^10.
constexpr int message_tag(bool gradient, int chunk, int micro_batch) {
  return (gradient ? 1 << 30 : 0) | chunk << 20 | micro_batch;
}

class Communicator {
 public:
  virtual ~Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  int rank() const { return rank_; }  ///< within the group
  int size() const { return size_; }
  const std::string& label() const { return label_; }

  // Reductions: counts are elements, data in place. T is float or double.
  Pending start_all_reduce(void* data, int64_t count, Element element, ReduceOp reduce);
  /// send [size() * count] -> receive [count], which may be send + rank() * count.
  Pending start_reduce_scatter(const void* send, void* receive, int64_t count, Element element);
  template <class T>
  Pending start_all_reduce(T* data, int64_t count, ReduceOp reduce = ReduceOp::sum);
  template <class T>
  Pending start_reduce_scatter(const T* send, T* receive, int64_t count);

  /// send [bytes] -> receive [size() * bytes], by rank; send may be receive + rank() * bytes.
  Pending start_all_gather(const void* send, void* receive, int64_t bytes);
  /// Part r of send [size() * bytes] -> part rank() of receive on rank r. No overlap.
  Pending start_all_to_all(const void* send, void* receive, int64_t bytes);
  /// send_bytes[r] bytes for rank r, parts one after the other; receive_bytes[r] from rank r.
  Pending start_all_to_all(const void* send, std::span<const int64_t> send_bytes, void* receive,
                           std::span<const int64_t> receive_bytes);
  /// send [bytes] -> receive of rank() + 1, the last to the first. No overlap.
  Pending start_ring_exchange(const void* send, void* receive, int64_t bytes);
  Pending start_broadcast(void* data, int64_t bytes, int root);
  Pending start_barrier();
  Pending start_send(const void* data, int64_t bytes, int to, int tag);
  /// At most one receive per (from, tag) is started at a time.
  Pending start_receive(void* data, int64_t bytes, int from, int tag);

  // start and wait in one
  Status all_reduce(void* data, int64_t count, Element element, ReduceOp reduce = ReduceOp::sum) {
    return start_all_reduce(data, count, element, reduce).wait();
  }
  Status reduce_scatter(const void* send, void* receive, int64_t count, Element element) {
    return start_reduce_scatter(send, receive, count, element).wait();
  }
  template <class T>
  Status all_reduce(T* data, int64_t count, ReduceOp reduce = ReduceOp::sum) {
    return start_all_reduce(data, count, reduce).wait();
  }
  template <class T>
  Status reduce_scatter(const T* send, T* receive, int64_t count) {
    return start_reduce_scatter(send, receive, count).wait();
  }
  Status all_gather(const void* send, void* receive, int64_t bytes) {
    return start_all_gather(send, receive, bytes).wait();
  }
  Status all_to_all(const void* send, void* receive, int64_t bytes) {
    return start_all_to_all(send, receive, bytes).wait();
  }
  Status all_to_all(const void* send, std::span<const int64_t> send_bytes, void* receive,
                    std::span<const int64_t> receive_bytes) {
    return start_all_to_all(send, send_bytes, receive, receive_bytes).wait();
  }
  Status ring_exchange(const void* send, void* receive, int64_t bytes) {
    return start_ring_exchange(send, receive, bytes).wait();
  }
  Status broadcast(void* data, int64_t bytes, int root) {
    return start_broadcast(data, bytes, root).wait();
  }
  Status barrier() { return start_barrier().wait(); }
  Status send(const void* data, int64_t bytes, int to, int tag) {
    return start_send(data, bytes, to, tag).wait();
  }
  Status receive(void* data, int64_t bytes, int from, int tag) {
    return start_receive(data, bytes, from, tag).wait();
  }

 protected:
  /// ledger: of this rank, outlives the communicator.
  Communicator(std::string label, int rank, int size, Ledger* ledger)
      : label_(std::move(label)), rank_(rank), size_(size), ledger_(ledger) {}
  /// Errors come with the operation's wait().
  virtual std::unique_ptr<Operation> start(Request request) = 0;

 private:
  friend class Pending;
  Pending submit(Request request, int64_t ledger_bytes);

  std::string label_;
  int rank_, size_;
  Ledger* ledger_;
};

}  // namespace meshplan
