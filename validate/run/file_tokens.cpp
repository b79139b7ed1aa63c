// SPDX-License-Identifier: Apache-2.0
#include "validate/run/file_tokens.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace meshplan {
namespace {

int64_t size_of(TokenFormat format) {
  return format == TokenFormat::byte ? 1 : (format == TokenFormat::uint16 ? 2 : 4);
}

Diagnostic bad(const std::string& path, const std::string& message) {
  return {.kind = ErrorKind::input, .message = message, .where = path};
}

}  // namespace

Result<FileTokens> FileTokens::open(const std::string& path, TokenFormat format, const Batch& batch,
                                    int64_t vocabulary) {
  if (format == TokenFormat::byte && vocabulary < 256) {
    return Diagnostic{.kind = ErrorKind::usage,
                      .message = "a token per byte needs a vocabulary of at least 256"};
  }
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return bad(path, std::strerror(errno));
  struct stat facts {};
  const bool regular = ::fstat(file, &facts) == 0 && S_ISREG(facts.st_mode);
  const auto bytes = regular ? static_cast<int64_t>(facts.st_size) : 0;
  FileTokens out;
  out.path_ = path;
  out.format_ = format;
  out.count_ = bytes / size_of(format);
  out.sequences_per_step_ = batch.global_sequences;
  out.vocabulary_ = vocabulary;
  Status status = Done{};
  if (bytes % size_of(format) != 0) {
    status = bad(path, fmt::format("{} bytes are no whole number of {}-byte tokens", bytes,
                                   size_of(format)));
  } else if (out.count_ <= batch.sequence) {
    status = bad(path, fmt::format("the file has {} tokens, a sequence takes {}", out.count_,
                                   batch.sequence + 1));
  } else {
    const auto length = static_cast<size_t>(bytes);
    void* map = ::mmap(nullptr, length, PROT_READ, MAP_PRIVATE, file, 0);
    if (map == MAP_FAILED) {
      status = bad(path, std::strerror(errno));
    } else {
      out.map_ = std::shared_ptr<const unsigned char>(
          static_cast<const unsigned char*>(map), [length](const unsigned char* data) {
            ::munmap(const_cast<unsigned char*>(data), length);
          });
    }
  }
  ::close(file);
  MESHPLAN_CHECK(status);
  return out;
}

int64_t FileTokens::at(int64_t place) const {
  const int64_t size = size_of(format_);
  int64_t token = 0;
  for (int64_t i = 0; i < size; ++i) token |= int64_t{map_.get()[place * size + i]} << 8 * i;
  return token;
}

Status FileTokens::read(int64_t step, int64_t index, int64_t length, int32_t* tokens) const {
  const int64_t whole = (count_ - 1) / length;
  const int64_t first = (step * sequences_per_step_ + index) % whole * length;
  for (int64_t i = 0; i <= length; ++i) {
    const int64_t token = at(first + i);
    if (token >= vocabulary_) {
      return Diagnostic{.kind = ErrorKind::input,
                        .message = fmt::format("token {} is {}, the vocabulary has {}", first + i,
                                               token, vocabulary_),
                        .where = path_,
                        .hint = "another --token-format, or the model of the tokenizer"};
    }
    tokens[i] = static_cast<int32_t>(token);
  }
  return Done{};
}

}  // namespace meshplan
