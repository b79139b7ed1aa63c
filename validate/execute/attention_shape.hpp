// SPDX-License-Identifier: Apache-2.0
// Which shape does a kernel get for an attention of the program?
#pragma once
#include "profiler/kernels/attention.hpp"
#include "strategies/program/op.hpp"

namespace meshplan {

inline cpu::AttentionShape shape_of(const Attention& attention) {
  const bool ring = attention.ring_step >= 0;
  return {.batch = attention.batch,
          .q_len = attention.q_len,
          .kv_len = attention.kv_len,
          .heads = attention.heads,
          .kv_heads = attention.kv_heads,
          .head_dim = attention.head_dim,
          .head_dim_v = attention.head_dim_v,
          .window = attention.window,
          .kv_parts = ring ? 1 : attention.kv_len / attention.q_len};
}

}  // namespace meshplan
