// SPDX-License-Identifier: Apache-2.0
#include "validate/embedding/mapped_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace meshplan::graph {

Result<MappedFile> MappedFile::open(const std::string& path) {
  const auto failed = [&] {
    return Diagnostic{.kind = ErrorKind::input,
                      .message = std::string("cannot read the file: ") + std::strerror(errno),
                      .where = path};
  };
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return failed();
  struct stat facts {};
  if (::fstat(file, &facts) != 0 || !S_ISREG(facts.st_mode)) {
    if (errno == 0) errno = EINVAL;
    Diagnostic error = failed();
    ::close(file);
    return error;
  }
  MappedFile out;
  out.path_ = path;
  out.size_ = static_cast<size_t>(facts.st_size);
  if (out.size_ > 0) {
    void* data = ::mmap(nullptr, out.size_, PROT_READ, MAP_PRIVATE, file, 0);
    if (data == MAP_FAILED) {
      Diagnostic error = failed();
      ::close(file);
      return error;
    }
    out.data_ = static_cast<const char*>(data);
    ::madvise(data, out.size_, MADV_SEQUENTIAL);
  }
  ::close(file);
  return out;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<char*>(data_), size_);
}

}  // namespace meshplan::graph
