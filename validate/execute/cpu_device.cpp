// SPDX-License-Identifier: Apache-2.0
#include "validate/execute/cpu_device.hpp"

#include <fmt/format.h>

#include <cstring>
#include <new>

#include "profiler/comm/reduce.hpp"
#include "profiler/kernels/elementwise.hpp"
#include "profiler/kernels/norm.hpp"
#include "validate/execute/apply.hpp"

namespace meshplan {
namespace {

constexpr std::align_val_t kAlignment{kMemoryAlignment};

float* fp32(Tensor x) { return reinterpret_cast<float*>(x.data); }
uint16_t* bf16(Tensor x) { return reinterpret_cast<uint16_t*>(x.data); }
uint8_t* fp8(Tensor x) { return reinterpret_cast<uint8_t*>(x.data); }

}  // namespace

CpuDevice::~CpuDevice() {
  for (std::byte* memory : reserved_) ::operator delete(memory, kAlignment);
}

Result<std::byte*> CpuDevice::reserve(int64_t bytes) {
  void* memory = ::operator new(static_cast<size_t>(bytes), kAlignment, std::nothrow);
  if (memory == nullptr) {
    return Diagnostic{.kind = ErrorKind::no_plan,
                      .message = fmt::format("no memory for the {} bytes of a rank", bytes),
                      .rule = "executor.memory"};
  }
  reserved_.push_back(static_cast<std::byte*>(memory));
  return reserved_.back();
}

Status CpuDevice::upload(const void* host, int64_t bytes, std::byte* to) {
  if (bytes > 0) std::memcpy(to, host, static_cast<size_t>(bytes));
  return Done{};
}

Status CpuDevice::download(const std::byte* from, int64_t bytes, void* host) {
  if (bytes > 0) std::memcpy(host, from, static_cast<size_t>(bytes));
  return Done{};
}

Status CpuDevice::zero(int64_t bytes, std::byte* data) {
  workers_.split(bytes, 4096, [&](int64_t begin, int64_t end) {
    std::memset(data + begin, 0, static_cast<size_t>(end - begin));
  });
  return Done{};
}

Status CpuDevice::convert(int64_t count, Tensor x, Tensor y) {
  if (x.type == y.type) {
    const int64_t size = bytes_of(x.type);
    if (x.data == y.data) return Done{};
    workers_.split(count, 4096, [&](int64_t begin, int64_t end) {
      std::memcpy(y.data + begin * size, x.data + begin * size,
                  static_cast<size_t>((end - begin) * size));
    });
  } else if (x.type == DType::fp32) {
    cpu::to_bf16(workers_, count, fp32(x), bf16(y));
  } else {
    cpu::from_bf16(workers_, count, bf16(x), fp32(y));
  }
  return Done{};
}

Status CpuDevice::accumulate(int64_t count, Tensor x, Tensor y) {
  const float* add = open(0, count, x);
  float* sum = open(1, count, y);
  cpu::add(workers_, count, sum, add, sum);
  close(1, count, y);
  return Done{};
}

Status CpuDevice::scale(int64_t count, float factor, Tensor x) {
  float* data = open(0, count, x);
  cpu::scale(workers_, count, factor, data, data);
  close(0, count, x);
  return Done{};
}

Status CpuDevice::add_squared_norm(int64_t count, Tensor x, int copies) {
  sums_.squared_norm += cpu::squared_norm(workers_, count, open(0, count, x)) / copies;
  return Done{};
}

Status CpuDevice::sum_and_norm(const SumAndNorm& x) {
  const int64_t count = x.rows * x.cols;
  const float *a = open(0, count, x.a), *b = open(1, count, x.b);
  float* sum = open(2, count, x.sum);
  cpu::add(workers_, count, a, b, sum);
  close(2, count, x.sum);
  sum = open(0, count, x.sum);  // as rounded
  const float* weight = open(1, x.cols, x.weight);
  float* y = open(2, count, x.y);
  cpu::rmsnorm_forward(workers_, x.rows, x.cols, x.epsilon, sum, weight, y, fp32(x.rstd));
  close(2, count, x.y);
  return Done{};
}

Status CpuDevice::sum(std::span<const Tensor> parts, int64_t count, Tensor out) {
  const int64_t size = bytes_of(out.type);
  std::vector<const void*> sources;
  for (const Tensor& part : parts) sources.push_back(part.data);
  const Element element = out.type == DType::fp32 ? Element::fp32 : Element::bf16;
  workers_.split(count, 4096, [&](int64_t begin, int64_t end) {
    reduce_in_order(element, ReduceOp::sum, sources, begin * size, end * size,
                    [&](const void* result, int64_t offset, int64_t bytes) {
                      std::memcpy(out.data + offset, result, static_cast<size_t>(bytes));
                    });
  });
  return Done{};
}

Status CpuDevice::adamw(const cpu::AdamW& adamw, int64_t step, double clip, int64_t count,
                        Tensor gradient, Tensor master, Tensor moment1, Tensor moment2,
                        Tensor weight) {
  cpu::adamw_step(workers_, adamw, step, clip, count, open(0, count, gradient), fp32(master),
                  fp32(moment1), fp32(moment2));
  return convert(count, master, weight);
}

Status CpuDevice::apply(const Op& op, const OpSite& site) { return Apply(*this, site, op).run(); }

Result<StepSums> CpuDevice::take_sums() { return std::exchange(sums_, {}); }

Result<std::byte*> CpuDevice::scratch(int slot, int64_t bytes) {
  std::vector<std::byte>& memory = scratch_[static_cast<size_t>(slot)];
  if (memory.size() < static_cast<size_t>(bytes)) memory.resize(static_cast<size_t>(bytes));
  return memory.data();
}

float* CpuDevice::open(size_t slot, int64_t count, Tensor x) {
  if (x.type != DType::bf16 && x.type != DType::fp8) return fp32(x);
  if (wide_.size() <= slot) wide_.resize(slot + 1);
  std::vector<float>& copy = wide_[slot];
  if (copy.size() < static_cast<size_t>(count)) copy.resize(static_cast<size_t>(count));
  if (x.type == DType::bf16) {
    cpu::from_bf16(workers_, count, bf16(x), copy.data());
  } else {
    const Fp8Mark& mark = marks_[x.data];
    cpu::from_fp8(workers_, count, fp8(x), mark.scale, mark.format, copy.data());
  }
  return copy.data();
}

void CpuDevice::close(size_t slot, int64_t count, Tensor x, cpu::Fp8 format) {
  if (x.type == DType::bf16) cpu::to_bf16(workers_, count, wide_[slot].data(), bf16(x));
  if (x.type != DType::fp8) return;
  const float* copy = wide_[slot].data();
  const float scale = cpu::fp8_scale(workers_, count, copy, format);
  marks_[x.data] = {scale, format};
  cpu::to_fp8(workers_, count, copy, scale, format, fp8(x));
}

void CpuDevice::round_to_fp8(size_t slot, int64_t count) {
  float* copy = wide_[slot].data();
  const float scale = cpu::fp8_scale(workers_, count, copy, cpu::Fp8::e4m3);
  std::vector<uint8_t> rounded(static_cast<size_t>(count));
  cpu::to_fp8(workers_, count, copy, scale, cpu::Fp8::e4m3, rounded.data());
  cpu::from_fp8(workers_, count, rounded.data(), scale, cpu::Fp8::e4m3, copy);
}

}  // namespace meshplan
