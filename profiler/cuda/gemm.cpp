// SPDX-License-Identifier: Apache-2.0
#include "profiler/cuda/gemm.hpp"

#include <cublasLt.h>
#include <fmt/format.h>

#include "profiler/cuda/library.hpp"

namespace meshplan::cuda {

// clang-format off
#define MESHPLAN_CUBLASLT(use)                                                            \
  use(cublasLtCreate) use(cublasLtDestroy) use(cublasLtMatmul)                            \
  use(cublasLtMatmulAlgoGetHeuristic) use(cublasLtMatmulDescCreate)                       \
  use(cublasLtMatmulDescDestroy) use(cublasLtMatmulDescSetAttribute)                      \
  use(cublasLtMatrixLayoutCreate) use(cublasLtMatrixLayoutDestroy)                        \
  use(cublasLtMatrixLayoutSetAttribute)                                                   \
  use(cublasLtMatmulPreferenceCreate) use(cublasLtMatmulPreferenceDestroy)                \
  use(cublasLtMatmulPreferenceSetAttribute) use(cublasLtGetStatusString)
// clang-format on

struct Products::Api {
#define MESHPLAN_MEMBER(name) decltype(&::name) name = nullptr;
  MESHPLAN_CUBLASLT(MESHPLAN_MEMBER)
#undef MESHPLAN_MEMBER
  cublasLtHandle_t handle = nullptr;

  ~Api() {
    if (handle != nullptr) cublasLtDestroy(handle);
  }
  Status load() {
    MESHPLAN_TRY(const Library library, Library::open({"libcublasLt.so.13", "libcublasLt.so.12"}));
#define MESHPLAN_LOAD(name) MESHPLAN_CHECK(library.get(#name, &name));
    MESHPLAN_CUBLASLT(MESHPLAN_LOAD)
#undef MESHPLAN_LOAD
    return status(cublasLtCreate(&handle), "cublasLtCreate");
  }
  Status status(cublasStatus_t value, const char* call) const {
    if (value == CUBLAS_STATUS_SUCCESS) return Done{};
    return Diagnostic{.message = cublasLtGetStatusString(value), .where = call};
  }
};

/// Descriptors of a shape and its kernels, the chosen one first once `timed`.
struct Products::Plan {
  explicit Plan(const Api* owner) : api(owner) {}
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;
  ~Plan() {
    if (operation != nullptr) api->cublasLtMatmulDescDestroy(operation);
    for (cublasLtMatrixLayout_t layout : {a, b, c}) {
      if (layout != nullptr) api->cublasLtMatrixLayoutDestroy(layout);
    }
  }
  const Api* api;
  Product product;
  cublasLtMatmulDesc_t operation = nullptr;
  // as the library sees them: column-major, so our b is its a
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, c = nullptr;
  std::vector<cublasLtMatmulHeuristicResult_t> kernels;
  size_t chosen = 0;
  bool timed = false;
};

namespace {

Result<cudaDataType_t> cuda_type(DType type) {
  if (type == DType::bf16) return CUDA_R_16BF;
  if (type == DType::fp8) return CUDA_R_8F_E4M3;
  if (type == DType::fp32) return CUDA_R_32F;
  return refused_type("matrix product", type);
}

}  // namespace

Products::Products() : api_(std::make_unique<Api>()) {}
Products::~Products() { plans_.clear(); }

Result<std::unique_ptr<Products>> Products::make(int64_t workspace_bytes) {
  std::unique_ptr<Products> products(new Products);
  MESHPLAN_CHECK(products->api_->load());
  MESHPLAN_TRY(products->workspace_, DeviceMemory::make(workspace_bytes));
  return products;
}

Result<Products::Plan*> Products::plan_of(cudaStream_t stream, const Product& product,
                                          const void* a, const void* b, void* c, const void* bias,
                                          ProductScales scales) {
  std::unique_ptr<Plan>& slot = plans_[product.key()];
  if (slot != nullptr && !slot->kernels.empty()) return slot.get();
  if (product.m < 1 || product.n < 1 || product.k < 1) {
    return refused("matrix product", "an empty dimension");
  }
  const bool fp8 = product.in == DType::fp8;
  if (product.count != 1 && (product.count < 1 || fp8 || product.bias || product.accumulate)) {
    return refused("matrix product", "several at once in 8 bits, with a bias or added to c");
  }
  if (fp8 && product.layout != Layout::tn) {
    return refused("matrix product", "8-bit operands that do not lie along the inner dimension");
  }
  slot = std::make_unique<Plan>(api_.get());
  Plan& plan = *slot;
  plan.product = product;
  MESHPLAN_TRY(const cudaDataType_t in, cuda_type(product.in));
  MESHPLAN_TRY(const cudaDataType_t out, cuda_type(product.out));
  MESHPLAN_CHECK(api_->status(
      api_->cublasLtMatmulDescCreate(&plan.operation, CUBLAS_COMPUTE_32F, CUDA_R_32F), "desc"));
  const auto set = [&](cublasLtMatmulDescAttributes_t attribute, const auto& value) {
    return api_->status(
        api_->cublasLtMatmulDescSetAttribute(plan.operation, attribute, &value, sizeof(value)),
        "cublasLtMatmulDescSetAttribute");
  };
  // c^T [n,m] = op(b) [n,k] op(a) [k,m], all column-major
  const cublasOperation_t op_b = product.layout == Layout::tn ? CUBLAS_OP_T : CUBLAS_OP_N;
  const cublasOperation_t op_a = product.layout == Layout::nt ? CUBLAS_OP_T : CUBLAS_OP_N;
  MESHPLAN_CHECK(set(CUBLASLT_MATMUL_DESC_TRANSA, op_b));
  MESHPLAN_CHECK(set(CUBLASLT_MATMUL_DESC_TRANSB, op_a));
  if (fp8) {  // our b is the library's a
    MESHPLAN_CHECK(set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, scales.b));
    MESHPLAN_CHECK(set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, scales.a));
    // sums of gradients are kept in full
    const int8_t fast = product.a_e5m2 || product.accumulate ? 0 : 1;
    MESHPLAN_CHECK(set(CUBLASLT_MATMUL_DESC_FAST_ACCUM, fast));
  }
  if (product.bias) {
    MESHPLAN_CHECK(set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS));
    MESHPLAN_CHECK(set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, out));
    MESHPLAN_CHECK(set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias));
  }
  const auto matrix = [&](cublasLtMatrixLayout_t* layout, cudaDataType_t type, int64_t rows,
                          int64_t cols, int64_t stride) -> Status {
    MESHPLAN_CHECK(
        api_->status(api_->cublasLtMatrixLayoutCreate(layout, type, static_cast<uint64_t>(rows),
                                                      static_cast<uint64_t>(cols), rows),
                     "cublasLtMatrixLayoutCreate"));
    if (product.count == 1) return Done{};
    const auto count = static_cast<int32_t>(product.count);
    const auto put = [&](cublasLtMatrixLayoutAttribute_t attribute, const auto& value) {
      return api_->status(
          api_->cublasLtMatrixLayoutSetAttribute(*layout, attribute, &value, sizeof(value)),
          "cublasLtMatrixLayoutSetAttribute");
    };
    MESHPLAN_CHECK(put(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, count));
    return put(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, stride);
  };
  const auto [m, n, k] = std::tuple(product.m, product.n, product.k);
  const auto [sa, sb, sc] = std::tuple(product.a_stride, product.b_stride, product.c_stride);
  MESHPLAN_CHECK(op_b == CUBLAS_OP_T ? matrix(&plan.a, in, k, n, sb)
                                     : matrix(&plan.a, in, n, k, sb));
  const cudaDataType_t in_a = product.a_e5m2 ? CUDA_R_8F_E5M2 : in;
  MESHPLAN_CHECK(op_a == CUBLAS_OP_T ? matrix(&plan.b, in_a, m, k, sa)
                                     : matrix(&plan.b, in_a, k, m, sa));
  MESHPLAN_CHECK(matrix(&plan.c, out, n, m, sc));

  cublasLtMatmulPreference_t preference = nullptr;
  MESHPLAN_CHECK(api_->status(api_->cublasLtMatmulPreferenceCreate(&preference), "preference"));
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
    return api_->status(
        api_->cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof(value)),
        "cublasLtMatmulPreferenceSetAttribute");
  };
  Status preferred =
      prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<uint64_t>(workspace_.bytes()));
  // a parameter lies anywhere in the flat of its block; the library would assume 256 bytes
  for (const auto attribute :
       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
    if (preferred.ok()) preferred = prefer(attribute, uint32_t{16});
  }
  plan.kernels.resize(static_cast<size_t>(std::max(candidates, 1)));
  int found = 0;
  const Status asked =
      api_->status(api_->cublasLtMatmulAlgoGetHeuristic(
                       api_->handle, plan.operation, plan.a, plan.b, plan.c, plan.c, preference,
                       static_cast<int>(plan.kernels.size()), plan.kernels.data(), &found),
                   "cublasLtMatmulAlgoGetHeuristic");
  api_->cublasLtMatmulPreferenceDestroy(preference);
  plan.kernels.resize(static_cast<size_t>(found));
  MESHPLAN_CHECK(preferred);
  MESHPLAN_CHECK(asked);
  std::erase_if(plan.kernels, [](const auto& one) { return one.state != CUBLAS_STATUS_SUCCESS; });
  if (plan.kernels.empty()) {
    return refused("matrix product",
                   fmt::format("no kernel for {} x {} x {}", product.m, product.n, product.k));
  }
  MESHPLAN_CHECK(choose(stream, plan, a, b, c));
  return slot.get();
}

Status Products::choose(cudaStream_t stream, Plan& plan, const void* a, const void* b, void* c) {
  if (plan.timed || plan.kernels.size() == 1) return Done{};
  cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  MESHPLAN_CUDA(cudaStreamIsCapturing(stream, &capture));
  if (capture != cudaStreamCaptureStatusNone) return Done{};
  // an accumulating product would change c: time into scratch of its own
  const int64_t bytes = plan.product.m * plan.product.n * bytes_of(plan.product.out);
  Result<DeviceMemory> scratch = DeviceMemory::make(plan.product.accumulate ? bytes : 16);
  if (!scratch.ok()) return Done{};  // no room: the first choice
  void* target = plan.product.accumulate ? scratch->get() : c;
  MESHPLAN_TRY(const Event begin, make_event(true));
  MESHPLAN_TRY(const Event end, make_event(true));
  double best = 1e30;
  for (size_t i = 0; i < plan.kernels.size(); ++i) {
    Status started = start(stream, plan, i, a, b, target, target);  // loads the kernel
    if (!started.ok()) continue;
    constexpr int kRepeats = 3;
    MESHPLAN_CUDA(cudaEventRecord(begin.get(), stream));
    for (int r = 0; r < kRepeats && started.ok(); ++r) {
      started = start(stream, plan, i, a, b, target, target);
    }
    MESHPLAN_CUDA(cudaEventRecord(end.get(), stream));
    MESHPLAN_TRY(const double seconds, seconds_between(begin, end));
    if (!started.ok() || seconds >= best) continue;
    best = seconds;
    plan.chosen = i;
  }
  plan.timed = true;
  return Done{};
}

Status Products::start(cudaStream_t stream, const Plan& plan, size_t candidate, const void* a,
                       const void* b, const void* c_in, void* c) {
  const float one = 1, beta = plan.product.accumulate ? 1.0F : 0.0F;
  return api_->status(
      api_->cublasLtMatmul(api_->handle, plan.operation, &one, b, plan.a, a, plan.b, &beta, c_in,
                           plan.c, c, plan.c, &plan.kernels[candidate].algo, workspace_.get(),
                           static_cast<size_t>(workspace_.bytes()), stream),
      "cublasLtMatmul");
}

Status Products::run(cudaStream_t stream, const Product& product, const void* a, const void* b,
                     void* c, const void* bias, ProductScales scales) {
  if (product.bias != (bias != nullptr)) return refused("matrix product", "a bias half given");
  if ((product.in == DType::fp8) != (scales.a != nullptr && scales.b != nullptr)) {
    return refused("matrix product", "scales that do not go with its operands");
  }
  MESHPLAN_TRY(Plan* const plan, plan_of(stream, product, a, b, c, bias, scales));
  const auto point = [&](cublasLtMatmulDescAttributes_t attribute, const auto* to) {
    return api_->status(
        api_->cublasLtMatmulDescSetAttribute(plan->operation, attribute, &to, sizeof(to)),
        "cublasLtMatmulDescSetAttribute");
  };
  if (scales.a != nullptr) {
    MESHPLAN_CHECK(point(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, scales.b));
    MESHPLAN_CHECK(point(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, scales.a));
  }
  if (product.bias) MESHPLAN_CHECK(point(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias));
  Status started = start(stream, *plan, plan->chosen, a, b, c, c);
  if (started.ok()) return started;
  Diagnostic error = started.error();
  error.where =
      fmt::format("{} of {} x {} x {}, {} to {}{}", error.where, product.m, product.n, product.k,
                  name_of(product.in), name_of(product.out), product.accumulate ? ", added" : "");
  return error;
}

}  // namespace meshplan::cuda
