// SPDX-License-Identifier: Apache-2.0
// Which number formats do buffers and products have, and how many bytes does one element take?
#pragma once
#include <cstdint>

namespace meshplan {

/// fp4: products of NVFP4 or MXFP4 operands. No buffer is of this type; a quantised operand takes
/// about one byte an element, its row-wise and its column-wise copy together.
enum class DType { fp32, tf32, bf16, fp16, fp8, fp4, int64, int32, uint8 };

constexpr int64_t bytes_of(DType type) {
  switch (type) {
    case DType::fp32:
    case DType::tf32:
    case DType::int32:
      return 4;
    case DType::bf16:
    case DType::fp16:
      return 2;
    case DType::fp8:
    case DType::fp4:
    case DType::uint8:
      return 1;
    case DType::int64:
      return 8;
  }
  return 0;
}

constexpr const char* name_of(DType type) {
  switch (type) {
    case DType::fp32:
      return "fp32";
    case DType::tf32:
      return "tf32";
    case DType::bf16:
      return "bf16";
    case DType::fp16:
      return "fp16";
    case DType::fp8:
      return "fp8";
    case DType::fp4:
      return "fp4";
    case DType::int64:
      return "int64";
    case DType::int32:
      return "int32";
    case DType::uint8:
      return "uint8";
  }
  return "?";
}

/// Operands are quantised from 16-bit values in front of the product.
constexpr bool is_quantised(DType type) { return type == DType::fp8 || type == DType::fp4; }

}  // namespace meshplan
