// SPDX-License-Identifier: Apache-2.0
// Rates of the products and attentions of Llama 3 8B at 8,192 tokens as the executor calls them, as
// JSON; validate/bench/torch_gpu.py measures the library's own best beside it.
//   gpu_rates SECONDS_PER_POINT
// Exit code 77 without a GPU.
#include <fmt/format.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "profiler/cuda/attention.hpp"
#include "profiler/cuda/gemm.hpp"
#include "profiler/cuda/gpu.hpp"
#include "tests/cuda/kernel_check.hpp"

namespace meshplan {
namespace {

using Json = nlohmann::ordered_json;

Result<double> seconds_of(cudaStream_t stream, double wanted, const std::function<Status()>& work) {
  MESHPLAN_TRY(const cuda::Event begin, cuda::make_event(true));
  MESHPLAN_TRY(const cuda::Event end, cuda::make_event(true));
  MESHPLAN_CHECK(work());  // chooses kernels
  for (int64_t repeats = 2;; repeats *= 2) {
    MESHPLAN_CUDA(cudaEventRecord(begin.get(), stream));
    for (int64_t i = 0; i < repeats; ++i) MESHPLAN_CHECK(work());
    MESHPLAN_CUDA(cudaEventRecord(end.get(), stream));
    MESHPLAN_TRY(const double seconds, cuda::seconds_between(begin, end));
    if (seconds >= wanted || repeats > 10000) return seconds / static_cast<double>(repeats);
  }
}

Status products(test::KernelCheck& check, double wanted, Json& out) {
  MESHPLAN_TRY(const std::unique_ptr<cuda::Products> products, cuda::Products::make());
  struct Layer {
    const char* name;
    int64_t n, k;
  };
  constexpr int64_t kTokens = 8192;
  for (const Layer& layer :
       {Layer{"qkv", 6144, 4096}, Layer{"attention out", 4096, 4096}, Layer{"mlp in", 28672, 4096},
        Layer{"mlp out", 4096, 14336}, Layer{"head", 128256, 4096}}) {
    const std::array<cuda::Product, 3> passes = {
        cuda::Product{kTokens, layer.n, layer.k, Layout::tn, DType::bf16, DType::bf16},
        cuda::Product{kTokens, layer.k, layer.n, Layout::nn, DType::bf16, DType::bf16},
        cuda::Product{layer.n, layer.k, kTokens, Layout::nt, DType::bf16, DType::fp32, true}};
    for (const cuda::Product& p : passes) {
      MESHPLAN_TRY(const cuda::DeviceMemory a, check.noise(p.m * p.k, p.in));
      MESHPLAN_TRY(const cuda::DeviceMemory b, check.noise(p.n * p.k, p.in));
      MESHPLAN_TRY(const cuda::DeviceMemory c,
                   cuda::DeviceMemory::make(p.m * p.n * bytes_of(p.out)));
      MESHPLAN_CUDA(cudaMemset(c.get(), 0, static_cast<size_t>(c.bytes())));
      MESHPLAN_TRY(const double seconds, seconds_of(check.stream(), wanted, [&] {
                     return products->run(check.stream(), p, a.get(), b.get(), c.get());
                   }));
      const auto flops =
          2.0 * static_cast<double>(p.m) * static_cast<double>(p.n) * static_cast<double>(p.k);
      out.push_back({{"kind", "product"},
                     {"name", layer.name},
                     {"pass", p.layout == Layout::tn   ? "forward"
                              : p.layout == Layout::nn ? "input gradient"
                                                       : "weight gradient"},
                     {"m", p.m},
                     {"n", p.n},
                     {"k", p.k},
                     {"tflops", flops / seconds / 1e12}});
    }
  }
  return Done{};
}

Status attention(test::KernelCheck& check, double wanted, Json& out) {
  MESHPLAN_TRY(const std::unique_ptr<cuda::CudnnAttention> cudnn, cuda::CudnnAttention::make());
  for (const int64_t dim : {64, 128}) {
    constexpr int64_t kLength = 8192, kHeads = 32, kKvHeads = 8;
    const cpu::AttentionShape s{.batch = 1,
                                .q_len = kLength,
                                .kv_len = kLength,
                                .heads = kHeads,
                                .kv_heads = kKvHeads,
                                .head_dim = dim,
                                .head_dim_v = dim};
    MESHPLAN_TRY(const cuda::DeviceMemory q, check.noise(kLength * kHeads * dim, DType::bf16));
    MESHPLAN_TRY(const cuda::DeviceMemory k, check.noise(kLength * kKvHeads * dim, DType::bf16));
    MESHPLAN_TRY(const cuda::DeviceMemory v, check.noise(kLength * kKvHeads * dim, DType::bf16));
    MESHPLAN_TRY(const cuda::DeviceMemory d_o, check.noise(kLength * kHeads * dim, DType::bf16));
    MESHPLAN_TRY(const cuda::DeviceMemory o, check.noise(kLength * kHeads * dim, DType::bf16));
    MESHPLAN_TRY(const cuda::DeviceMemory dq, check.noise(kLength * kHeads * dim, DType::bf16));
    MESHPLAN_TRY(const cuda::DeviceMemory dk, check.noise(kLength * kKvHeads * dim, DType::bf16));
    MESHPLAN_TRY(const cuda::DeviceMemory dv, check.noise(kLength * kKvHeads * dim, DType::bf16));
    MESHPLAN_TRY(const cuda::DeviceMemory lse, check.noise(kLength * kHeads, DType::fp32));
    MESHPLAN_TRY(const double ahead, seconds_of(check.stream(), wanted, [&] {
                   return cudnn->forward(check.stream(), s, q.get(), k.get(), v.get(), o.get(),
                                         lse.as<float>());
                 }));
    MESHPLAN_TRY(const double back, seconds_of(check.stream(), wanted, [&] {
                   return cudnn->backward(check.stream(), s, false, q.get(), k.get(), v.get(),
                                          o.get(), lse.as<float>(), d_o.get(), dq.get(), dk.get(),
                                          dv.get());
                 }));
    // half of the square is masked
    const double flops = static_cast<double>(kLength * kLength * kHeads * dim);
    for (const auto& [pass, seconds, products] :
         {std::tuple("forward", ahead, 2.0), std::tuple("backward", back, 5.0)}) {
      out.push_back({{"kind", "attention"},
                     {"name", fmt::format("heads of {}", dim)},
                     {"pass", pass},
                     {"tflops", products * flops / seconds / 1e12}});
    }
  }
  return Done{};
}

int run(double wanted) {
  const Result<std::vector<cuda::GpuFacts>> gpus = cuda::gpus();
  Result<test::KernelCheck> check = test::KernelCheck::make();
  if (!gpus.ok() || !check.ok()) {
    fmt::print("skipped: {}\n", (gpus.ok() ? check.error() : gpus.error()).message);
    return 77;
  }
  Json rates = Json::array();
  Status status = products(*check, wanted, rates);
  if (status.ok()) status = attention(*check, wanted, rates);
  const Json out = {{"schema", "meshplan.gpu-rates/1"},
                    {"device", gpus->front().name},
                    {"ended", status.ok() ? "done" : render(status.error())},
                    {"rates", rates}};
  fmt::print("{}\n", out.dump(1));
  return status.ok() ? 0 : 1;
}

}  // namespace
}  // namespace meshplan

int main(int argc, char** argv) { return meshplan::run(argc > 1 ? std::atof(argv[1]) : 0.2); }
