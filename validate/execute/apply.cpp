// SPDX-License-Identifier: Apache-2.0
#include "validate/execute/apply.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "profiler/kernels/activation.hpp"
#include "profiler/kernels/elementwise.hpp"
#include "profiler/kernels/embedding.hpp"
#include "profiler/kernels/gemm.hpp"
#include "profiler/kernels/norm.hpp"
#include "profiler/kernels/rope.hpp"
#include "validate/execute/eight_bit.hpp"

namespace meshplan {

using cpu::Write;

Status Apply::run() {
  for (const auto* list : {&op_.in, &op_.out}) {
    for (const BufferId id : *list) {
      const bool known = std::any_of(operands_.begin(), operands_.end(),
                                     [&](const Operand& one) { return one.id == id; });
      if (known) continue;
      const Tensor x = site_.tensor(id);
      operands_.push_back({id, device_.open(operands_.size(), site_.elements(id), x)});
    }
  }
  MESHPLAN_CHECK(std::visit(*this, op_.body));
  for (size_t i = 0; i < operands_.size(); ++i) {
    const BufferId id = operands_[i].id;
    if (std::find(op_.out.begin(), op_.out.end(), id) == op_.out.end()) continue;
    device_.close(i, site_.elements(id), site_.tensor(id), fp8_format(site_.state.block(), id));
  }
  return Done{};
}

float* Apply::data(BufferId id) const {
  for (const Operand& one : operands_) {
    if (one.id == id) return one.data;
  }
  return nullptr;
}

Status Apply::operator()(const Gemm& gemm) {
  if (op_.module == Module::experts) {
    expert_gemm(gemm);
    return Done{};
  }
  if (gemm.in == DType::fp8) {
    for (size_t i = 0; i < 2; ++i) {
      if (buffer(op_.in[i]).dtype != DType::fp8) round_weight(op_.in[i]);
    }
  }
  const cpu::GemmShape shape{.m = gemm.m,
                             .n = gemm.n,
                             .k = gemm.k,
                             .trans_a = gemm.layout == Layout::nt,
                             .trans_b = gemm.layout == Layout::tn,
                             .beta = gemm.accumulate ? 1.0 : 0.0};
  cpu::gemm(workers(), shape, in(0), in(1), out(0));
  if (op_.in.size() > 2) {
    cpu::add_bias(workers(), gemm.m, gemm.n, out(0), in(2), out(0));
  }
  return Done{};
}

/// Weights are cast where they are used.
void Apply::round_weight(BufferId id) {
  for (size_t slot = 0; slot < operands_.size(); ++slot) {
    if (operands_[slot].id == id) device_.round_to_fp8(slot, site_.elements(id));
  }
}

/// Rows of an expert come in as many pieces as ranks sent some: the buffer is
/// [sending rank, expert, rows], a product per expert and piece.
void Apply::expert_gemm(const Gemm& gemm) {
  const int64_t pieces = int64_t{env_.plan().ep} * env_.plan().etp;
  const bool weights = gemm.layout == Layout::nt;
  const int64_t rows = (weights ? gemm.k : gemm.m) / pieces;
  for (int64_t e = 0; e < gemm.groups; ++e) {
    for (int64_t p = 0; p < pieces; ++p) {
      const int64_t row = (p * gemm.groups + e) * rows;
      cpu::GemmShape shape{.m = gemm.m, .n = gemm.n, .k = gemm.k};
      if (weights) {
        shape.k = rows;
        shape.trans_a = true;
        shape.beta = gemm.accumulate || p > 0 ? 1 : 0;
        cpu::gemm(workers(), shape, in(0) + row * gemm.m, in(1) + row * gemm.n,
                  out(0) + e * gemm.m * gemm.n);
      } else {
        shape.m = rows;
        shape.trans_b = gemm.layout == Layout::tn;
        cpu::gemm(workers(), shape, in(0) + row * gemm.k, in(1) + e * gemm.n * gemm.k,
                  out(0) + row * gemm.n);
      }
    }
  }
}

Status Apply::operator()(const Norm& norm) {
  const double epsilon = env_.program().model.norm_epsilon;
  const int64_t rows = norm.rows, cols = norm.cols;
  const bool rms = norm.type == NormType::rms;
  if (norm.pass == Pass::forward) {
    float* statistics = out(1);
    if (rms) {
      cpu::rmsnorm_forward(workers(), rows, cols, epsilon, in(0), in(1), out(0), statistics);
    } else {
      const std::vector<float> none(op_.in.size() > 2 ? 0 : static_cast<size_t>(cols), 0.0F);
      const float* bias = op_.in.size() > 2 ? in(2) : none.data();
      cpu::layernorm_forward(workers(), rows, cols, epsilon, in(0), in(1), bias, out(0), statistics,
                             statistics + rows);
    }
    return Done{};
  }
  const float* dy = in(0);
  const float* x = in(1);
  const float* statistics = in(3);
  if (rms) {
    cpu::rmsnorm_backward_input(workers(), rows, cols, x, in(2), statistics, dy, Write::set,
                                out(0));
    cpu::rmsnorm_backward_weight(workers(), rows, cols, x, statistics, dy, out(1));
  } else {
    cpu::layernorm_backward_input(workers(), rows, cols, x, in(2), statistics, statistics + rows,
                                  dy, Write::set, out(0));
    cpu::layernorm_backward_weight(workers(), rows, cols, x, statistics, statistics + rows, dy,
                                   out(1), op_.out.size() > 2 ? out(2) : nullptr);
  }
  return Done{};
}

Status Apply::operator()(const Rope& rope) {
  const bool forward = rope.pass == Pass::forward;
  const auto& joined = forward ? op_.in : op_.out;
  if (joined.size() != 1) return not_executed(site_, "rotary positions on separate projections");
  const int64_t d = rope.head_dim;
  const int64_t q_cols = rope.heads * d, k_cols = rope.kv_heads * d;
  const int64_t width = buffer(joined[0]).cols;
  const int64_t v_cols = width - q_cols - k_cols;
  float* qkv = data(joined[0]);
  const auto part = [&](size_t i) { return forward ? out(i) : in(i); };
  const auto copy_rows = [&](int64_t first, int64_t cols, float* separate) {
    workers().split(rope.tokens, 16, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        float* inside = qkv + r * width + first;
        float* alone = separate + r * cols;
        std::copy_n(forward ? inside : alone, cols, forward ? alone : inside);
      }
    });
  };
  const auto turn_rows = [&](int64_t first, int64_t heads, float* separate) {
    if (!rope.rotate) return copy_rows(first, heads * d, separate);
    const int32_t* position = env_.row_positions().data();
    if (forward) {
      cpu::rope(workers(), cpu::Turn::forward, rope.tokens, heads, d, position, env_.cosine(),
                env_.sine(), qkv + first, width, separate, heads * d);
    } else {
      cpu::rope(workers(), cpu::Turn::backward, rope.tokens, heads, d, position, env_.cosine(),
                env_.sine(), separate, heads * d, qkv + first, width);
    }
  };
  turn_rows(0, rope.heads, part(0));
  turn_rows(q_cols, rope.kv_heads, part(1));
  copy_rows(q_cols + k_cols, v_cols, part(2));
  return Done{};
}

Status Apply::operator()(const Activate& activate) {
  if (activate.pass == Pass::forward) {
    cpu::activation_forward(workers(), activate.type, activate.rows, activate.cols, in(0), out(0));
  } else {
    cpu::activation_backward(workers(), activate.type, activate.rows, activate.cols, in(1), in(0),
                             out(0));
  }
  return Done{};
}

Status Apply::operator()(const Elementwise& elementwise) {
  const int64_t count = elementwise.elements;
  switch (elementwise.kind) {
    case ElementwiseKind::add:
      if (buffer(op_.in[1]).kind == BufferClass::parameter) {
        return not_executed(site_, "learned positions");
      }
      cpu::add(workers(), count, in(0), in(1), out(0));
      return Done{};
    case ElementwiseKind::bias_add: {
      const int64_t cols = buffer(op_.in[0]).cols;
      cpu::add_bias(workers(), count / cols, cols, in(0), in(1), out(0));
      return Done{};
    }
    case ElementwiseKind::bias_gradient: {
      const int64_t cols = buffer(op_.in[0]).cols;
      if (buffer(op_.out[0]).elements() != cols) return not_executed(site_, "learned positions");
      cpu::bias_gradient(workers(), count / cols, cols, in(0), out(0));
      return Done{};
    }
    case ElementwiseKind::cast:
      if (op_.out.empty()) return Done{};  // of a weight: where it is used
      cpu::copy(workers(), count, in(0), out(0));
      return Done{};
    case ElementwiseKind::copy:
      copy_columns();
      return Done{};
    case ElementwiseKind::zero:
      cpu::fill(workers(), count, 0.0F, out(0));
      return Done{};
    case ElementwiseKind::dropout:
      return not_executed(site_, "dropout");
    case ElementwiseKind::scale:
      return not_executed(site_, "scaling");
  }
  return Done{};
}

/// Between buffers of one shape: as it is. From tensor-parallel ranks' parts one below the other to
/// parts side by side, or from those to this rank's own part.
void Apply::copy_columns() {
  const Buffer& from = buffer(op_.in[0]);
  const Buffer& to = buffer(op_.out[0]);
  const int64_t parts = from.rows / to.rows;
  const int64_t cols = to.cols / parts;
  const float* x = in(0);
  if (from.cols > to.cols) x += env_.place().tp * to.cols;
  float* y = out(0);
  workers().split(to.rows, 4, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t p = 0; p < parts; ++p) {
        std::copy_n(x + (p * to.rows + r) * from.cols, cols, y + r * to.cols + p * cols);
      }
    }
  });
}

Status Apply::operator()(const Embedding& embedding) {
  const int64_t first = env_.place().tp * embedding.vocab;
  const int32_t* ids = tokens(op_.in[0]);
  if (embedding.pass == Pass::forward) {
    cpu::embedding_forward(workers(), embedding.tokens, embedding.hidden, first, embedding.vocab,
                           ids, in(1), out(0));
  } else {
    cpu::embedding_backward(workers(), embedding.tokens, embedding.hidden, first, embedding.vocab,
                            ids, in(1), out(0));
  }
  return Done{};
}

Status Apply::operator()(const Softmax&) { return not_executed(site_, "materialised attention"); }
Status Apply::operator()(const BatchedGemm&) {
  return not_executed(site_, "materialised attention");
}
Status Apply::operator()(const PartitionMove&) {
  return not_executed(site_, "embedding partitions");
}
Status Apply::operator()(const BucketStep&) { return not_executed(site_, "embedding partitions"); }
// The communicators carry these out, see collective.hpp.
Status Apply::operator()(const Collective&) { return Done{}; }
// The end of a step is one operation over all blocks: see update.hpp.
Status Apply::operator()(const GradientNorm&) { return Done{}; }
Status Apply::operator()(const OptimizerStep&) { return Done{}; }

}  // namespace meshplan
