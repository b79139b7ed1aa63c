// SPDX-License-Identifier: Apache-2.0
#include "profiler/storage/row_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

namespace meshplan::graph {
namespace {

constexpr char kMagic[8] = {'M', 'E', 'S', 'H', 'R', 'O', 'W', '1'};
constexpr size_t kPiece = size_t{1} << 26;  // bytes of one write

struct Header {
  char magic[8];
  int64_t rows, cols, count;
  uint64_t checksum;
};

class File {
 public:
  File(const std::string& path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0644)) {}
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int fd() const { return fd_; }
  bool write(const void* data, size_t bytes) const {
    const char* at = static_cast<const char*>(data);
    while (bytes > 0) {
      const ssize_t done = ::write(fd_, at, std::min(bytes, kPiece));
      if (done < 0 && errno == EINTR) continue;
      if (done <= 0) return false;
      at += done;
      bytes -= static_cast<size_t>(done);
    }
    return true;
  }
  bool read(void* data, size_t bytes) const {
    char* at = static_cast<char*>(data);
    while (bytes > 0) {
      const ssize_t done = ::read(fd_, at, std::min(bytes, kPiece));
      if (done < 0 && errno == EINTR) continue;
      if (done <= 0) return false;
      at += done;
      bytes -= static_cast<size_t>(done);
    }
    return true;
  }

 private:
  int fd_;
};

Diagnostic failed(const std::string& path, const std::string& what, int error) {
  return {.kind = ErrorKind::input,
          .message = error == 0 ? what : what + ": " + std::strerror(error),
          .where = path,
          .hint = error == ENOSPC ? "free some space, then start again with --resume" : ""};
}

/// Position-dependent sums that the compiler can vectorise.
uint64_t checksum_of(const std::vector<FloatSpan>& parts) {
  uint64_t a = 0, b = 0;
  for (const FloatSpan& part : parts) {
    for (int64_t i = 0; i < part.count; ++i) {
      uint32_t word;
      std::memcpy(&word, part.data + i, sizeof(word));
      a += word;
      b += word * static_cast<uint64_t>(2 * i + 1);
    }
  }
  return a * 0x9E3779B97F4A7C15ULL ^ b;
}

bool sync_folder(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  const File handle(folder.empty() ? "." : folder, O_RDONLY | O_DIRECTORY);
  return handle.fd() >= 0 && ::fsync(handle.fd()) == 0;
}

template <class Body>
Status write_beside(const std::string& path, Body body) {
  const std::string temporary = path + ".part";
  {
    const File file(temporary, O_WRONLY | O_CREAT | O_TRUNC);
    if (file.fd() < 0) return failed(path, "cannot write", errno);
    if (!body(file) || ::fsync(file.fd()) != 0) {
      const int error = errno;
      ::unlink(temporary.c_str());
      return failed(path, "cannot write", error);
    }
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0 || !sync_folder(path))
    return failed(path, "cannot rename", errno);
  return Done{};
}

}  // namespace

Status write_floats(const std::string& path, int64_t rows, int64_t cols,
                    const std::vector<FloatSpan>& parts) {
  Header header{};
  std::memcpy(header.magic, kMagic, sizeof(kMagic));
  header.rows = rows;
  header.cols = cols;
  for (const FloatSpan& part : parts) header.count += part.count;
  header.checksum = checksum_of(parts);
  return write_beside(path, [&](const File& file) {
    bool good = file.write(&header, sizeof(header));
    for (const FloatSpan& part : parts)
      good = good && file.write(part.data, static_cast<size_t>(part.count) * sizeof(float));
    return good;
  });
}

Status read_floats(const std::string& path, int64_t rows, int64_t cols,
                   const std::vector<FloatSpan>& parts) {
  const File file(path, O_RDONLY);
  if (file.fd() < 0) return failed(path, "cannot read", errno);
  Header header{};
  int64_t count = 0;
  for (const FloatSpan& part : parts) count += part.count;
  if (!file.read(&header, sizeof(header)) || std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0)
    return failed(path, "not a file of rows", 0);
  if (header.rows != rows || header.cols != cols || header.count != count)
    return failed(path,
                  fmt::format("has {} rows of {} values, {} of {} are expected", header.rows,
                              header.cols, rows, cols),
                  0);
  for (const FloatSpan& part : parts)
    if (!file.read(part.data, static_cast<size_t>(part.count) * sizeof(float)))
      return failed(path, "is truncated", 0);
  if (checksum_of(parts) != header.checksum) return failed(path, "is altered", 0);
  return Done{};
}

Status write_durably(const std::string& path, const std::string& text) {
  return write_beside(path, [&](const File& file) { return file.write(text.data(), text.size()); });
}

}  // namespace meshplan::graph
