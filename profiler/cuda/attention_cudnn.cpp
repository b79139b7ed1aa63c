// SPDX-License-Identifier: Apache-2.0
// The only file that includes cudnn-frontend, whose headers take most of a minute to compile.
#define NV_CUDNN_FRONTEND_USE_DYNAMIC_LOADING
#include <cudnn_frontend.h>

#include <cmath>
#include <map>

#include "profiler/cuda/attention.hpp"
#include "profiler/cuda/library.hpp"
#include "profiler/cuda/memory.hpp"

namespace cudnn_frontend {
void* cudnn_dlhandle = nullptr;  // declared by the frontend for its caller to set
}

namespace meshplan::cuda {
namespace {

namespace fe = cudnn_frontend;
namespace graph = cudnn_frontend::graph;

enum Uid : int64_t { kQ = 1, kK, kV, kO, kStats, kGradO, kGradQ, kGradK, kGradV };

Status status_of(fe::error_t error, const char* call) {
  if (error.is_good()) return Done{};
  return Diagnostic{.message = error.get_message(), .where = call, .rule = "cudnn.graph"};
}
#define MESHPLAN_FRONTEND(call) MESHPLAN_CHECK(status_of((call), #call))

Status load_cudnn() {
  if (fe::cudnn_dlhandle != nullptr) return Done{};
  MESHPLAN_TRY(const Library library, Library::open({"libcudnn.so.9"}));
  fe::cudnn_dlhandle = library.handle();
  return Done{};
}

/// [batch, heads, rows, dim] over memory [batch, rows, heads, dim].
graph::Tensor_attributes token_major(const char* name, int64_t uid, int64_t batch, int64_t heads,
                                     int64_t rows, int64_t dim) {
  return graph::Tensor_attributes()
      .set_name(name)
      .set_uid(uid)
      .set_dim({batch, heads, rows, dim})
      .set_stride({rows * heads * dim, dim, heads * dim, 1})
      .set_data_type(fe::DataType_t::BFLOAT16);
}

using GraphPointer = std::shared_ptr<graph::Graph>;

/// The graph of a question, not validated. compute_capability: of a GPU that is only described,
/// else 0; the graph's nodes copy it when they are made.
Result<GraphPointer> graph_of(const GraphQuestion& question, int compute_capability) {
  const cpu::AttentionShape& s = question.shape;
  const double scale = s.scale != 0 ? s.scale : 1 / std::sqrt(static_cast<double>(s.head_dim));
  auto made = std::make_shared<graph::Graph>();
  if (compute_capability > 0) made->set_sm_version(compute_capability);
  made->set_io_data_type(fe::DataType_t::BFLOAT16)
      .set_intermediate_data_type(fe::DataType_t::FLOAT)
      .set_compute_data_type(fe::DataType_t::FLOAT);
  const auto like_q = [&](const char* name, int64_t uid) {
    return token_major(name, uid, s.batch, s.heads, s.q_len, s.head_dim);
  };
  const auto like_k = [&](const char* name, int64_t uid) {
    return token_major(name, uid, s.batch, s.kv_heads, s.kv_len, s.head_dim);
  };
  const auto stats = graph::Tensor_attributes()
                         .set_name("stats")
                         .set_uid(kStats)
                         .set_dim({s.batch, s.heads, s.q_len, 1})
                         .set_stride({s.heads * s.q_len, s.q_len, 1, 1})
                         .set_data_type(fe::DataType_t::FLOAT);
  const auto q = made->tensor(like_q("q", kQ));
  const auto k = made->tensor(like_k("k", kK));
  const auto v = made->tensor(like_k("v", kV));
  const auto alignment = s.q_len < s.kv_len ? fe::DiagonalAlignment_t::BOTTOM_RIGHT
                                            : fe::DiagonalAlignment_t::TOP_LEFT;
  const auto finish = [](const std::shared_ptr<graph::Tensor_attributes>& tensor,
                         const graph::Tensor_attributes& as) {
    tensor->set_output(true)
        .set_uid(as.get_uid())
        .set_dim(as.get_dim())
        .set_stride(as.get_stride());
    tensor->set_data_type(as.get_data_type());
  };
  if (!question.backward) {
    auto options = graph::SDPA_attributes()
                       .set_name("attention")
                       .set_generate_stats(true)
                       .set_attn_scale(static_cast<float>(scale))
                       .set_diagonal_alignment(alignment)
                       .set_diagonal_band_right_bound(0);
    const auto [o, lse] = made->sdpa(q, k, v, options);
    finish(o, like_q("o", kO));
    finish(lse, stats);
  } else {
    auto options = graph::SDPA_backward_attributes()
                       .set_name("attention backward")
                       .set_attn_scale(static_cast<float>(scale))
                       .set_diagonal_alignment(alignment)
                       .set_diagonal_band_right_bound(0)
                       .set_deterministic_algorithm(question.deterministic);
    const auto o = made->tensor(like_q("o", kO));
    const auto d_o = made->tensor(like_q("do", kGradO));
    const auto lse = made->tensor(stats);
    const auto [dq, dk, dv] = made->sdpa_backward(q, k, v, o, d_o, lse, options);
    finish(dq, like_q("dq", kGradQ));
    finish(dk, like_k("dk", kGradK));
    finish(dv, like_k("dv", kGradV));
  }
  return made;
}

/// The frontend reports some faults by exceptions; nothing of ours lets one through.
template <class F>
auto guarded(const F& f) -> decltype(f()) {
  try {
    return f();
  } catch (const std::exception& exception) {
    return Diagnostic{
        .message = exception.what(), .where = "cudnn-frontend", .rule = "cudnn.graph"};
  }
}

class FrontendAttention : public CudnnAttention {
 public:
  FrontendAttention() = default;
  FrontendAttention(const FrontendAttention&) = delete;
  FrontendAttention& operator=(const FrontendAttention&) = delete;
  ~FrontendAttention() override {
    graphs_.clear();
    if (handle_ != nullptr) static_cast<void>(fe::detail::destroy_handle(handle_));
  }
  Status start() {
    MESHPLAN_CHECK(load_cudnn());
    return guarded([&]() -> Status {
      if (fe::detail::create_handle(&handle_) == CUDNN_STATUS_SUCCESS) return Done{};
      return Diagnostic{.kind = ErrorKind::missing, .message = "cuDNN finds no GPU"};
    });
  }

  Status forward(cudaStream_t stream, const cpu::AttentionShape& shape, const void* q,
                 const void* k, const void* v, void* o, float* lse) override {
    return run(stream, {shape, false, false},
               {{kQ, bare(q)}, {kK, bare(k)}, {kV, bare(v)}, {kO, o}, {kStats, lse}});
  }
  Status backward(cudaStream_t stream, const cpu::AttentionShape& shape, bool deterministic,
                  const void* q, const void* k, const void* v, const void* o, const float* lse,
                  const void* d_o, void* dq, void* dk, void* dv) override {
    return run(stream, {shape, true, deterministic},
               {{kQ, bare(q)},
                {kK, bare(k)},
                {kV, bare(v)},
                {kO, bare(o)},
                {kStats, bare(lse)},
                {kGradO, bare(d_o)},
                {kGradQ, dq},
                {kGradK, dk},
                {kGradV, dv}});
  }
  int64_t workspace_bytes() const override { return workspace_.bytes(); }

 private:
  using Key = std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, double, bool, bool>;
  using Pointers = std::unordered_map<int64_t, void*>;
  static void* bare(const void* pointer) { return const_cast<void*>(pointer); }

  Status run(cudaStream_t stream, const GraphQuestion& question, Pointers pointers) {
    if (!cudnn_takes(question.shape, DType::bf16)) {
      return refused("cuDNN attention", "a shape beyond profiler/cuda/attention.hpp");
    }
    return guarded([&]() -> Status {
      MESHPLAN_TRY(const GraphPointer graph, ready(question));
      if (fe::detail::set_stream(handle_, stream) != CUDNN_STATUS_SUCCESS) {
        return Diagnostic{.message = "cuDNN does not take the stream"};
      }
      int64_t bytes = 0;
      MESHPLAN_FRONTEND(graph->get_workspace_size(bytes));
      if (bytes > workspace_.bytes()) {
        // the old one may still be in use by what is on the stream
        MESHPLAN_CUDA(cudaStreamSynchronize(stream));
        MESHPLAN_TRY(workspace_, DeviceMemory::make(bytes));
      }
      return status_of(graph->execute(handle_, pointers, workspace_.get()), "execute");
    });
  }

  Result<GraphPointer> ready(const GraphQuestion& question) {
    const cpu::AttentionShape& s = question.shape;
    const Key key{s.batch, s.q_len,           s.kv_len,
                  s.heads, s.kv_heads,        s.head_dim,
                  s.scale, question.backward, question.deterministic};
    const auto found = graphs_.find(key);
    if (found != graphs_.end()) return found->second;
    MESHPLAN_TRY(GraphPointer graph, graph_of(question, 0));
    MESHPLAN_FRONTEND(graph->build(handle_, {fe::HeurMode_t::A}));
    graphs_[key] = graph;
    return graph;
  }

  cudnnHandle_t handle_ = nullptr;
  DeviceMemory workspace_;
  std::map<Key, GraphPointer> graphs_;
};

}  // namespace

Result<std::unique_ptr<CudnnAttention>> CudnnAttention::make() {
  auto attention = std::make_unique<FrontendAttention>();
  MESHPLAN_CHECK(attention->start());
  return std::unique_ptr<CudnnAttention>(std::move(attention));
}

Result<int64_t> attention_engines(const GraphQuestion& question, const DescribedGpu& gpu) {
  MESHPLAN_CHECK(load_cudnn());
  return guarded([&]() -> Result<int64_t> {
    auto device = std::make_shared<fe::DeviceProperties>();
    const std::vector<uint8_t> text(gpu.json.begin(), gpu.json.end());
    MESHPLAN_FRONTEND(device->deserialize(text));
    MESHPLAN_TRY(const GraphPointer graph, graph_of(question, gpu.compute_capability));
    graph->set_device_properties(device);
    MESHPLAN_FRONTEND(graph->validate());
    MESHPLAN_FRONTEND(graph->build_operation_graph());
    MESHPLAN_FRONTEND(graph->create_execution_plans({fe::HeurMode_t::A}));
    return graph->get_execution_plan_count();
  });
}

}  // namespace meshplan::cuda
