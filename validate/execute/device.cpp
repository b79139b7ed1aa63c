// SPDX-License-Identifier: Apache-2.0
#include "validate/execute/device.hpp"

#include <fmt/format.h>

#include "profiler/kernels/elementwise.hpp"
#include "validate/execute/block_state.hpp"

namespace meshplan {

Tensor OpSite::tensor(BufferId id) const {
  const Buffer& buffer = state.block().buffer(id);
  if (buffer.kind == BufferClass::activation || buffer.kind == BufferClass::input) {
    if (buffer.view_of >= 0) return tensor(buffer.view_of).from(buffer.view_offset);
    const Tensor all{frame[static_cast<size_t>(id)].get(), buffer.dtype};
    for (const Rows& some : rows) {
      if (some.id == id) return all.from(some.first * buffer.cols);
    }
    return all;
  }
  return state.at(id);
}

int64_t OpSite::elements(BufferId id) const {
  const Buffer& buffer = state.block().buffer(id);
  for (const Rows& some : rows) {
    if (some.id == id) return some.count * buffer.cols;
  }
  return buffer.elements();
}

Status put(Device& device, std::span<const float> host, Tensor to) {
  const auto count = static_cast<int64_t>(host.size());
  if (to.type == DType::fp32) return device.upload(host.data(), 4 * count, to.data);
  std::vector<uint16_t> rounded(host.size());
  for (size_t i = 0; i < host.size(); ++i) rounded[i] = cpu::bf16_of(host[i]);
  return device.upload(rounded.data(), 2 * count, to.data);
}

Status get(Device& device, Tensor from, std::span<float> host) {
  const auto count = static_cast<int64_t>(host.size());
  if (from.type == DType::fp32) return device.download(from.data, 4 * count, host.data());
  std::vector<uint16_t> rounded(host.size());
  MESHPLAN_CHECK(device.download(from.data, 2 * count, rounded.data()));
  for (size_t i = 0; i < host.size(); ++i) host[i] = cpu::float_of(rounded[i]);
  return Done{};
}

Diagnostic not_executed(const OpSite& site, const char* what) {
  return {.kind = ErrorKind::no_plan,
          .message = fmt::format("the executor does not run {}", what),
          .where = fmt::format("block {}", site.state.block().name),
          .rule = "executor.priced-only"};
}

}  // namespace meshplan
