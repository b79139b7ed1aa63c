// SPDX-License-Identifier: Apache-2.0
// Stands for onednn.cpp where oneDNN is not installed.
#include "profiler/kernels/product.hpp"

namespace meshplan::cpu {

bool onednn_multiplies_bf16() { return false; }
template <class T>
bool onednn_product(const Product&, const T*, const T*, float*) {
  return false;
}
template bool onednn_product(const Product&, const float*, const float*, float*);
template bool onednn_product(const Product&, const uint16_t*, const uint16_t*, float*);

}  // namespace meshplan::cpu
