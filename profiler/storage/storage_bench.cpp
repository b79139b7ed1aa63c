// SPDX-License-Identifier: Apache-2.0
#include "profiler/storage/storage_bench.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <random>

namespace meshplan {
namespace {

constexpr size_t kPiece = size_t{8} << 20;

class File {
 public:
  File(const std::string& path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0600)) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  int fd() const { return fd_; }

 private:
  int fd_;
};

Diagnostic failed(const std::string& path, const char* what) {
  return {.kind = ErrorKind::input,
          .message = std::string(what) + ": " + std::strerror(errno),
          .where = path,
          .hint = "--folder names another place"};
}

}  // namespace

std::vector<double> storage_sizes(double most) {
  std::vector<double> sizes{1 << 20};
  for (const double size : {1 << 24, 1 << 28, 1 << 30}) {
    if (size <= most) sizes.push_back(size);
  }
  return sizes;
}

StorageBench::StorageBench(const std::string& folder, const std::string& name)
    : path_(folder + "/meshplan-storage-" + std::to_string(::getpid()) + "-" + name),
      data_(kPiece) {
  std::mt19937 random(1);  // what compresses would be fast
  for (char& x : data_) x = static_cast<char>(random());
}

StorageBench::~StorageBench() { std::remove(path_.c_str()); }

Status StorageBench::write(int64_t bytes) {
  const File file(path_, O_WRONLY | O_CREAT | O_TRUNC);
  if (file.fd() < 0) return failed(path_, "cannot write");
  for (auto left = static_cast<size_t>(bytes); left > 0;) {
    const ssize_t done = ::write(file.fd(), data_.data(), std::min(left, kPiece));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return failed(path_, "cannot write");
    left -= static_cast<size_t>(done);
  }
  return ::fdatasync(file.fd()) == 0 ? Status(Done{}) : Status(failed(path_, "cannot sync"));
}

Status StorageBench::read(int64_t bytes) {
  const File file(path_, O_RDONLY);
  if (file.fd() < 0) return failed(path_, "cannot read");
  static_cast<void>(::posix_fadvise(file.fd(), 0, 0, POSIX_FADV_DONTNEED));
  std::vector<char> piece(kPiece);
  for (auto left = static_cast<size_t>(bytes); left > 0;) {
    const ssize_t done = ::read(file.fd(), piece.data(), std::min(left, kPiece));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return failed(path_, "cannot read");
    left -= static_cast<size_t>(done);
  }
  return Done{};
}

}  // namespace meshplan
