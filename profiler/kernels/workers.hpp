// SPDX-License-Identifier: Apache-2.0
// Which cores of this rank share one kernel?
// Every CPU kernel takes a Workers: the calling thread plus size()-1 helper threads that belong to
// this rank alone. BLAS itself always runs single-threaded, so that ranks never wait for each other
// inside a library. No result depends on the number of workers but through the split of a matrix
// product: sums across rows are cut by columns or into a fixed number of pieces.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>

namespace meshplan::cpu {

class Workers {
 public:
  /// size >= 1 threads in all, the caller included. 1 starts no thread.
  explicit Workers(int size = 1);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  int size() const { return size_; }

  /// Calls body(task, worker) once for each task in [0, tasks), worker in [0, size()); the tasks
  /// are handed out one by one, returns when all are done. Not to be nested; body must not throw.
  void run(int64_t tasks, const std::function<void(int64_t task, int worker)>& body);

  /// Calls body(begin, end) for at most size() pieces of [0, count), their borders multiples of
  /// `grain`. A count of one grain runs on the calling thread.
  void split(int64_t count, int64_t grain,
             const std::function<void(int64_t begin, int64_t end)>& body);

 private:
  struct Pool;
  int size_;
  std::unique_ptr<Pool> pool_;
};

}  // namespace meshplan::cpu
