// SPDX-License-Identifier: Apache-2.0
#include "profiler/kernels/elementwise.hpp"
#include "validate/execute/apply.hpp"
#include "validate/execute/attention_shape.hpp"

namespace meshplan {

using cpu::Write;

Status Apply::operator()(const Attention& attention) {
  const int cp = env_.plan().cp;
  const bool ring = attention.ring_step >= 0;
  const cpu::AttentionShape shape = shape_of(attention);
  const int own = env_.place().cp;
  const int32_t* q_position = env_.positions(own).data();
  const int32_t* kv_position = ring ? env_.positions((own - attention.ring_step + cp) % cp).data()
                                    : env_.gathered_positions().data();
  const bool first = attention.ring_step <= 0;
  if (attention.pass == Pass::backward) {
    // dk and dv travel round the ring with their k and v and are added to at every stop
    const Write write = first ? Write::set : Write::add;
    cpu::attention_backward(workers(), shape, q_position, kv_position, in(1), in(2), in(3), in(4),
                            in(5), in(0), write, out(0), write, out(1), out(2));
    return Done{};
  }
  if (first) {
    cpu::attention_forward(workers(), shape, q_position, kv_position, in(0), in(1), in(2), out(0),
                           out(1));
    return Done{};
  }
  const int64_t rows = attention.batch * attention.q_len;
  std::vector<float> o(static_cast<size_t>(rows * attention.heads * attention.head_dim_v));
  std::vector<float> lse(static_cast<size_t>(rows * attention.heads));
  cpu::attention_forward(workers(), shape, q_position, kv_position, in(0), in(1), in(2), o.data(),
                         lse.data());
  cpu::attention_merge(workers(), rows, attention.heads, attention.head_dim_v, o.data(), lse.data(),
                       out(0), out(1));
  return Done{};
}

}  // namespace meshplan
