// SPDX-License-Identifier: Apache-2.0
// Attention on the GPU: cuDNN where it takes the shape, else plain kernels (context parallelism,
// fp32, windows). Both passes of an operation take the same way: they differ in the order of lse.
#include "profiler/cuda/attention_simple.hpp"
#include "validate/execute/attention_shape.hpp"
#include "validate/execute/cuda_apply.hpp"

namespace meshplan {

using cpu::Write;

namespace {
float* fp32(Tensor x) { return reinterpret_cast<float*>(x.data); }
}  // namespace

Status CudaApply::operator()(const Attention& attention) {
  const int cp = env_.plan().cp;
  const bool ring = attention.ring_step >= 0;
  const cpu::AttentionShape shape = shape_of(attention);
  const bool forward = attention.pass == Pass::forward;
  const DType type = forward ? in(0).type : in(1).type;
  if (cp == 1 && kernels_.cudnn != nullptr && cuda::cudnn_takes(shape, type)) {
    if (forward) {
      return kernels_.cudnn->forward(stream(), shape, in(0).data, in(1).data, in(2).data,
                                     out(0).data, fp32(out(1)));
    }
    return kernels_.cudnn->backward(stream(), shape, kernels_.options.deterministic, in(1).data,
                                    in(2).data, in(3).data, in(4).data, fp32(in(5)), in(0).data,
                                    out(0).data, out(1).data, out(2).data);
  }
  const int own = env_.place().cp;
  const std::vector<int32_t>& keys =
      ring ? env_.positions((own - attention.ring_step + cp) % cp) : env_.gathered_positions();
  MESHPLAN_TRY(const int32_t* const q_position, kernels_.table(env_.positions(own)));
  MESHPLAN_TRY(const int32_t* const kv_position, kernels_.table(keys));
  const bool first = attention.ring_step <= 0;
  if (!forward) {
    // dk and dv travel round the ring with their k and v and are added to at every stop
    const Write write = first ? Write::set : Write::add;
    return cuda::attention_simple_backward(
        stream(), shape, q_position, kv_position, type, in(1).data, in(2).data, in(3).data,
        in(4).data, fp32(in(5)), in(0).data, write, out(0).data, write, out(1).data, out(2).data);
  }
  if (first) {
    return cuda::attention_simple_forward(stream(), shape, q_position, kv_position, type,
                                          in(0).data, in(1).data, in(2).data, out(0).data,
                                          fp32(out(1)));
  }
  const int64_t rows = attention.batch * attention.q_len;
  MESHPLAN_TRY(std::byte* const o,
               kernels_.scratch(2, rows * attention.heads * attention.head_dim_v * bytes_of(type)));
  MESHPLAN_TRY(std::byte* const lse, kernels_.scratch(3, rows * attention.heads * 4));
  MESHPLAN_CHECK(cuda::attention_simple_forward(stream(), shape, q_position, kv_position, type,
                                                in(0).data, in(1).data, in(2).data, o,
                                                reinterpret_cast<float*>(lse)));
  return cuda::attention_merge(stream(), rows, attention.heads, attention.head_dim_v, type, o,
                               reinterpret_cast<float*>(lse), out(0).data, fp32(out(1)));
}

}  // namespace meshplan
