// SPDX-License-Identifier: Apache-2.0
#include "profiler/cuda/activation.hpp"
#include "profiler/cuda/elementwise.hpp"
#include "profiler/cuda/embedding.hpp"
#include "profiler/cuda/layer_norm.hpp"
#include "profiler/cuda/norm.hpp"
#include "profiler/cuda/optimizer.hpp"
#include "profiler/cuda/rank_sum.hpp"
#include "profiler/cuda/rope.hpp"
#include "profiler/cuda/routing.hpp"
#include "profiler/kernels/activation.hpp"
#include "profiler/kernels/elementwise.hpp"
#include "profiler/kernels/embedding.hpp"
#include "profiler/kernels/norm.hpp"
#include "profiler/kernels/routing.hpp"
#include "tests/cuda/kernel_check.hpp"

namespace meshplan::test {
namespace {

using Doubles = std::vector<double>;
cpu::Workers workers(1);

Status elementwise(KernelCheck& check, int64_t count, DType type) {
  MESHPLAN_TRY(const Data a, check.random(count, type));
  MESHPLAN_TRY(const Data b, check.random(count, DType::fp32));
  MESHPLAN_TRY(const Data c, check.random(count, type));
  MESHPLAN_TRY(const Data y, check.zeros(count, type));
  Doubles expected(a.host.size());
  MESHPLAN_CHECK(cuda::add(check.stream(), count, type, a.get(), c.get(), y.get()));
  for (size_t i = 0; i < expected.size(); ++i) expected[i] = a.host[i] + c.host[i];
  MESHPLAN_CHECK(check.compare("add", y, expected));
  MESHPLAN_CHECK(cuda::convert(check.stream(), count, DType::fp32, b.get(), type, y.get()));
  MESHPLAN_CHECK(check.compare("convert", y, b.host));
  MESHPLAN_CHECK(
      cuda::accumulate(check.stream(), count, 0.5F, type, a.get(), DType::fp32, b.get()));
  for (size_t i = 0; i < expected.size(); ++i) expected[i] = b.host[i] + 0.5 * a.host[i];
  MESHPLAN_CHECK(check.compare("accumulate", b, expected));
  MESHPLAN_CHECK(cuda::scale(check.stream(), count, 3, type, c.get()));
  for (size_t i = 0; i < expected.size(); ++i) expected[i] = 3 * c.host[i];
  MESHPLAN_CHECK(check.compare("scale", c, expected));
  MESHPLAN_TRY(const cuda::DeviceMemory sum, cuda::DeviceMemory::make(8));
  MESHPLAN_TRY(const cuda::DeviceMemory workspace,
               cuda::DeviceMemory::make(cuda::squared_norm_workspace()));
  MESHPLAN_CHECK(cuda::squared_norm(check.stream(), count, type, a.get(), sum.as<double>(),
                                    workspace.as<double>()));
  MESHPLAN_CUDA(cudaStreamSynchronize(check.stream()));
  double got = 0;
  MESHPLAN_CUDA(cudaMemcpy(&got, sum.get(), 8, cudaMemcpyDeviceToHost));
  return check.compare("squared_norm", DType::fp32, got,
                       cpu::squared_norm(workers, count, a.host.data()));
}

Status norms(KernelCheck& check, int64_t rows, int64_t cols, DType type) {
  MESHPLAN_TRY(const Data x, check.random(rows * cols, type));
  MESHPLAN_TRY(const Data weight, check.random(cols, type, 1));
  MESHPLAN_TRY(const Data dy, check.random(rows * cols, type));
  MESHPLAN_TRY(const Data y, check.zeros(rows * cols, type));
  MESHPLAN_TRY(const Data rstd, check.zeros(rows, DType::fp32));
  MESHPLAN_TRY(const Data dw, check.zeros(cols, DType::fp32));
  Doubles out(x.host.size()), scale(static_cast<size_t>(rows)), dx(x.host.size()),
      dweight(static_cast<size_t>(cols), 0.0);
  MESHPLAN_CHECK(cuda::rmsnorm_forward(check.stream(), rows, cols, 1e-5F, type, x.get(), nullptr,
                                       nullptr, weight.get(), y.get(), rstd.fp32()));
  cpu::rmsnorm_forward(workers, rows, cols, 1e-5, x.host.data(), weight.host.data(), out.data(),
                       scale.data());
  MESHPLAN_CHECK(check.compare("rmsnorm_forward", y, out));
  MESHPLAN_CHECK(check.compare("rmsnorm_forward rstd", rstd, scale));
  // with the residual sum in front of it: x + x
  MESHPLAN_TRY(const Data twice, check.zeros(rows * cols, type));
  MESHPLAN_CHECK(cuda::rmsnorm_forward(check.stream(), rows, cols, 4e-5F, type, x.get(), x.get(),
                                       twice.get(), weight.get(), y.get(), rstd.fp32()));
  Doubles doubled(x.host);
  for (double& value : doubled) value *= 2;
  MESHPLAN_CHECK(check.compare("rmsnorm_forward, residual sum", twice, doubled));
  MESHPLAN_CHECK(check.compare("rmsnorm_forward, of the sum", y, out));
  MESHPLAN_CHECK(cuda::rmsnorm_forward(check.stream(), rows, cols, 1e-5F, type, x.get(), nullptr,
                                       nullptr, weight.get(), y.get(), rstd.fp32()));
  MESHPLAN_CHECK(cuda::rmsnorm_backward_input(check.stream(), rows, cols, type, x.get(),
                                              weight.get(), rstd.fp32(), dy.get(), cpu::Write::set,
                                              y.get()));
  cpu::rmsnorm_backward_input(workers, rows, cols, x.host.data(), weight.host.data(), scale.data(),
                              dy.host.data(), cpu::Write::set, dx.data());
  MESHPLAN_CHECK(check.compare("rmsnorm_backward_input", y, dx));
  MESHPLAN_TRY(const cuda::DeviceMemory workspace,
               cuda::DeviceMemory::make(cuda::column_sum_workspace(rows, cols)));
  MESHPLAN_CHECK(cuda::rmsnorm_backward_weight(check.stream(), rows, cols, type, x.get(),
                                               rstd.fp32(), dy.get(), DType::fp32, dw.get(),
                                               workspace.as<float>()));
  cpu::rmsnorm_backward_weight(workers, rows, cols, x.host.data(), scale.data(), dy.host.data(),
                               dweight.data());
  MESHPLAN_CHECK(check.compare("rmsnorm_backward_weight", dw, dweight));
  MESHPLAN_TRY(const Data db, check.zeros(cols, DType::fp32));
  MESHPLAN_CHECK(cuda::bias_gradient(check.stream(), rows, cols, type, dy.get(), DType::fp32,
                                     db.get(), workspace.as<float>()));
  Doubles dbias(static_cast<size_t>(cols), 0.0);
  cpu::bias_gradient(workers, rows, cols, dy.host.data(), dbias.data());
  MESHPLAN_CHECK(check.compare("bias_gradient", db, dbias));
  MESHPLAN_CHECK(cuda::add_bias(check.stream(), rows, cols, type, x.get(), weight.get(), y.get()));
  cpu::add_bias(workers, rows, cols, x.host.data(), weight.host.data(), out.data());
  return check.compare("add_bias", y, out);
}

Status layer_norms(KernelCheck& check, int64_t rows, int64_t cols, DType type) {
  MESHPLAN_TRY(const Data x, check.random(rows * cols, type, 0.5));
  MESHPLAN_TRY(const Data weight, check.random(cols, type, 1));
  MESHPLAN_TRY(const Data bias, check.random(cols, type));
  MESHPLAN_TRY(const Data dy, check.random(rows * cols, type));
  MESHPLAN_TRY(const Data y, check.zeros(rows * cols, type));
  MESHPLAN_TRY(const Data mean, check.zeros(rows, DType::fp32));
  MESHPLAN_TRY(const Data rstd, check.zeros(rows, DType::fp32));
  MESHPLAN_TRY(const Data dw, check.zeros(cols, DType::fp32));
  Doubles out(x.host.size()), shift(static_cast<size_t>(rows)), scale(shift), dx(x.host.size()),
      dweight(static_cast<size_t>(cols), 0.0), dbias(dweight);
  MESHPLAN_CHECK(cuda::layernorm_forward(check.stream(), rows, cols, 1e-5F, type, x.get(),
                                         weight.get(), bias.get(), y.get(), mean.fp32(),
                                         rstd.fp32()));
  cpu::layernorm_forward(workers, rows, cols, 1e-5, x.host.data(), weight.host.data(),
                         bias.host.data(), out.data(), shift.data(), scale.data());
  MESHPLAN_CHECK(check.compare("layernorm_forward", y, out));
  MESHPLAN_CHECK(check.compare("layernorm_forward mean", mean, shift));
  MESHPLAN_CHECK(check.compare("layernorm_forward rstd", rstd, scale));
  MESHPLAN_CHECK(cuda::layernorm_backward_input(check.stream(), rows, cols, type, x.get(),
                                                weight.get(), mean.fp32(), rstd.fp32(), dy.get(),
                                                cpu::Write::set, y.get()));
  cpu::layernorm_backward_input(workers, rows, cols, x.host.data(), weight.host.data(),
                                shift.data(), scale.data(), dy.host.data(), cpu::Write::set,
                                dx.data());
  MESHPLAN_CHECK(check.compare("layernorm_backward_input", y, dx));
  MESHPLAN_TRY(const cuda::DeviceMemory workspace,
               cuda::DeviceMemory::make(cuda::column_sum_workspace(rows, cols)));
  MESHPLAN_CHECK(cuda::layernorm_backward_weight(check.stream(), rows, cols, type, x.get(),
                                                 mean.fp32(), rstd.fp32(), dy.get(), DType::fp32,
                                                 dw.get(), workspace.as<float>()));
  cpu::layernorm_backward_weight(workers, rows, cols, x.host.data(), shift.data(), scale.data(),
                                 dy.host.data(), dweight.data(), dbias.data());
  return check.compare("layernorm_backward_weight", dw, dweight);
}

Status experts(KernelCheck& check, int64_t tokens, int64_t hidden, DType type) {
  const cuda::Routing shape{.tokens = tokens,
                            .experts = 8,
                            .top_k = 2,
                            .group = tokens / 2,
                            .capacity = tokens / 8};  // what a group would fill if it chose evenly
  const cpu::RouteShape host{shape.tokens, shape.experts, shape.top_k, true};
  const int64_t pairs = tokens * shape.top_k;
  MESHPLAN_TRY(const Data logits, check.random(tokens * shape.experts, DType::fp32));
  MESHPLAN_TRY(const Data gates, check.zeros(pairs, DType::fp32));
  MESHPLAN_TRY(const Data dgates, check.zeros(pairs, DType::fp32));
  MESHPLAN_TRY(const Data dlogits, check.zeros(tokens * shape.experts, DType::fp32));
  MESHPLAN_TRY(const Data x, check.random(tokens * hidden, type));
  MESHPLAN_TRY(const Data dy, check.random(tokens * hidden, type));
  MESHPLAN_TRY(const Data y, check.zeros(tokens * hidden, type));
  MESHPLAN_TRY(const Data permuted, check.zeros(shape.rows() * hidden, type));
  MESHPLAN_TRY(const Data dpermuted, check.zeros(shape.rows() * hidden, type));
  MESHPLAN_TRY(const cuda::DeviceMemory chosen, check.integers(std::vector<int32_t>(pairs)));
  MESHPLAN_TRY(const cuda::DeviceMemory routing, check.integers(std::vector<int32_t>(pairs)));
  const auto* rows = routing.as<int32_t>();
  MESHPLAN_CHECK(cuda::route_forward(check.stream(), shape, logits.fp32(), gates.fp32(),
                                     chosen.as<int32_t>()));
  MESHPLAN_CHECK(
      cuda::route_rows(check.stream(), shape, chosen.as<int32_t>(), routing.as<int32_t>()));
  Doubles gate(static_cast<size_t>(pairs)), dgate(gate), probability(logits.host.size()),
      dlogit(probability), out(x.host.size()), moved(permuted.host.size()), dmoved(moved);
  std::vector<int32_t> expert(static_cast<size_t>(pairs));
  cpu::route_forward(workers, host, logits.host.data(), gate.data(), expert.data(),
                     probability.data());
  const std::vector<int32_t> row =
      cpu::rows_of_fixed_capacity(host, shape.group, shape.capacity, expert.data());
  MESHPLAN_CHECK(check.compare("route_forward", gates, gate));
  MESHPLAN_CHECK(
      cuda::dispatch(check.stream(), shape, hidden, type, rows, nullptr, x.get(), permuted.get()));
  cpu::dispatch_forward(workers, tokens, shape.top_k, shape.rows(), hidden, row.data(),
                        x.host.data(), moved.data());
  MESHPLAN_CHECK(check.compare("dispatch", permuted, moved));
  MESHPLAN_CHECK(cuda::combine(check.stream(), shape, hidden, type, rows, gates.fp32(),
                               permuted.get(), y.get()));
  cpu::combine_forward(workers, tokens, shape.top_k, hidden, row.data(), gate.data(), moved.data(),
                       out.data());
  MESHPLAN_CHECK(check.compare("combine", y, out));
  MESHPLAN_CHECK(cuda::gate_gradient(check.stream(), shape, hidden, type, rows, dy.get(),
                                     permuted.get(), dgates.fp32()));
  MESHPLAN_CHECK(cuda::dispatch(check.stream(), shape, hidden, type, rows, gates.fp32(), dy.get(),
                                dpermuted.get()));
  cpu::combine_backward(workers, tokens, shape.top_k, shape.rows(), hidden, row.data(), gate.data(),
                        moved.data(), dy.host.data(), dmoved.data(), dgate.data());
  MESHPLAN_CHECK(check.compare("gate_gradient", dgates, dgate));
  MESHPLAN_CHECK(check.compare("dispatch with gates", dpermuted, dmoved));
  MESHPLAN_CHECK(cuda::route_backward(check.stream(), shape, dgates.fp32(), gates.fp32(), rows,
                                      dlogits.fp32()));
  cpu::route_backward<double>(workers, host, dgate.data(), gate.data(), expert.data(), nullptr,
                              dlogit.data());
  return check.compare("route_backward", dlogits, dlogit);
}

Status activations(KernelCheck& check, int64_t rows, int64_t cols, DType type) {
  MESHPLAN_TRY(const Data x, check.random(2 * rows * cols, type));
  MESHPLAN_TRY(const Data dy, check.random(rows * cols, type));
  MESHPLAN_TRY(const Data y, check.zeros(rows * cols, type));
  MESHPLAN_TRY(const Data dx, check.zeros(2 * rows * cols, type));
  Doubles out(dy.host.size()), gradient(x.host.size());
  constexpr auto kType = ActivationType::swiglu;
  MESHPLAN_CHECK(
      cuda::activation_forward(check.stream(), kType, rows, cols, type, x.get(), y.get()));
  cpu::activation_forward(workers, kType, rows, cols, x.host.data(), out.data());
  MESHPLAN_CHECK(check.compare("swiglu forward", y, out));
  MESHPLAN_CHECK(cuda::activation_backward(check.stream(), kType, rows, cols, type, x.get(),
                                           dy.get(), dx.get()));
  cpu::activation_backward(workers, kType, rows, cols, x.host.data(), dy.host.data(),
                           gradient.data());
  return check.compare("swiglu backward", dx, gradient);
}

Status embeddings(KernelCheck& check, int64_t rows, int64_t cols, int64_t vocab, DType type) {
  std::vector<int32_t> ids(static_cast<size_t>(rows));
  for (int32_t& id : ids) id = check.below(static_cast<int32_t>(2 * vocab));  // half of others
  MESHPLAN_TRY(const cuda::DeviceMemory tokens, check.integers(ids));
  MESHPLAN_TRY(const Data table, check.random(vocab * cols, type));
  MESHPLAN_TRY(const Data dy, check.random(rows * cols, type));
  MESHPLAN_TRY(const Data y, check.zeros(rows * cols, type));
  MESHPLAN_TRY(const Data dtable, check.zeros(vocab * cols, DType::fp32));
  Doubles out(dy.host.size()), gradient(table.host.size(), 0.0);
  const int64_t first = vocab / 2;
  MESHPLAN_CHECK(cuda::embedding_forward(check.stream(), rows, cols, first, vocab,
                                         tokens.as<int32_t>(), type, table.get(), y.get()));
  cpu::embedding_forward(workers, rows, cols, first, vocab, ids.data(), table.host.data(),
                         out.data());
  MESHPLAN_CHECK(check.compare("embedding forward", y, out));
  MESHPLAN_CHECK(cuda::embedding_backward(check.stream(), rows, cols, first, vocab,
                                          tokens.as<int32_t>(), type, dy.get(), DType::fp32,
                                          dtable.get()));
  cpu::embedding_backward(workers, rows, cols, first, vocab, ids.data(), dy.host.data(),
                          gradient.data());
  return check.compare("embedding backward", dtable, gradient);
}

Status ropes(KernelCheck& check, int64_t tokens, DType type) {
  const cuda::RopeShape shape{.tokens = tokens, .heads = 8, .kv_heads = 2, .head_dim = 64};
  const int64_t d = shape.head_dim, width = (shape.heads + 2 * shape.kv_heads) * d;
  std::vector<int32_t> positions(static_cast<size_t>(tokens));
  for (int32_t& p : positions) p = check.below(static_cast<int32_t>(tokens));
  MESHPLAN_TRY(const cuda::DeviceMemory place, check.integers(positions));
  Doubles cosine(static_cast<size_t>(tokens * d / 2)), sine(cosine.size());
  cpu::rope_table(cpu::RopeConfig{.head_dim = d, .theta = 500000}, tokens, cosine.data(),
                  sine.data());
  MESHPLAN_TRY(const Data c, check.of(cosine, DType::fp32));
  MESHPLAN_TRY(const Data s, check.of(sine, DType::fp32));
  MESHPLAN_TRY(const Data qkv, check.random(tokens * width, type));
  MESHPLAN_TRY(const Data q, check.zeros(tokens * shape.heads * d, type));
  MESHPLAN_TRY(const Data k, check.zeros(tokens * shape.kv_heads * d, type));
  MESHPLAN_TRY(const Data v, check.zeros(tokens * shape.kv_heads * d, type));
  MESHPLAN_CHECK(cuda::rope_split(check.stream(), cpu::Turn::forward, shape, type,
                                  place.as<int32_t>(), c.fp32(), s.fp32(), qkv.get(), q.get(),
                                  k.get(), v.get()));
  Doubles expected_q(q.host.size()), expected_k(k.host.size());
  cpu::rope(workers, cpu::Turn::forward, tokens, shape.heads, d, positions.data(), cosine.data(),
            sine.data(), qkv.host.data(), width, expected_q.data(), shape.heads * d);
  cpu::rope(workers, cpu::Turn::forward, tokens, shape.kv_heads, d, positions.data(), cosine.data(),
            sine.data(), qkv.host.data() + shape.heads * d, width, expected_k.data(),
            shape.kv_heads * d);
  MESHPLAN_CHECK(check.compare("rope q", q, expected_q));
  MESHPLAN_CHECK(check.compare("rope k", k, expected_k));
  // turned back, the parts are what they were
  MESHPLAN_TRY(const Data again, check.zeros(tokens * width, type));
  MESHPLAN_CHECK(cuda::rope_split(check.stream(), cpu::Turn::backward, shape, type,
                                  place.as<int32_t>(), c.fp32(), s.fp32(), again.get(), q.get(),
                                  k.get(), v.get()));
  return check.compare("rope backward", again, qkv.host);
}

Status optimizer(KernelCheck& check, int64_t count, DType type) {
  MESHPLAN_TRY(const Data gradient, check.random(count, type));
  MESHPLAN_TRY(const Data master, check.random(count, DType::fp32));
  MESHPLAN_TRY(const Data first, check.random(count, DType::fp32));
  MESHPLAN_TRY(const Data second, check.random(count, DType::fp32, 1.5));
  MESHPLAN_TRY(const Data weight, check.zeros(count, type));
  std::vector<float> g(gradient.host.begin(), gradient.host.end()),
      w(master.host.begin(), master.host.end()), m(first.host.begin(), first.host.end()),
      v(second.host.begin(), second.host.end());
  const cpu::AdamW adamw;
  MESHPLAN_CHECK(cuda::adamw_step(check.stream(), adamw, 3, 0.5, count, type, gradient.get(),
                                  master.fp32(), first.fp32(), second.fp32(), type, weight.get()));
  cpu::adamw_step(workers, adamw, 3, 0.5, count, g.data(), w.data(), m.data(), v.data());
  MESHPLAN_CHECK(check.compare("adamw master", master, {w.begin(), w.end()}));
  MESHPLAN_CHECK(check.compare("adamw first moment", first, {m.begin(), m.end()}));
  MESHPLAN_CHECK(check.compare("adamw second moment", second, {v.begin(), v.end()}));
  return check.compare("adamw weight", weight, {w.begin(), w.end()});
}

Status rank_sums(KernelCheck& check, int64_t count, DType type) {
  std::vector<Data> parts;
  std::vector<const void*> sources;
  Doubles expected(static_cast<size_t>(count), 0.0);
  for (int r = 0; r < 4; ++r) {
    MESHPLAN_TRY(Data part, check.random(count, type));
    for (size_t i = 0; i < expected.size(); ++i) expected[i] += part.host[i];
    parts.push_back(std::move(part));
    sources.push_back(parts.back().get());
  }
  MESHPLAN_TRY(const Data sum, check.zeros(count, type));
  const Element element = type == DType::bf16 ? Element::bf16 : Element::fp32;
  MESHPLAN_CHECK(
      cuda::reduce_in_order(check.stream(), element, ReduceOp::sum, sources, count, sum.get()));
  return check.compare("reduce_in_order", sum, expected);
}

}  // namespace

Status check_streams(KernelCheck& check, Scale scale) {
  for (const DType type : {DType::fp32, DType::bf16}) {
    // odd sizes: the last elements are no whole pack of 16 bytes
    for (const int64_t odd : {int64_t{0}, int64_t{3}}) {
      const int64_t rows = scale.tiny ? 5 : 515, cols = (scale.tiny ? 32 : 2048) + odd;
      MESHPLAN_CHECK(elementwise(check, rows * cols, type));
      MESHPLAN_CHECK(norms(check, rows, cols, type));
      MESHPLAN_CHECK(layer_norms(check, rows, cols, type));
      MESHPLAN_CHECK(experts(check, 8 * rows, cols, type));
      MESHPLAN_CHECK(activations(check, rows, cols, type));
      MESHPLAN_CHECK(embeddings(check, rows, cols, scale.tiny ? 16 : 1000, type));
      MESHPLAN_CHECK(optimizer(check, rows * cols, type));
      MESHPLAN_CHECK(rank_sums(check, rows * cols, type));
    }
    MESHPLAN_CHECK(ropes(check, scale.tiny ? 7 : 517, type));
  }
  return Done{};
}

}  // namespace meshplan::test
