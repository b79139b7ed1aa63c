// SPDX-License-Identifier: Apache-2.0
#include "profiler/cuda/attention.hpp"
#include "profiler/cuda/attention_simple.hpp"
#include "profiler/cuda/cross_entropy.hpp"
#include "profiler/cuda/fp8.hpp"
#include "profiler/cuda/gemm.hpp"
#include "profiler/cuda/gpu.hpp"
#include "profiler/kernels/attention.hpp"
#include "profiler/kernels/cross_entropy.hpp"
#include "profiler/kernels/gemm.hpp"
#include "tests/cuda/kernel_check.hpp"

namespace meshplan::test {
namespace {

using Doubles = std::vector<double>;
cpu::Workers workers(1);

Status product(KernelCheck& check, cuda::Products& products, cuda::Product shape) {
  MESHPLAN_TRY(const Data a, check.random(shape.m * shape.k, shape.in));
  MESHPLAN_TRY(const Data b, check.random(shape.n * shape.k, shape.in));
  MESHPLAN_TRY(const Data c, check.random(shape.m * shape.n, shape.out));
  MESHPLAN_TRY(const Data bias, check.random(shape.n, shape.out));
  Doubles expected = c.host;
  cpu::gemm(workers,
            {.m = shape.m,
             .n = shape.n,
             .k = shape.k,
             .trans_a = shape.layout == Layout::nt,
             .trans_b = shape.layout == Layout::tn,
             .beta = shape.accumulate ? 1.0 : 0.0},
            a.host.data(), b.host.data(), expected.data());
  if (shape.bias) {
    cpu::add_bias(workers, shape.m, shape.n, expected.data(), bias.host.data(), expected.data());
  }
  // twice: the first call times kernels and must leave c as it was
  MESHPLAN_CHECK(products.run(check.stream(), shape, a.get(), b.get(), c.get(),
                              shape.bias ? bias.get() : nullptr));
  const char* name = shape.layout == Layout::tn   ? "product tn"
                     : shape.layout == Layout::nn ? "product nn"
                                                  : "product nt";
  return check.compare(
      std::string(name) + (shape.accumulate ? ", added" : "") + (shape.bias ? ", bias" : ""), c,
      expected);
}

/// What the GPU makes of a tensor in 8 bits, and the same numbers here.
struct Eight {
  cuda::DeviceMemory data, scale;
  Doubles host;
};

Result<Eight> eight_bit(KernelCheck& check, const Data& x, cpu::Fp8 format) {
  const auto count = static_cast<int64_t>(x.host.size());
  Eight out;
  MESHPLAN_TRY(out.data, cuda::DeviceMemory::make(count));
  MESHPLAN_TRY(out.scale, cuda::DeviceMemory::make(2 * sizeof(float)));
  MESHPLAN_CHECK(cuda::to_fp8(check.stream(), count, x.type, x.get(), format, out.data.get(),
                              out.scale.as<float>()));
  const std::vector<float> values(x.host.begin(), x.host.end());
  const float scale = cpu::fp8_scale(workers, count, values.data(), format);
  for (const float value : values) {
    out.host.push_back(scale * cpu::float_of(cpu::fp8_of(value / scale, format), format));
  }
  return out;
}

/// c = a b^T, a a gradient; b is cast as [k, n] and turned.
Status fp8_product(KernelCheck& check, cuda::Products& products, int64_t m, int64_t n, int64_t k,
                   cpu::Fp8 format) {
  MESHPLAN_TRY(const Data a, check.random(m * k, DType::bf16));
  MESHPLAN_TRY(const Data b, check.random(k * n, DType::bf16));
  MESHPLAN_TRY(const Data c, check.zeros(m * n, DType::bf16));
  MESHPLAN_TRY(const Eight left, eight_bit(check, a, format));
  MESHPLAN_TRY(const Eight right, eight_bit(check, b, cpu::Fp8::e4m3));
  MESHPLAN_TRY(const cuda::DeviceMemory turned, cuda::DeviceMemory::make(n * k));
  MESHPLAN_CHECK(cuda::transpose_bytes(check.stream(), k, n, right.data.get(), turned.get()));
  const cuda::Product shape{
      .m = m, .n = n, .k = k, .in = DType::fp8, .a_e5m2 = format == cpu::Fp8::e5m2};
  MESHPLAN_CHECK(products.run(check.stream(), shape, left.data.get(), turned.get(), c.get(),
                              nullptr, {left.scale.as<float>(), right.scale.as<float>()}));
  Doubles expected(c.host.size(), 0.0);
  cpu::gemm(workers, {.m = m, .n = n, .k = k}, left.host.data(), right.host.data(),
            expected.data());
  return check.compare(format == cpu::Fp8::e5m2 ? "product of e5m2, e4m3" : "product of e4m3", c,
                       expected);
}

struct Heads {
  cpu::AttentionShape shape;
  Data q, k, v, d_o;
  std::vector<int32_t> q_position, kv_position;
  Doubles o, lse, dq, dk, dv;  ///< expected
};

Result<Heads> make_heads(KernelCheck& check, const cpu::AttentionShape& s, DType type) {
  Heads out{.shape = s};
  const int64_t queries = s.batch * s.q_len, keys = s.batch * s.kv_len;
  MESHPLAN_TRY(out.q, check.random(queries * s.heads * s.head_dim, type));
  MESHPLAN_TRY(out.k, check.random(keys * s.kv_heads * s.head_dim, type));
  MESHPLAN_TRY(out.v, check.random(keys * s.kv_heads * s.head_dim_v, type));
  MESHPLAN_TRY(out.d_o, check.random(queries * s.heads * s.head_dim_v, type));
  for (int64_t i = 0; i < s.q_len; ++i) {
    out.q_position.push_back(static_cast<int32_t>(s.kv_len - s.q_len + i));
  }
  for (int64_t i = 0; i < s.kv_len; ++i) out.kv_position.push_back(static_cast<int32_t>(i));
  out.o.resize(out.d_o.host.size());
  out.lse.resize(static_cast<size_t>(queries * s.heads));
  out.dq.resize(out.q.host.size());
  out.dk.resize(out.k.host.size());
  out.dv.resize(out.v.host.size());
  cpu::attention_forward(workers, s, out.q_position.data(), out.kv_position.data(),
                         out.q.host.data(), out.k.host.data(), out.v.host.data(), out.o.data(),
                         out.lse.data());
  cpu::attention_backward(workers, s, out.q_position.data(), out.kv_position.data(),
                          out.q.host.data(), out.k.host.data(), out.v.host.data(), out.o.data(),
                          out.lse.data(), out.d_o.host.data(), cpu::Write::set, out.dq.data(),
                          cpu::Write::set, out.dk.data(), out.dv.data());
  return out;
}

Status plain(KernelCheck& check, const Heads& x) {
  const DType type = x.q.type;
  MESHPLAN_TRY(const cuda::DeviceMemory queries, check.integers(x.q_position));
  MESHPLAN_TRY(const cuda::DeviceMemory keys, check.integers(x.kv_position));
  const auto like = [&](const Doubles& of, DType as) {
    return check.zeros(static_cast<int64_t>(of.size()), as);
  };
  MESHPLAN_TRY(const Data o, like(x.o, type));
  MESHPLAN_TRY(const Data lse, like(x.lse, DType::fp32));
  MESHPLAN_TRY(const Data dq, like(x.dq, type));
  MESHPLAN_TRY(const Data dk, like(x.dk, type));
  MESHPLAN_TRY(const Data dv, like(x.dv, type));
  MESHPLAN_CHECK(cuda::attention_simple_forward(check.stream(), x.shape, queries.as<int32_t>(),
                                                keys.as<int32_t>(), type, x.q.get(), x.k.get(),
                                                x.v.get(), o.get(), lse.fp32()));
  MESHPLAN_CHECK(check.compare("plain attention", o, x.o));
  MESHPLAN_CHECK(check.compare("plain attention lse", lse, x.lse));
  MESHPLAN_CHECK(cuda::attention_simple_backward(
      check.stream(), x.shape, queries.as<int32_t>(), keys.as<int32_t>(), type, x.q.get(),
      x.k.get(), x.v.get(), o.get(), lse.fp32(), x.d_o.get(), cpu::Write::set, dq.get(),
      cpu::Write::set, dk.get(), dv.get()));
  MESHPLAN_CHECK(check.compare("plain attention dq", dq, x.dq));
  MESHPLAN_CHECK(check.compare("plain attention dk", dk, x.dk));
  return check.compare("plain attention dv", dv, x.dv);
}

Status by_cudnn(KernelCheck& check, cuda::CudnnAttention& cudnn, const Heads& x,
                bool deterministic) {
  const auto like = [&](const Doubles& of, DType as) {
    return check.zeros(static_cast<int64_t>(of.size()), as);
  };
  MESHPLAN_TRY(const Data o, like(x.o, DType::bf16));
  MESHPLAN_TRY(const Data lse, like(x.lse, DType::fp32));
  MESHPLAN_TRY(const Data dq, like(x.dq, DType::bf16));
  MESHPLAN_TRY(const Data dk, like(x.dk, DType::bf16));
  MESHPLAN_TRY(const Data dv, like(x.dv, DType::bf16));
  MESHPLAN_CHECK(
      cudnn.forward(check.stream(), x.shape, x.q.get(), x.k.get(), x.v.get(), o.get(), lse.fp32()));
  MESHPLAN_CHECK(check.compare("cuDNN attention", o, x.o));
  // the order of its statistics is [batch, heads, q_len]
  const cpu::AttentionShape& s = x.shape;
  Doubles turned(x.lse.size());
  for (int64_t b = 0; b < s.batch; ++b) {
    for (int64_t i = 0; i < s.q_len; ++i) {
      for (int64_t h = 0; h < s.heads; ++h) {
        turned[static_cast<size_t>((b * s.heads + h) * s.q_len + i)] =
            x.lse[static_cast<size_t>((b * s.q_len + i) * s.heads + h)];
      }
    }
  }
  MESHPLAN_CHECK(check.compare("cuDNN attention lse", lse, turned));
  MESHPLAN_CHECK(cudnn.backward(check.stream(), s, deterministic, x.q.get(), x.k.get(), x.v.get(),
                                o.get(), lse.fp32(), x.d_o.get(), dq.get(), dk.get(), dv.get()));
  const std::string kind = deterministic ? "cuDNN attention, deterministic, " : "cuDNN attention, ";
  MESHPLAN_CHECK(check.compare(kind + "dq", dq, x.dq));
  MESHPLAN_CHECK(check.compare(kind + "dk", dk, x.dk));
  return check.compare(kind + "dv", dv, x.dv);
}

}  // namespace

Status check_products(KernelCheck& check, Scale scale) {
  MESHPLAN_TRY(const std::unique_ptr<cuda::Products> products, cuda::Products::make());
  const int64_t m = scale.tiny ? 16 : 384, n = scale.tiny ? 24 : 512, k = scale.tiny ? 32 : 640;
  for (const DType type : {DType::fp32, DType::bf16}) {
    for (const Layout layout : {Layout::tn, Layout::nn, Layout::nt}) {
      MESHPLAN_CHECK(product(check, *products, {m, n, k, layout, type, type}));
      MESHPLAN_CHECK(product(check, *products, {m, n, k, layout, type, DType::fp32, true}));
    }
    MESHPLAN_CHECK(product(check, *products, {m, n, k, Layout::tn, type, type, false, true}));
  }
  MESHPLAN_TRY(const std::vector<cuda::GpuFacts> gpus, cuda::gpus());
  if (gpus.front().compute_capability < 89) return Done{};
  const int64_t columns = scale.tiny ? 32 : n;  // 8-bit products take multiples of 16
  for (const cpu::Fp8 format : {cpu::Fp8::e4m3, cpu::Fp8::e5m2}) {
    MESHPLAN_CHECK(fp8_product(check, *products, m, columns, k, format));
  }
  return Done{};
}

Status check_attention(KernelCheck& check, Scale scale) {
  Result<std::unique_ptr<cuda::CudnnAttention>> cudnn = cuda::CudnnAttention::make();
  const int64_t s = scale.tiny ? 32 : 256;
  for (const int64_t dim : {64, 128}) {
    for (const int64_t queries : {s, s / 2}) {  // bottom right: a context rank's last chunk
      const cpu::AttentionShape shape{.batch = 2,
                                      .q_len = queries,
                                      .kv_len = s,
                                      .heads = 4,
                                      .kv_heads = 2,
                                      .head_dim = dim,
                                      .head_dim_v = dim};
      for (const DType type : {DType::fp32, DType::bf16}) {
        MESHPLAN_TRY(const Heads heads, make_heads(check, shape, type));
        MESHPLAN_CHECK(plain(check, heads));
        if (type != DType::bf16 || !cudnn.ok()) continue;
        for (const bool deterministic : {false, true}) {
          MESHPLAN_CHECK(by_cudnn(check, **cudnn, heads, deterministic));
        }
      }
    }
  }
  return cudnn.ok() ? Status(Done{}) : Status(cudnn.error());
}

Status check_loss(KernelCheck& check, Scale scale) {
  const int64_t tokens = scale.tiny ? 5 : 129, columns = scale.tiny ? 40 : 4096;
  for (const DType type : {DType::fp32, DType::bf16}) {
    // the second of two shards of the vocabulary, the last columns padding
    const cpu::VocabularyShard shard{
        .tokens = tokens, .columns = columns, .begin = columns, .vocab = 2 * columns - 7};
    std::vector<int32_t> ids(static_cast<size_t>(tokens));
    for (int32_t& id : ids) id = check.below(static_cast<int32_t>(shard.vocab));
    MESHPLAN_TRY(const cuda::DeviceMemory targets, check.integers(ids));
    MESHPLAN_TRY(const Data logits, check.random(tokens * columns, type));
    MESHPLAN_TRY(const Data maximum, check.zeros(tokens, DType::fp32));
    MESHPLAN_TRY(const Data sum, check.zeros(tokens, DType::fp32));
    MESHPLAN_TRY(const Data target, check.zeros(tokens, DType::fp32));
    MESHPLAN_TRY(const Data gradient, check.zeros(tokens * columns, type));
    const auto n = static_cast<size_t>(tokens);
    Doubles top(n), total(n), hit(n), expected(logits.host.size());
    MESHPLAN_CHECK(
        cuda::cross_entropy_maximum(check.stream(), shard, type, logits.get(), maximum.fp32()));
    cpu::cross_entropy_maximum(workers, shard, logits.host.data(), top.data());
    MESHPLAN_CHECK(check.compare("loss maximum", maximum, top));
    MESHPLAN_CHECK(cuda::cross_entropy_sum(check.stream(), shard, type, logits.get(),
                                           targets.as<int32_t>(), maximum.fp32(), sum.fp32(),
                                           target.fp32()));
    cpu::cross_entropy_sum(workers, shard, logits.host.data(), ids.data(), top.data(), total.data(),
                           hit.data());
    MESHPLAN_CHECK(check.compare("loss sum", sum, total));
    MESHPLAN_CHECK(check.compare("loss target", target, hit));
    MESHPLAN_CHECK(cuda::cross_entropy_maximum_and_sum(check.stream(), shard, type, logits.get(),
                                                       targets.as<int32_t>(), maximum.fp32(),
                                                       sum.fp32(), target.fp32()));
    MESHPLAN_CHECK(check.compare("loss maximum in one pass", maximum, top));
    MESHPLAN_CHECK(check.compare("loss sum in one pass", sum, total));
    MESHPLAN_CHECK(check.compare("loss target in one pass", target, hit));
    MESHPLAN_CHECK(cuda::cross_entropy_gradient(check.stream(), shard, 0.25F, type, logits.get(),
                                                targets.as<int32_t>(), maximum.fp32(), sum.fp32(),
                                                gradient.get()));
    cpu::cross_entropy_gradient(workers, shard, 0.25, logits.host.data(), ids.data(), top.data(),
                                total.data(), expected.data());
    MESHPLAN_CHECK(check.compare("loss gradient", gradient, expected));
    MESHPLAN_TRY(const cuda::DeviceMemory loss, cuda::DeviceMemory::make(8));
    MESHPLAN_CHECK(cuda::cross_entropy_loss(check.stream(), tokens, sum.fp32(), target.fp32(),
                                            loss.as<double>()));
    MESHPLAN_CUDA(cudaStreamSynchronize(check.stream()));
    double got = 0;
    MESHPLAN_CUDA(cudaMemcpy(&got, loss.get(), 8, cudaMemcpyDeviceToHost));
    MESHPLAN_CHECK(check.compare("loss", DType::fp32, got,
                                 cpu::cross_entropy_loss(tokens, total.data(), hit.data())));
  }
  return Done{};
}

}  // namespace meshplan::test
