// SPDX-License-Identifier: Apache-2.0
#include "validate/execute/cuda_apply.hpp"

#include "profiler/cuda/activation.hpp"
#include "profiler/cuda/cross_entropy.hpp"
#include "profiler/cuda/embedding.hpp"
#include "profiler/cuda/fp8.hpp"
#include "profiler/cuda/layer_norm.hpp"
#include "profiler/cuda/norm.hpp"
#include "profiler/cuda/rope.hpp"
#include "validate/execute/eight_bit.hpp"

namespace meshplan {

using cpu::Write;

namespace {

template <class T>
T* as(Tensor x) {
  return reinterpret_cast<T*>(x.data);
}

}  // namespace

Status CudaApply::same_type(Tensor a, Tensor b) const {
  if (a.type == b.type) return Done{};
  return not_executed(site_, "operands of two types on a GPU");
}

Result<float*> CudaApply::column_workspace(int64_t rows, int64_t cols) {
  MESHPLAN_TRY(std::byte* const memory,
               kernels_.scratch(2, cuda::column_sum_workspace(rows, cols)));
  return reinterpret_cast<float*>(memory);
}

Status CudaApply::operator()(const Gemm& gemm) {
  if (op_.module == Module::experts) return expert_products(gemm);
  if (gemm.in == DType::fp8) return fp8_product(gemm);
  MESHPLAN_CHECK(same_type(in(0), in(1)));
  const bool bias = op_.in.size() > 2;
  const cuda::Product product{.m = gemm.m,
                              .n = gemm.n,
                              .k = gemm.k,
                              .layout = gemm.layout,
                              .in = in(0).type,
                              .out = out(0).type,
                              .accumulate = gemm.accumulate,
                              .bias = bias};
  return kernels_.products->run(stream(), product, in(0).data, in(1).data, out(0).data,
                                bias ? in(2).data : nullptr);
}

Result<CudaApply::Eight> CudaApply::eight_bit(size_t operand, int64_t rows, int64_t cols,
                                              bool turned) {
  const Tensor x = in(operand);
  const int64_t bytes = rows * cols;
  MESHPLAN_TRY(float* const scale, kernels_.scale_of(x.data));
  const void* data = x.data;
  const auto slot = static_cast<int>(operand);  // casts in 0 and 1, turned ones in 2 and 3
  if (x.type != DType::fp8) {
    MESHPLAN_TRY(std::byte* const cast, kernels_.scratch(slot, bytes));
    MESHPLAN_CHECK(cuda::to_fp8(stream(), bytes, x.type, x.data, cpu::Fp8::e4m3, cast, scale));
    data = cast;
  }
  if (turned) {
    MESHPLAN_TRY(std::byte* const other, kernels_.scratch(2 + slot, bytes));
    MESHPLAN_CHECK(cuda::transpose_bytes(stream(), rows, cols, data, other));
    data = other;
  }
  return Eight{data, scale};
}

Status CudaApply::fp8_product(const Gemm& gemm) {
  const bool nt = gemm.layout == Layout::nt, tn = gemm.layout == Layout::tn;
  MESHPLAN_TRY(const Eight a,
               nt ? eight_bit(0, gemm.k, gemm.m, true) : eight_bit(0, gemm.m, gemm.k, false));
  MESHPLAN_TRY(const Eight b,
               tn ? eight_bit(1, gemm.n, gemm.k, false) : eight_bit(1, gemm.k, gemm.n, true));
  const bool bias = op_.in.size() > 2;
  const bool gradient =
      fp8_format(site_.state.block(), op_.in[0]) == cpu::Fp8::e5m2 && in(0).type == DType::fp8;
  const cuda::Product product{.m = gemm.m,
                              .n = gemm.n,
                              .k = gemm.k,
                              .layout = Layout::tn,
                              .in = DType::fp8,
                              .out = out(0).type,
                              .accumulate = gemm.accumulate,
                              .bias = bias,
                              .a_e5m2 = gradient};
  return kernels_.products->run(stream(), product, a.data, b.data, out(0).data,
                                bias ? in(2).data : nullptr, {a.scale, b.scale});
}

Status CudaApply::operator()(const Norm& norm) {
  const auto epsilon = static_cast<float>(env_.program().model.norm_epsilon);
  const int64_t rows = norm.rows, cols = norm.cols;
  if (norm.type == NormType::layer) return layer_norm(norm, epsilon);
  if (norm.pass == Pass::forward) {
    MESHPLAN_CHECK(same_type(in(0), in(1)));
    return cuda::rmsnorm_forward(stream(), rows, cols, epsilon, in(0).type, in(0).data, nullptr,
                                 nullptr, in(1).data, out(0).data, as<float>(out(1)));
  }
  const Tensor dy = in(0), x = in(1), weight = in(2);
  const auto* rstd = as<float>(in(3));
  MESHPLAN_CHECK(same_type(dy, x));
  MESHPLAN_CHECK(same_type(x, weight));
  MESHPLAN_CHECK(cuda::rmsnorm_backward_input(stream(), rows, cols, x.type, x.data, weight.data,
                                              rstd, dy.data, Write::set, out(0).data));
  MESHPLAN_TRY(float* const workspace, column_workspace(rows, cols));
  return cuda::rmsnorm_backward_weight(stream(), rows, cols, x.type, x.data, rstd, dy.data,
                                       out(1).type, out(1).data, workspace);
}

/// Statistics hold the means of all rows, then their rstd.
Status CudaApply::layer_norm(const Norm& norm, float epsilon) {
  const int64_t rows = norm.rows, cols = norm.cols;
  const bool bias = norm.pass == Pass::forward ? op_.in.size() > 2 : op_.out.size() > 2;
  if (norm.pass == Pass::forward) {
    MESHPLAN_CHECK(same_type(in(0), in(1)));
    return cuda::layernorm_forward(stream(), rows, cols, epsilon, in(0).type, in(0).data,
                                   in(1).data, bias ? in(2).data : nullptr, out(0).data,
                                   as<float>(out(1)), as<float>(out(1).from(rows)));
  }
  const Tensor dy = in(0), x = in(1), weight = in(2);
  const auto* mean = as<float>(in(3));
  const auto* rstd = as<float>(in(3).from(rows));
  MESHPLAN_CHECK(same_type(dy, x));
  MESHPLAN_CHECK(same_type(x, weight));
  MESHPLAN_TRY(float* const workspace, column_workspace(rows, cols));
  MESHPLAN_CHECK(cuda::layernorm_backward_weight(stream(), rows, cols, x.type, x.data, mean, rstd,
                                                 dy.data, out(1).type, out(1).data, workspace));
  if (bias) {
    MESHPLAN_CHECK(cuda::bias_gradient(stream(), rows, cols, dy.type, dy.data, out(2).type,
                                       out(2).data, workspace));
  }
  return cuda::layernorm_backward_input(stream(), rows, cols, x.type, x.data, weight.data, mean,
                                        rstd, dy.data, Write::set, out(0).data);
}

Status CudaApply::operator()(const Rope& rope) {
  const bool forward = rope.pass == Pass::forward;
  const std::vector<BufferId>& joined = forward ? op_.in : op_.out;
  const std::vector<BufferId>& parts = forward ? op_.out : op_.in;
  const int64_t width = (rope.heads + 2 * rope.kv_heads) * rope.head_dim;
  if (joined.size() != 1 || buffer(joined[0]).cols != width) {
    return not_executed(site_, "rotary positions on separate projections");
  }
  const int32_t* position = nullptr;
  const float *cosine = nullptr, *sine = nullptr;
  if (rope.rotate) {
    const int64_t entries = env_.program().batch.sequence * rope.head_dim / 2;
    MESHPLAN_TRY(position, kernels_.table(env_.row_positions()));
    MESHPLAN_TRY(cosine, kernels_.table(env_.cosine(), entries));
    MESHPLAN_TRY(sine, kernels_.table(env_.sine(), entries));
  }
  const Tensor qkv = site_.tensor(joined[0]);
  return cuda::rope_split(stream(), forward ? cpu::Turn::forward : cpu::Turn::backward,
                          {.tokens = rope.tokens,
                           .heads = rope.heads,
                           .kv_heads = rope.kv_heads,
                           .head_dim = rope.head_dim,
                           .rotate = rope.rotate},
                          qkv.type, position, cosine, sine, qkv.data, site_.tensor(parts[0]).data,
                          site_.tensor(parts[1]).data, site_.tensor(parts[2]).data);
}

Status CudaApply::operator()(const Activate& activate) {
  if (activate.pass == Pass::forward) {
    return cuda::activation_forward(stream(), activate.type, activate.rows, activate.cols,
                                    in(0).type, in(0).data, out(0).data);
  }
  return cuda::activation_backward(stream(), activate.type, activate.rows, activate.cols,
                                   in(1).type, in(1).data, in(0).data, out(0).data);
}

Status CudaApply::operator()(const Elementwise& elementwise) {
  const int64_t count = elementwise.elements;
  switch (elementwise.kind) {
    case ElementwiseKind::add: {
      if (buffer(op_.in[1]).kind == BufferClass::parameter) {
        return not_executed(site_, "learned positions");
      }
      const Tensor a = in(0), b = in(1), y = out(0);
      if (y.data == a.data) {
        return cuda::accumulate(stream(), count, 1, b.type, b.data, y.type, y.data);
      }
      MESHPLAN_CHECK(same_type(a, b));
      MESHPLAN_CHECK(same_type(a, y));
      return cuda::add(stream(), count, a.type, a.data, b.data, y.data);
    }
    case ElementwiseKind::bias_add: {
      const int64_t cols = buffer(op_.in[0]).cols;
      return cuda::add_bias(stream(), count / cols, cols, in(0).type, in(0).data, in(1).data,
                            out(0).data);
    }
    case ElementwiseKind::bias_gradient: {
      const int64_t cols = buffer(op_.in[0]).cols;
      if (buffer(op_.out[0]).elements() != cols) return not_executed(site_, "learned positions");
      MESHPLAN_TRY(float* const workspace, column_workspace(count / cols, cols));
      return cuda::bias_gradient(stream(), count / cols, cols, in(0).type, in(0).data, out(0).type,
                                 out(0).data, workspace);
    }
    case ElementwiseKind::cast: {
      if (op_.out.empty()) return Done{};  // of a weight: where it is used
      const Tensor y = out(0);
      if (y.type != DType::fp8) return env_.device().convert(count, in(0), y);
      MESHPLAN_TRY(float* const scale, kernels_.scale_of(y.data));
      return cuda::to_fp8(stream(), count, in(0).type, in(0).data,
                          fp8_format(site_.state.block(), op_.out[0]), y.data, scale);
    }
    case ElementwiseKind::copy:
      return copy_columns();
    case ElementwiseKind::zero:
      return env_.device().zero(count * bytes_of(out(0).type), out(0).data);
    case ElementwiseKind::dropout:
      return not_executed(site_, "dropout");
    case ElementwiseKind::scale:
      return not_executed(site_, "scaling");
  }
  return Done{};
}

/// As Apply::copy_columns of the CPU.
Status CudaApply::copy_columns() {
  const Buffer& from = buffer(op_.in[0]);
  const Buffer& to = buffer(op_.out[0]);
  const int64_t parts = from.rows / to.rows, cols = to.cols / parts, size = bytes_of(from.dtype);
  Tensor x = in(0);
  if (from.cols > to.cols) x = x.from(env_.place().tp * to.cols);
  for (int64_t p = 0; p < parts; ++p) {
    MESHPLAN_CUDA(cudaMemcpy2DAsync(out(0).from(p * cols).data, static_cast<size_t>(to.cols * size),
                                    x.from(p * to.rows * from.cols).data,
                                    static_cast<size_t>(from.cols * size),
                                    static_cast<size_t>(cols * size), static_cast<size_t>(to.rows),
                                    cudaMemcpyDeviceToDevice, stream()));
  }
  return Done{};
}

Status CudaApply::operator()(const Embedding& embedding) {
  const int64_t first = env_.place().tp * embedding.vocab;
  const auto* ids = as<int32_t>(in(0));
  if (embedding.pass == Pass::forward) {
    MESHPLAN_CHECK(same_type(in(1), out(0)));
    return cuda::embedding_forward(stream(), embedding.tokens, embedding.hidden, first,
                                   embedding.vocab, ids, in(1).type, in(1).data, out(0).data);
  }
  return cuda::embedding_backward(stream(), embedding.tokens, embedding.hidden, first,
                                  embedding.vocab, ids, in(1).type, in(1).data, out(0).type,
                                  out(0).data);
}

/// The mean loss of a micro-batch, an output that only observers read, stays undefined.
Status CudaApply::operator()(const CrossEntropy& cross_entropy) {
  const int64_t n = cross_entropy.tokens;
  const bool gathered = env_.program().trainer.logits_gathered;
  const cuda::VocabularyShard shard{.tokens = n,
                                    .columns = cross_entropy.vocab,
                                    .begin = gathered ? 0 : env_.place().tp * cross_entropy.vocab,
                                    .vocab = env_.program().model.vocabulary};
  // with the whole vocabulary here nothing comes between the two parts: one pass makes both
  const bool whole = gathered || env_.plan().tp == 1;
  switch (cross_entropy.part) {
    case CrossEntropy::Part::maximum:
      if (whole) return Done{};
      return cuda::cross_entropy_maximum(stream(), shard, in(0).type, in(0).data,
                                         as<float>(out(0)));
    case CrossEntropy::Part::sum:
      if (whole) {
        MESHPLAN_CHECK(cuda::cross_entropy_maximum_and_sum(
            stream(), shard, in(0).type, in(0).data, as<int32_t>(in(1)), as<float>(out(0)),
            as<float>(out(0).from(n)), as<float>(out(0).from(2 * n))));
      } else {
        MESHPLAN_CHECK(cuda::cross_entropy_sum(
            stream(), shard, in(0).type, in(0).data, as<int32_t>(in(1)), as<float>(in(2)),
            as<float>(out(0).from(n)), as<float>(out(0).from(2 * n))));
      }
      // the logits stand for log-probabilities, as on the CPU
      if (op_.out.size() < 2) return Done{};
      return env_.device().convert(n * cross_entropy.vocab, in(0), out(1));
    case CrossEntropy::Part::loss: {
      MESHPLAN_TRY(double* const slot, kernels_.sum_slot({}));
      return cuda::cross_entropy_loss(stream(), n, as<float>(in(0).from(n)),
                                      as<float>(in(0).from(2 * n)), slot);
    }
    case CrossEntropy::Part::gradient:
      MESHPLAN_CHECK(same_type(in(0), out(0)));
      return cuda::cross_entropy_gradient(stream(), shard, static_cast<float>(env_.token_weight()),
                                          in(0).type, in(0).data, as<int32_t>(in(1)),
                                          as<float>(in(2)), as<float>(in(2).from(n)), out(0).data);
  }
  return Done{};
}

Status CudaApply::operator()(const Softmax&) {
  return not_executed(site_, "materialised attention");
}
Status CudaApply::operator()(const BatchedGemm&) {
  return not_executed(site_, "materialised attention");
}
Status CudaApply::operator()(const PartitionMove&) {
  return not_executed(site_, "embedding partitions");
}
Status CudaApply::operator()(const BucketStep&) {
  return not_executed(site_, "embedding partitions");
}
// The communicators carry these out, see collective.hpp.
Status CudaApply::operator()(const Collective&) { return Done{}; }
// The end of a step is one operation over all blocks: see update.hpp.
Status CudaApply::operator()(const GradientNorm&) { return Done{}; }
Status CudaApply::operator()(const OptimizerStep&) { return Done{}; }

}  // namespace meshplan
