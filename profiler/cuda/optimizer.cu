// SPDX-License-Identifier: Apache-2.0
#include "profiler/cuda/optimizer.hpp"

#include <cmath>

#include "profiler/cuda/device_code.cuh"

namespace meshplan::cuda {
namespace {

/// All that does not depend on the element, computed in double on the host.
struct AdamWFactors {
  float gradient, decay, beta1, beta2, rate, root_correction, epsilon;
};

template <class G, class W>
__global__ void adamw_kernel(AdamWFactors f, int64_t count, const G* gradient, float* master,
                             float* first, float* second, W* weight) {
  // 4-byte accesses of a warp are whole lines already; the fp32 states are most of the traffic
  for (int64_t i = thread_index(); i < count; i += thread_count()) {
    const float g = f.gradient * as_float(gradient[i]);
    const float m = first[i] + f.beta1 * (g - first[i]);
    const float v = f.beta2 * second[i] + (1.0F - f.beta2) * g * g;
    float w = master[i] * f.decay;
    w -= f.rate * m / (sqrtf(v) * f.root_correction + f.epsilon);
    first[i] = m;
    second[i] = v;
    master[i] = w;
    weight[i] = as<W>(w);
  }
}

}  // namespace

Status adamw_step(cudaStream_t stream, const cpu::AdamW& adamw, int64_t step,
                  double gradient_factor, int64_t count, DType gradient_type, const void* gradient,
                  float* master, float* first, float* second, DType weight_type, void* weight) {
  if (count == 0) return Done{};
  const auto n = static_cast<double>(step);
  const AdamWFactors factors{
      .gradient = static_cast<float>(gradient_factor),
      .decay = static_cast<float>(1 - adamw.learning_rate * adamw.weight_decay),
      .beta1 = static_cast<float>(1 - adamw.beta1),
      .beta2 = static_cast<float>(adamw.beta2),
      .rate = static_cast<float>(adamw.learning_rate / (1 - std::pow(adamw.beta1, n))),
      .root_correction = static_cast<float>(1 / std::sqrt(1 - std::pow(adamw.beta2, n))),
      .epsilon = static_cast<float>(adamw.epsilon)};
  return with_type(gradient_type, "adamw_step", [&](auto g) {
    return with_type(weight_type, "adamw_step", [&](auto w) {
      adamw_kernel<<<grid_for(count, 256), 256, 0, stream>>>(
          factors, count, static_cast<const decltype(g)*>(gradient), master, first, second,
          static_cast<decltype(w)*>(weight));
      return launched("adamw_step");
    });
  });
}

}  // namespace meshplan::cuda
