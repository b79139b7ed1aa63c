// SPDX-License-Identifier: Apache-2.0
// Mixtures of experts on the GPU, as apply_experts.cpp on the CPU. How full the experts are is not
// counted here: the host would have to wait for it.
#include "profiler/cuda/routing.hpp"
#include "validate/execute/cuda_apply.hpp"
#include "validate/execute/routed.hpp"

namespace meshplan {
namespace {

float* fp32(Tensor x) { return reinterpret_cast<float*>(x.data); }
int32_t* int32(Tensor x) { return reinterpret_cast<int32_t*>(x.data); }

cuda::Routing routing_of(const OpSite& site, int64_t tokens) {
  const Moe& moe = *site.env.program().model.moe;
  const int64_t asked = site.env.options().routing_group;
  cuda::Routing out{.tokens = tokens, .experts = moe.experts, .top_k = moe.top_k};
  out.group = asked > 0 ? asked : tokens;
  out.capacity = expert_rows(site.state.block()) * out.group / tokens / moe.experts;
  return out;
}

}  // namespace

Status CudaApply::operator()(const Route& route) {
  const cuda::Routing shape = routing_of(site_, route.tokens);
  if (route.pass == Pass::backward) {
    return cuda::route_backward(stream(), shape, fp32(in(0)), fp32(in(2)), int32(in(1)),
                                fp32(out(0)));
  }
  MESHPLAN_TRY(std::byte* const expert, kernels_.scratch(0, 4 * route.tokens * route.top_k));
  auto* chosen = reinterpret_cast<int32_t*>(expert);
  MESHPLAN_CHECK(cuda::route_forward(stream(), shape, fp32(in(0)), fp32(out(0)), chosen));
  return cuda::route_rows(stream(), shape, chosen, int32(out(1)));
}

Status CudaApply::operator()(const Permute& permute) {
  const cuda::Routing shape = routing_of(site_, permute.tokens);
  const int64_t hidden = permute.hidden;
  const int32_t* routing = int32(in(op_.in.size() - 1));
  const Tensor x = in(0), y = out(0);
  MESHPLAN_CHECK(same_type(x, y));
  if (!permute.combine) {
    return permute.pass == Pass::forward
               ? cuda::dispatch(stream(), shape, hidden, x.type, routing, nullptr, x.data, y.data)
               : cuda::combine(stream(), shape, hidden, x.type, routing, nullptr, x.data, y.data);
  }
  if (permute.pass == Pass::forward) {
    return cuda::combine(stream(), shape, hidden, x.type, routing, fp32(in(1)), x.data, y.data);
  }
  MESHPLAN_CHECK(same_type(x, in(1)));
  MESHPLAN_CHECK(cuda::gate_gradient(stream(), shape, hidden, x.type, routing, x.data, in(1).data,
                                     fp32(out(1))));
  return cuda::dispatch(stream(), shape, hidden, x.type, routing, fp32(in(2)), x.data, y.data);
}

/// As Apply::expert_gemm: a product per expert and sending rank.
Status CudaApply::expert_products(const Gemm& gemm) {
  MESHPLAN_CHECK(same_type(in(0), in(1)));
  const int64_t pieces = int64_t{env_.plan().ep} * env_.plan().etp;
  const bool weights = gemm.layout == Layout::nt;
  const int64_t rows = (weights ? gemm.k : gemm.m) / pieces;
  if (rows == 0) return Done{};
  for (int64_t e = 0; e < gemm.groups; ++e) {
    for (int64_t p = 0; p < pieces; ++p) {
      const int64_t row = (p * gemm.groups + e) * rows;
      cuda::Product product{.m = weights ? gemm.m : rows,
                            .n = gemm.n,
                            .k = weights ? rows : gemm.k,
                            .layout = gemm.layout,
                            .in = in(0).type,
                            .out = out(0).type,
                            .accumulate = weights && (gemm.accumulate || p > 0)};
      const Tensor a = in(0).from(row * (weights ? gemm.m : gemm.k));
      const Tensor b = in(1).from(weights ? row * gemm.n : e * gemm.n * gemm.k);
      const Tensor c = out(0).from(weights ? e * gemm.m * gemm.n : row * gemm.n);
      MESHPLAN_CHECK(kernels_.products->run(stream(), product, a.data, b.data, c.data));
    }
  }
  return Done{};
}

}  // namespace meshplan
