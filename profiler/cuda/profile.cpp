// SPDX-License-Identifier: Apache-2.0
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <random>

#include "profiler/comm/gpu_world.hpp"
#include "profiler/comm/thread_world.hpp"
#include "profiler/cuda/activation.hpp"
#include "profiler/cuda/attention.hpp"
#include "profiler/cuda/attention_simple.hpp"
#include "profiler/cuda/cross_entropy.hpp"
#include "profiler/cuda/elementwise.hpp"
#include "profiler/cuda/embedding.hpp"
#include "profiler/cuda/gemm.hpp"
#include "profiler/cuda/gpu.hpp"
#include "profiler/cuda/norm.hpp"
#include "profiler/cuda/nvml.hpp"
#include "profiler/cuda/optimizer.hpp"
#include "profiler/cuda/profile_comm.hpp"
#include "profiler/cuda/rope.hpp"
#include "profiler/measure/cuda.hpp"
#include "profiler/measure/measured_grid.hpp"
#include "profiler/storage/storage_bench.hpp"

namespace meshplan {
namespace {

using namespace cuda;
using Clock = std::chrono::steady_clock;
using Work = std::function<Status()>;

class Profiler {
 public:
  Profiler(const CudaProfileOptions& options, int device, World* launched)
      : options_(options), device_(device), launched_(launched) {}

  Result<CpuProfile> run() {
    MESHPLAN_TRY(const std::vector<GpuFacts> all, gpus());
    MESHPLAN_CUDA(cudaSetDevice(device_));
    MESHPLAN_TRY(stream_, make_stream());
    MESHPLAN_TRY(begin_, make_event(true));
    MESHPLAN_TRY(end_, make_event(true));
    MESHPLAN_TRY(products_, Products::make());
    MESHPLAN_CHECK(allocate(all[0]));
    tables_.ranks = 1;
    MESHPLAN_CHECK(products());
    const Result<BoardState> loaded = board();
    MESHPLAN_CHECK(attention());
    MESHPLAN_CHECK(streams());
    MESHPLAN_CHECK(transfers());
    MESHPLAN_CHECK(storage());
    CpuProfile profile;
    profile.device = "cuda";
    profile.processor = all[0].name;
    profile.cores = all[0].sms;
    profile.source = fmt::format(
        "meshplan profile --device cuda, {:%Y-%m-%d}",
        fmt::gmtime(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now())));
    profile.facts["cuda_driver"] = std::to_string(all[0].driver);
    profile.facts["cuda_runtime"] = std::to_string(all[0].runtime);
    for (const auto& [library, version] : library_versions()) profile.facts[library] = version;
    profile.facts["gpus"] = std::to_string(all.size());
    profile.facts["memory_bytes"] = std::to_string(all[0].memory_bytes);
    if (loaded.ok()) {
      profile.facts["loaded_sm_clock_mhz"] = fmt::format("{:.0f}", loaded->sm_clock_mhz);
      profile.facts["loaded_memory_clock_mhz"] = fmt::format("{:.0f}", loaded->memory_clock_mhz);
      profile.facts["loaded_power_w"] = fmt::format("{:.0f}", loaded->power_w);
      profile.facts["driver"] = driver_;
    }
    profile.tables.push_back(tables_);
    profile.facts["points"] = std::to_string(points_);
    profile.facts["interpolation_error"] = fmt::format("{:.3f}", error_);
    if (launched_ == nullptr) MESHPLAN_CHECK(communication(static_cast<int>(all.size()), profile));
    profile.facts["stopped_by_budget"] = late() ? "yes" : "no";
    return profile;
  }

 private:
  bool late() const {
    return std::chrono::duration<double>(Clock::now() - start_).count() > options_.budget_s;
  }
  void tell(const std::string& what) const {
    if (options_.progress) options_.progress(what);
  }
  template <class T = void>
  T* at(int64_t offset_bytes) const {
    return reinterpret_cast<T*>(memory_.as<char>() + offset_bytes);
  }

  /// Random bf16 in [-1, 1): products of zeros draw less power and run faster than a step does.
  /// Results lie behind it, from results_ on: as operands of the next product they would grow until
  /// they are infinite, and a product of those draws no power either.
  Status allocate(const GpuFacts& facts) {
    bytes_ = std::min<int64_t>(facts.memory_bytes / 2, int64_t{14} << 30);
    results_ = bytes_ / 14 * 5 / 256 * 256;
    MESHPLAN_TRY(memory_, DeviceMemory::make(bytes_));
    std::vector<uint16_t> noise(1 << 22);
    std::mt19937 random(1);
    for (uint16_t& x : noise) {
      // sign, exponents 2^-8 .. 2^-1, mantissa
      const uint32_t bits = random();
      x = static_cast<uint16_t>((bits & 0x8000U) | ((119U + (bits >> 16) % 8U) << 7) |
                                (bits & 0x7fU));
    }
    const auto piece = static_cast<int64_t>(noise.size() * sizeof(uint16_t));
    for (int64_t done = 0; done < bytes_; done += piece) {
      MESHPLAN_CUDA(cudaMemcpy(at(done), noise.data(),
                               static_cast<size_t>(std::min(piece, bytes_ - done)),
                               cudaMemcpyHostToDevice));
    }
    return Done{};
  }

  Result<BoardState> board() {
    MESHPLAN_TRY(const Nvml nvml, Nvml::open(device_));
    driver_ = nvml.driver();
    // sustained: the largest product for a second, read while it runs
    const Product large{.m = 8192, .n = 8192, .k = 8192};
    const auto until = Clock::now() + std::chrono::seconds(options_.quick ? 1 : 3);
    while (Clock::now() < until) {
      for (int i = 0; i < 50; ++i) {
        MESHPLAN_CHECK(products_->run(stream_.get(), large, at(0), at(1 << 28), at(results_)));
      }
      MESHPLAN_CUDA(cudaStreamSynchronize(stream_.get()));
    }
    for (int i = 0; i < 50; ++i) {
      MESHPLAN_CHECK(products_->run(stream_.get(), large, at(0), at(1 << 28), at(results_)));
    }
    Result<BoardState> state = nvml.read();
    MESHPLAN_CUDA(cudaStreamSynchronize(stream_.get()));
    return state;
  }

  /// Seconds of one call among back-to-back calls.
  Result<double> time(const Work& work) {
    MESHPLAN_CHECK(work());  // first use: loads kernels, chooses algorithms
    int64_t repeats = 1;
    while (true) {
      MESHPLAN_CUDA(cudaEventRecord(begin_.get(), stream_.get()));
      for (int64_t i = 0; i < repeats; ++i) MESHPLAN_CHECK(work());
      MESHPLAN_CUDA(cudaEventRecord(end_.get(), stream_.get()));
      MESHPLAN_TRY(const double seconds, seconds_between(begin_, end_));
      if (seconds >= options_.seconds_per_point || repeats >= 4096) {
        return seconds / static_cast<double>(repeats);
      }
      const double wanted = 1.2 * options_.seconds_per_point / std::max(seconds, 1e-6);
      repeats = std::min<int64_t>(
          4096, static_cast<int64_t>(std::ceil(static_cast<double>(repeats) * wanted)) + 1);
    }
  }

  Status products() {
    std::vector<double> m{512, 2048, 8192}, n{1024, 4096, 16384}, k{1024, 4096, 16384};
    if (!options_.quick) {
      m = {128, 512, 1024, 2048, 4096, 8192, 16384};
      n = {512, 1024, 2048, 4096, 8192, 14336, 28672, 131072};
      k = {512, 1024, 2048, 4096, 8192, 16384};
    }
    for (const Layout layout : {Layout::tn, Layout::nn, Layout::nt}) {
      const char* name = layout == Layout::tn   ? "product-tn"
                         : layout == Layout::nn ? "product-nn"
                                                : "product-nt";
      MESHPLAN_CHECK(grid(name, {m, n, k}, [&](const std::vector<double>& s) -> Result<double> {
        const bool weights = layout == Layout::nt;
        const Product product{.m = static_cast<int64_t>(s[0]),
                              .n = static_cast<int64_t>(s[1]),
                              .k = static_cast<int64_t>(s[2]),
                              .layout = layout,
                              .out = weights ? DType::fp32 : DType::bf16,
                              .accumulate = weights};
        const int64_t a = 2 * product.m * product.k, b = 2 * product.n * product.k;
        const int64_t c = bytes_of(product.out) * product.m * product.n;
        if (a + b > results_ || results_ + c > bytes_) return 0.0;
        MESHPLAN_TRY(const double seconds, time([&] {
                       return products_->run(stream_.get(), product, at(0), at(a), at(results_));
                     }));
        return seconds / (2 * s[0] * s[1] * s[2]);
      }));
    }
    return Done{};
  }

  Status attention() {
    std::vector<double> lengths{1024, 2048, 4096, 8192}, dims{64, 128};
    if (!options_.quick) lengths = {512, 1024, 2048, 4096, 8192, 16384, 32768};
    Result<std::unique_ptr<CudnnAttention>> cudnn = CudnnAttention::make();
    if (!cudnn.ok()) {
      tell("attention: left out, " + cudnn.error().message);
      return Done{};
    }
    std::vector<double> forward, backward;
    bool stopped = false;
    for (const double length : lengths) {
      for (const double dim : dims) {
        const auto s = static_cast<int64_t>(length), d = static_cast<int64_t>(dim);
        const cpu::AttentionShape shape{.batch = 1,
                                        .q_len = s,
                                        .kv_len = s,
                                        .heads = 32,
                                        .kv_heads = 8,
                                        .head_dim = d,
                                        .head_dim_v = d};
        tell(fmt::format("attention {} x {}", s, d));
        forward.push_back(0);
        backward.push_back(0);
        const int64_t q = 2 * s * 32 * d, kv = 2 * s * 8 * d, lse = 4 * s * 32;
        const int64_t k_at = q, v_at = q + kv, do_at = q + 2 * kv;
        const int64_t o_at = results_, dq_at = o_at + q, dk_at = dq_at + q, dv_at = dk_at + kv,
                      lse_at = dv_at + kv;
        stopped = stopped || late();
        if (stopped || do_at + q > results_ || lse_at + lse > bytes_) continue;
        const double flops = 2 * length * length * dim * 0.5 * 32;
        MESHPLAN_TRY(const double ahead, time([&] {
                       return (*cudnn)->forward(stream_.get(), shape, at(0), at(k_at), at(v_at),
                                                at(o_at), at<float>(lse_at));
                     }));
        MESHPLAN_TRY(const double back, time([&] {
                       return (*cudnn)->backward(stream_.get(), shape, false, at(0), at(k_at),
                                                 at(v_at), at(o_at), at<float>(lse_at), at(do_at),
                                                 at(dq_at), at(dk_at), at(dv_at));
                     }));
        forward.back() = ahead / (2 * flops);
        backward.back() = back / (5 * flops);
      }
    }
    if (stopped) {
      tell("attention: left out, no time is left");
      return Done{};
    }
    MESHPLAN_TRY(tables_.kernels["attention-forward"],
                 GridTable::make({lengths, dims}, std::move(forward)));
    MESHPLAN_TRY(tables_.kernels["attention-backward"],
                 GridTable::make({lengths, dims}, std::move(backward)));
    return Done{};
  }

  /// Times at powers of two from `smallest` to `largest`, as many as the tolerance asks for.
  Status grid(const std::string& name, double smallest, double largest,
              const std::function<Status(int64_t)>& work) {
    std::vector<double> sizes{smallest};
    const double step = options_.quick ? 16 : 2;
    while (sizes.back() * step < largest) sizes.push_back(sizes.back() * step);
    sizes.push_back(largest);
    return grid(name, {sizes}, [&](const std::vector<double>& s) -> Result<double> {
      MESHPLAN_TRY(const double found, time([&] { return work(static_cast<int64_t>(s[0])); }));
      return found / s[0];
    });
  }

  /// measure: seconds per unit of work.
  Status grid(const std::string& name, const std::vector<std::vector<double>>& sizes,
              const std::function<Result<double>(const std::vector<double>&)>& measure) {
    tell(name);
    const GridQuestion question{sizes, options_.tolerance, [this] { return late(); }};
    MESHPLAN_TRY(MeasuredGrid found, measure_grid(question, measure));
    if (found.bare) {
      tell(name + ": left out, no time is left");
      return Done{};
    }
    tables_.kernels[name] = std::move(found.table);
    points_ += found.points;
    error_ = std::max(error_, found.error);
    return Done{};
  }

  Status streams() {
    const cudaStream_t stream = stream_.get();
    constexpr int64_t kCols = 4096, kVocab = 128256, kStep = int64_t{1} << 31;
    const int64_t statistics = 4 * kStep + (int64_t{1} << 30);
    const double small = 1 << 16, large = 1 << 28;
    const DType type = DType::bf16;
    std::vector<int32_t> tokens(1 << 20);
    std::mt19937 random(2);
    for (int32_t& token : tokens) token = static_cast<int32_t>(random() % kVocab);
    MESHPLAN_TRY(const DeviceMemory ids,
                 DeviceMemory::make(static_cast<int64_t>(tokens.size() * sizeof(int32_t))));
    MESHPLAN_CUDA(cudaMemcpy(ids.get(), tokens.data(), static_cast<size_t>(ids.bytes()),
                             cudaMemcpyHostToDevice));
    const auto* id = ids.as<int32_t>();
    if (bytes_ < statistics + (int64_t{1} << 30)) {
      return Diagnostic{.kind = ErrorKind::missing, .message = "less than 24 GB of device memory"};
    }
    auto* sums = at<float>(statistics);
    MESHPLAN_CHECK(grid("add", 1, large, [&](int64_t n) {
      return add(stream, n, type, at(0), at(kStep), at(2 * kStep));
    }));
    MESHPLAN_CHECK(grid("zero", small, large, [&](int64_t n) {
      return status_of(cudaMemsetAsync(at(0), 0, static_cast<size_t>(4 * n), stream), "memset");
    }));
    MESHPLAN_CHECK(grid("norm-forward", small, large, [&](int64_t n) {
      return rmsnorm_forward(stream, n / kCols, kCols, 1e-5F, type, at(0), nullptr, nullptr,
                             at(kStep), at(2 * kStep), sums);
    }));
    const auto norm_backward = [&](int64_t n) -> Status {
      MESHPLAN_CHECK(rmsnorm_backward_input(stream, n / kCols, kCols, type, at(0), at(kStep), sums,
                                            at(2 * kStep), cpu::Write::set, at(3 * kStep)));
      return rmsnorm_backward_weight(stream, n / kCols, kCols, type, at(0), sums, at(2 * kStep),
                                     DType::fp32, sums + (1 << 20), sums + (1 << 21));
    };
    MESHPLAN_CHECK(grid("norm-backward", small, large, norm_backward));
    MESHPLAN_CHECK(grid("activation-forward", small, large / 2, [&](int64_t n) {
      return activation_forward(stream, ActivationType::swiglu, n / kCols, kCols, type, at(0),
                                at(kStep));
    }));
    MESHPLAN_CHECK(grid("activation-backward", small, large / 2, [&](int64_t n) {
      return activation_backward(stream, ActivationType::swiglu, n / kCols, kCols, type, at(0),
                                 at(kStep), at(2 * kStep));
    }));
    std::vector<float> table(size_t{8192} * 64, 0.5F);
    MESHPLAN_TRY(const DeviceMemory turn, DeviceMemory::make(int64_t{8192} * 64 * 4));
    MESHPLAN_CUDA(cudaMemcpy(turn.get(), table.data(), static_cast<size_t>(turn.bytes()),
                             cudaMemcpyHostToDevice));
    std::vector<int32_t> positions(1 << 16);
    for (size_t i = 0; i < positions.size(); ++i) positions[i] = static_cast<int32_t>(i % 8192);
    MESHPLAN_TRY(const DeviceMemory places, DeviceMemory::make(4 << 16));
    MESHPLAN_CUDA(cudaMemcpy(places.get(), positions.data(), static_cast<size_t>(places.bytes()),
                             cudaMemcpyHostToDevice));
    MESHPLAN_CHECK(grid("rope", small, large, [&](int64_t n) {
      const RopeShape shape{.tokens = n / 6144, .heads = 32, .kv_heads = 8, .head_dim = 128};
      return rope_split(stream, cpu::Turn::forward, shape, type, places.as<int32_t>(),
                        turn.as<float>(), turn.as<float>(), at(0), at(kStep), at(2 * kStep),
                        at(3 * kStep));
    }));
    MESHPLAN_CHECK(grid("embedding-forward", small, large, [&](int64_t n) {
      return embedding_forward(stream, n / kCols, kCols, 0, kVocab, id, type, at(0), at(kStep));
    }));
    MESHPLAN_CHECK(grid("embedding-backward", small, large / 4, [&](int64_t n) {
      return embedding_backward(stream, n / kCols, kCols, 0, kVocab, id, type, at(3 * kStep),
                                DType::fp32, at(0));
    }));
    const auto shard = [&](int64_t n) {
      return VocabularyShard{.tokens = std::max<int64_t>(1, n / kVocab),
                             .columns = kVocab,
                             .begin = 0,
                             .vocab = kVocab};
    };
    MESHPLAN_CHECK(grid("loss-maximum", small, large, [&](int64_t n) {
      return cross_entropy_maximum(stream, shard(n), type, at(0), sums);
    }));
    MESHPLAN_CHECK(grid("loss-sum", small, large, [&](int64_t n) {
      return cross_entropy_sum(stream, shard(n), type, at(0), id, sums, sums + (1 << 20),
                               sums + (1 << 21));
    }));
    MESHPLAN_CHECK(grid("loss-gradient", small, large, [&](int64_t n) {
      return cross_entropy_gradient(stream, shard(n), 1e-4F, type, at(0), id, sums,
                                    sums + (1 << 20), at(kStep));
    }));
    MESHPLAN_CHECK(grid("squared-norm", small, large, [&](int64_t n) {
      return squared_norm(stream, n, DType::fp32, at(0), at<double>(statistics),
                          at<double>(statistics + 4096));
    }));
    return grid("adamw", small, large, [&](int64_t n) {
      return adamw_step(stream, {}, 1, 1, n, DType::fp32, at(0), at<float>(kStep),
                        at<float>(2 * kStep), at<float>(3 * kStep), type, at(4 * kStep));
    });
  }

  Status transfers() {
    constexpr int64_t kLargest = int64_t{1} << 28;
    void* raw = nullptr;
    MESHPLAN_CUDA(cudaMallocHost(&raw, kLargest));
    const Owner<void*, cudaFreeHost> host(raw);
    for (const bool in : {true, false}) {
      MESHPLAN_CHECK(
          grid(in ? "host-to-device" : "device-to-host", 1 << 10, kLargest, [&](int64_t bytes) {
            const auto size = static_cast<size_t>(bytes);
            return in ? status_of(cudaMemcpyAsync(at(0), host.get(), size, cudaMemcpyHostToDevice,
                                                  stream_.get()),
                                  "host to device")
                      : status_of(cudaMemcpyAsync(host.get(), at(0), size, cudaMemcpyDeviceToHost,
                                                  stream_.get()),
                                  "device to host");
          }));
    }
    return Done{};
  }

  Status storage() {
    StorageBench bench(
        options_.folder.empty() ? std::filesystem::temp_directory_path().string() : options_.folder,
        "0");
    const std::vector<double> sizes = storage_sizes(options_.quick ? 1 << 24 : 1 << 30);
    const auto table = [&](const char* name, const std::function<Status(int64_t)>& call) {
      return grid(name, {sizes}, [&](const std::vector<double>& s) -> Result<double> {
        const Clock::time_point begin = Clock::now();
        MESHPLAN_CHECK(call(static_cast<int64_t>(s[0])));
        return std::chrono::duration<double>(Clock::now() - begin).count() / s[0];
      });
    };
    MESHPLAN_CHECK(table("storage-write", [&](int64_t bytes) { return bench.write(bytes); }));
    MESHPLAN_CHECK(bench.write(static_cast<int64_t>(sizes.back())));
    return table("storage-read", [&](int64_t bytes) { return bench.read(bytes); });
  }

  /// Between the GPUs of this computer, a thread each.
  Status communication(int gpus, CpuProfile& profile) {
    if (gpus < 2) return Done{};
    return run_ranks(gpus, {},
                     [&](World& world) { return communication(world, world.rank(), profile); });
  }

 public:
  /// Tables of several ranks: the kernels of one, and NCCL. All ranks call it; into rank 0's.
  Status communication(World& world, int device, CpuProfile& profile) {
    if (world.rank() == 0) memory_ = {};  // NCCL and its buffers want room
    const CommunicationOptions options{options_.quick, [this] { return late(); },
                                       [this](const std::string& what) { tell(what); }};
    MESHPLAN_TRY(const CommunicationProfile measured,
                 profile_communication(world, device, options));
    if (world.rank() != 0) return Done{};
    for (const CpuTables& collectives : measured.tables) {
      CpuTables both = tables_;
      both.ranks = collectives.ranks;
      both.nodes = collectives.nodes;
      for (const auto& [name, table] : collectives.kernels) both.kernels[name] = table;
      profile.tables.push_back(std::move(both));
    }
    for (const auto& [ranks, slowdown] : measured.product_slowdown) {
      profile.facts[fmt::format("product_slowdown_beside_all_reduce_of_{}_on_{}", ranks.first,
                                ranks.second)] = fmt::format("{:.3f}", slowdown);
    }
    return Done{};
  }

 private:
  const CudaProfileOptions& options_;
  const int device_;
  World* const launched_;
  size_t points_ = 0;
  double error_ = 0;
  Clock::time_point start_ = Clock::now();
  Stream stream_;
  Event begin_, end_;
  std::unique_ptr<Products> products_;
  DeviceMemory memory_;
  int64_t bytes_ = 0, results_ = 0;
  std::string driver_;
  CpuTables tables_;
};

}  // namespace

Result<CpuProfile> profile_cuda(const CudaProfileOptions& options, World* launched) {
  if (launched == nullptr) return Profiler(options, 0, nullptr).run();
  const int device = std::max(launched_rank().local_rank, 0);
  Profiler profiler(options, device, launched);
  CpuProfile profile;
  if (launched->rank() == 0) {
    MESHPLAN_TRY(profile, profiler.run());
  }
  MESHPLAN_CHECK(profiler.communication(*launched, device, profile));
  return profile;
}

}  // namespace meshplan
