// SPDX-License-Identifier: Apache-2.0
// Stands for onednn.cpp where oneDNN is not installed.
#include "profiler/kernels/bf16_product.hpp"

namespace meshplan::cpu {

bool onednn_multiplies_bf16() { return false; }
bool onednn_product(const Bf16Product&, const uint16_t*, const uint16_t*, float*) { return false; }

}  // namespace meshplan::cpu
