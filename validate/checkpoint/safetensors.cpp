// SPDX-License-Identifier: Apache-2.0
#include "validate/checkpoint/safetensors.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "profiler/kernels/elementwise.hpp"

namespace meshplan {
namespace {

using Json = nlohmann::json;

Diagnostic bad(const std::string& path, const std::string& message, const std::string& value = "") {
  return {.kind = ErrorKind::input, .message = message, .where = path, .value = value};
}

int64_t size_of_type(const std::string& dtype) {
  if (dtype == "F32") return 4;
  return dtype == "BF16" || dtype == "F16" ? 2 : 0;
}

float float_of_half(uint16_t half) {
  const int exponent = half >> 10 & 31;
  const int fraction = half & 1023;
  const float sign = (half & 0x8000) != 0 ? -1.0F : 1.0F;
  if (exponent == 31) return fraction == 0 ? sign * INFINITY : NAN;
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(fraction), -24);
  return sign * std::ldexp(static_cast<float>(fraction + 1024), exponent - 25);
}

/// All of the bytes, or the reason why not.
Status read_bytes(int file, const std::string& path, int64_t at, int64_t count, void* out) {
  auto* to = static_cast<char*>(out);
  while (count > 0) {
    const ssize_t got = ::pread(file, to, static_cast<size_t>(count), at);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      return bad(path, got == 0 ? "the file ends too early" : std::strerror(errno));
    }
    to += got;
    at += got;
    count -= got;
  }
  return Done{};
}

Status write_bytes(int file, const std::string& path, const void* data, int64_t count) {
  const auto* from = static_cast<const char*>(data);
  while (count > 0) {
    const ssize_t put = ::write(file, from, static_cast<size_t>(count));
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return bad(path, fmt::format("can't write: {}", std::strerror(errno)));
    from += put;
    count -= put;
  }
  return Done{};
}

Result<TensorInfo> tensor_info(const std::string& path, const std::string& name,
                               const Json& entry) {
  try {
    TensorInfo info{entry.at("dtype").get<std::string>(),
                    entry.at("shape").get<std::vector<int64_t>>(),
                    entry.at("data_offsets").at(0).get<int64_t>(),
                    entry.at("data_offsets").at(1).get<int64_t>()};
    const int64_t size = size_of_type(info.dtype);
    const bool negative =
        std::any_of(info.shape.begin(), info.shape.end(), [](int64_t n) { return n < 0; });
    if (negative || info.begin < 0 || info.end < info.begin ||
        (size > 0 && info.end - info.begin != info.elements() * size)) {
      return bad(path, "shape and offsets of a tensor do not agree", name);
    }
    return info;
  } catch (const Json::exception&) {
    return bad(path, "a tensor lacks dtype, shape or data_offsets", name);
  }
}

}  // namespace

struct SafetensorsFile::Handle {
  int file;
  explicit Handle(int opened) : file(opened) {}
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() { ::close(file); }
};

int64_t TensorInfo::elements() const {
  int64_t product = 1;
  for (const int64_t n : shape) product *= n;
  return product;
}

Result<SafetensorsFile> SafetensorsFile::open(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return bad(path, fmt::format("can't open: {}", std::strerror(errno)));
  SafetensorsFile out;
  out.path_ = path;
  out.handle_ = std::make_shared<const Handle>(file);
  const int64_t size = ::lseek(file, 0, SEEK_END);
  uint64_t length = 0;
  MESHPLAN_CHECK(read_bytes(file, path, 0, sizeof(length), &length));
  if (length > static_cast<uint64_t>(size - 8)) return bad(path, "the file ends within its header");
  std::string text(length, '\0');
  MESHPLAN_CHECK(read_bytes(file, path, 8, static_cast<int64_t>(length), text.data()));
  const Json header = Json::parse(text, nullptr, false);
  if (!header.is_object()) return bad(path, "the header is no JSON object");
  out.data_begin_ = 8 + static_cast<int64_t>(length);
  int64_t end = 0;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") {
      for (const auto& [key, value] : entry.items()) {
        if (value.is_string()) out.metadata_[key] = value.get<std::string>();
      }
      continue;
    }
    MESHPLAN_TRY(out.tensors_[name], tensor_info(path, name, entry));
    end = std::max(end, out.tensors_[name].end);
  }
  if (out.data_begin_ + end > size) {
    return bad(path,
               fmt::format("the file is truncated: {} bytes of {}", size, out.data_begin_ + end));
  }
  return out;
}

Status SafetensorsFile::read(const std::string& name, int64_t first, int64_t count,
                             float* out) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) return bad(path_, "no such tensor", name);
  const TensorInfo& info = found->second;
  const int64_t size = size_of_type(info.dtype);
  if (size == 0) return bad(path_, "tensors of this type are not read", info.dtype);
  if (first < 0 || first + count > info.elements()) return bad(path_, "outside the tensor", name);
  const int64_t at = data_begin_ + info.begin + first * size;
  if (size == 4) return read_bytes(handle_->file, path_, at, count * 4, out);
  std::vector<uint16_t> halves(static_cast<size_t>(count));
  MESHPLAN_CHECK(read_bytes(handle_->file, path_, at, count * 2, halves.data()));
  const bool brain = info.dtype == "BF16";
  for (size_t i = 0; i < halves.size(); ++i) {
    out[i] = brain ? cpu::float_of(halves[i]) : float_of_half(halves[i]);
  }
  return Done{};
}

Result<std::vector<float>> SafetensorsFile::read(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) return bad(path_, "no such tensor", name);
  std::vector<float> out(static_cast<size_t>(found->second.elements()));
  MESHPLAN_CHECK(read(name, 0, found->second.elements(), out.data()));
  return out;
}

Status write_safetensors(const std::string& path, const std::vector<TensorOut>& tensors,
                         const std::map<std::string, std::string>& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  int64_t at = 0;
  for (const TensorOut& tensor : tensors) {
    const auto bytes = static_cast<int64_t>(tensor.data.size_bytes());
    header[tensor.name] = {
        {"dtype", "F32"}, {"shape", tensor.shape}, {"data_offsets", {at, at + bytes}}};
    at += bytes;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // aligned data, as the format's own writer does
  const uint64_t length = text.size();
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) return bad(path, fmt::format("can't create: {}", std::strerror(errno)));
  const auto write_all = [&]() -> Status {
    MESHPLAN_CHECK(write_bytes(file, path, &length, sizeof(length)));
    MESHPLAN_CHECK(write_bytes(file, path, text.data(), static_cast<int64_t>(text.size())));
    for (const TensorOut& tensor : tensors) {
      MESHPLAN_CHECK(write_bytes(file, path, tensor.data.data(),
                                 static_cast<int64_t>(tensor.data.size_bytes())));
    }
    if (::fsync(file) != 0 && errno != EINVAL) {
      return bad(path, fmt::format("can't write: {}", std::strerror(errno)));
    }
    return Done{};
  };
  Status status = write_all();
  if (::close(file) != 0 && status.ok()) {
    status = bad(path, fmt::format("can't write: {}", std::strerror(errno)));
  }
  return status;
}

}  // namespace meshplan
