// SPDX-License-Identifier: Apache-2.0
#include "profiler/measure/cpu.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <thread>

#include "profiler/comm/thread_world.hpp"
#include "profiler/kernels/activation.hpp"
#include "profiler/kernels/attention.hpp"
#include "profiler/kernels/cross_entropy.hpp"
#include "profiler/kernels/embedding.hpp"
#include "profiler/kernels/gemm.hpp"
#include "profiler/kernels/norm.hpp"
#include "profiler/kernels/optimizer.hpp"
#include "profiler/kernels/product.hpp"
#include "profiler/kernels/rope.hpp"
#include "profiler/measure/graph_bench.hpp"
#include "profiler/measure/measured_grid.hpp"
#include "profiler/measure/rank_groups.hpp"
#include "profiler/measure/stopwatch.hpp"
#include "profiler/storage/storage_bench.hpp"

namespace meshplan {
namespace {

using Axis = std::vector<double>;
using Floats = std::vector<float>;
using Positions = std::vector<int32_t>;

Floats numbers(double count) {
  Floats x(static_cast<size_t>(count));
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 37 % 101) * 0.01F - 0.5F;
  return x;
}

/// One rank's measurements; equal on all ranks.
class CpuBench {
 public:
  CpuBench(Stopwatch watch, const CpuProfileOptions& options, bool speaks)
      : watch_(std::move(watch)), options_(options), speaks_(speaks) {}

  Result<CpuTables> run() {
    tables_.ranks = watch_.group().size();
    if (!options_.only_graphs) MESHPLAN_CHECK(transformers());
    MESHPLAN_CHECK(graphs());
    if (!options_.only_graphs) MESHPLAN_CHECK(storage());
    if (tables_.ranks > 1) MESHPLAN_CHECK(collectives());
    return std::move(tables_);
  }

 private:
  /// Fills a grid: `prepare` makes what is to be timed at a point (empty: leave the point out).
  Status grid(const std::string& kernel, const std::vector<Axis>& axes,
              const std::function<double(const std::vector<double>&)>& work_of,
              const std::function<std::function<Status()>(const std::vector<double>&)>& prepare) {
    if (speaks_ && options_.progress) {
      options_.progress(
          fmt::format("{} rank{}: {}", tables_.ranks, tables_.ranks > 1 ? "s" : "", kernel));
    }
    const auto measure = [&](const std::vector<double>& sizes) -> Result<double> {
      const std::function<Status()> timed = prepare(sizes);
      if (!timed) return 0.0;
      MESHPLAN_TRY(const double seconds, watch_.time(timed));
      return seconds / work_of(sizes);
    };
    const GridQuestion question{axes, options_.tolerance, [this] { return late(); }};
    MESHPLAN_TRY(MeasuredGrid grid, measure_grid(question, measure));
    tables_.kernels[kernel] = std::move(grid.table);
    return Done{};
  }

  Status transformers() {
    for (const Layout layout : {Layout::tn, Layout::nn, Layout::nt}) {
      MESHPLAN_CHECK(products(layout));
    }
    MESHPLAN_CHECK(attention(Pass::forward));
    MESHPLAN_CHECK(attention(Pass::backward));
    return streams();
  }

  /// The same on all ranks. An error shows in what is measured next.
  bool late() {
    if (options_.budget_s <= 0) return false;
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begin_;
    double over = passed.count() > options_.budget_s ? 1 : 0;
    return watch_.group().all_reduce(&over, 1, ReduceOp::max).ok() && over > 0;
  }

  Status products(Layout layout) {
    const Axis axis = {16, 64, 256, 1024, 4096};
    const auto flops = [](const std::vector<double>& s) { return 2 * s[0] * s[1] * s[2]; };
    const char* name = layout == Layout::tn   ? "product-tn"
                       : layout == Layout::nn ? "product-nn"
                                              : "product-nt";
    return grid(name, {axis, axis, axis}, flops, [&, layout](const std::vector<double>& s) {
      if (flops(s) > options_.largest_flops) return std::function<Status()>();
      const cpu::GemmShape shape{.m = static_cast<int64_t>(s[0]),
                                 .n = static_cast<int64_t>(s[1]),
                                 .k = static_cast<int64_t>(s[2]),
                                 .trans_a = layout == Layout::nt,
                                 .trans_b = layout == Layout::tn,
                                 .beta = layout == Layout::nt ? 1.0 : 0.0};
      a_ = numbers(s[0] * s[2]);
      b_ = numbers(s[1] * s[2]);
      c_ = numbers(s[0] * s[1]);
      return kernel([this, shape] { cpu::gemm(workers_, shape, a_.data(), b_.data(), c_.data()); });
    });
  }

  Status attention(Pass pass) {
    const auto op_of = [pass](const std::vector<double>& s) {
      const auto length = static_cast<int64_t>(s[0]);
      const auto d = static_cast<int64_t>(s[1]);
      return Attention{pass, 1, length, length, 2, 2, d, d};
    };
    const char* name = pass == Pass::forward ? "attention-forward" : "attention-backward";
    return grid(
        name, {{32, 128, 512, 2048}, {16, 64, 128}},
        [&](const std::vector<double>& s) { return cpu_work(op_of(s)).work; },
        [&, pass](const std::vector<double>& s) {
          const auto length = static_cast<int64_t>(s[0]);
          const auto d = static_cast<int64_t>(s[1]);
          const cpu::AttentionShape shape{.q_len = length,
                                          .kv_len = length,
                                          .heads = 2,
                                          .kv_heads = 2,
                                          .head_dim = d,
                                          .head_dim_v = d};
          if (s[0] * s[1] > options_.largest_elements) return std::function<Status()>();
          const double size = s[0] * s[1] * 2;
          a_ = b_ = c_ = d_ = numbers(size);
          e_ = f_ = g_ = h_ = numbers(size);
          positions_.resize(static_cast<size_t>(length));
          std::iota(positions_.begin(), positions_.end(), 0);
          const auto forward = [this, shape] {
            cpu::attention_forward(workers_, shape, positions_.data(), positions_.data(), a_.data(),
                                   b_.data(), c_.data(), d_.data(), e_.data());
          };
          if (pass == Pass::forward) return kernel(forward);
          forward();
          return kernel([this, shape] {
            cpu::attention_backward(workers_, shape, positions_.data(), positions_.data(),
                                    a_.data(), b_.data(), c_.data(), d_.data(), e_.data(),
                                    a_.data(), cpu::Write::set, f_.data(), cpu::Write::set,
                                    g_.data(), h_.data());
          });
        });
  }

  /// A kernel that goes through `elements` numbers, as rows of 256.
  Status stream(const std::string& name, const std::function<void(int64_t rows)>& call) {
    return grid(
        name, {{1 << 12, 1 << 15, 1 << 18, 1 << 21, 1 << 23}},
        [](const std::vector<double>& s) { return s[0]; },
        [&](const std::vector<double>& s) {
          if (s[0] > options_.largest_elements) return std::function<Status()>();
          a_ = b_ = c_ = d_ = numbers(2 * s[0]);
          const auto rows = static_cast<int64_t>(s[0]) / kCols;
          e_ = numbers(std::max<double>(kCols, static_cast<double>(rows)));
          f_ = g_ = e_;
          positions_.assign(static_cast<size_t>(rows), 0);
          for (size_t i = 0; i < positions_.size(); ++i) {
            positions_[i] = static_cast<int32_t>(i * 7919 % positions_.size() % 512);
          }
          return kernel([call, rows] { call(rows); });
        });
  }

  Status streams() {
    cpu::Workers& w = workers_;
    constexpr int64_t c = kCols;
    MESHPLAN_CHECK(stream("norm-forward", [&](int64_t n) {
      cpu::rmsnorm_forward(w, n, c, 1e-5, a_.data(), e_.data(), b_.data(), f_.data());
    }));
    MESHPLAN_CHECK(stream("norm-backward", [&](int64_t n) {
      cpu::rmsnorm_backward_input(w, n, c, a_.data(), e_.data(), f_.data(), c_.data(),
                                  cpu::Write::set, b_.data());
      cpu::rmsnorm_backward_weight(w, n, c, a_.data(), f_.data(), c_.data(), g_.data());
    }));
    const Floats table = numbers(512 * 32);
    MESHPLAN_CHECK(stream("rope", [&](int64_t n) {
      cpu::rope(w, cpu::Turn::forward, n, c / 64, 64, positions_.data(), table.data(), table.data(),
                a_.data(), c, b_.data(), c);
    }));
    MESHPLAN_CHECK(stream("activation-forward", [&](int64_t n) {
      cpu::activation_forward(w, ActivationType::swiglu, n, c, a_.data(), b_.data());
    }));
    MESHPLAN_CHECK(stream("activation-backward", [&](int64_t n) {
      cpu::activation_backward(w, ActivationType::swiglu, n, c, a_.data(), b_.data(), c_.data());
    }));
    MESHPLAN_CHECK(
        stream("add", [&](int64_t n) { cpu::add(w, n * c, a_.data(), b_.data(), c_.data()); }));
    MESHPLAN_CHECK(stream("zero", [&](int64_t n) { cpu::fill(w, n * c, 0.0F, a_.data()); }));
    MESHPLAN_CHECK(stream("embedding-forward", [&](int64_t n) {
      cpu::embedding_forward(w, n, c, 0, 512, positions_.data(), table_.data(), b_.data());
    }));
    MESHPLAN_CHECK(stream("embedding-backward", [&](int64_t n) {
      cpu::embedding_backward(w, n, c, 0, 512, positions_.data(), b_.data(), table_.data());
    }));
    MESHPLAN_CHECK(losses());
    MESHPLAN_CHECK(stream("squared-norm",
                          [&](int64_t n) { sink_ += cpu::squared_norm(w, n * c, a_.data()); }));
    return stream("adamw", [&](int64_t n) {
      cpu::adamw_step(w, {}, 1, 1, n * c, a_.data(), b_.data(), c_.data(), d_.data());
    });
  }

  Status losses() {
    cpu::Workers& w = workers_;
    const auto shard = [](int64_t n) {
      return cpu::VocabularyShard{.tokens = n, .columns = kCols, .begin = 0, .vocab = kCols};
    };
    MESHPLAN_CHECK(stream("loss-maximum", [&](int64_t n) {
      cpu::cross_entropy_maximum(w, shard(n), a_.data(), f_.data());
    }));
    MESHPLAN_CHECK(stream("loss-sum", [&](int64_t n) {
      cpu::cross_entropy_sum(w, shard(n), a_.data(), positions_.data(), f_.data(), e_.data(),
                             g_.data());
    }));
    return stream("loss-gradient", [&](int64_t n) {
      cpu::cross_entropy_gradient(w, shard(n), 1.0F, a_.data(), positions_.data(), f_.data(),
                                  e_.data(), b_.data());
    });
  }

  Status graphs() {
    GraphBench bench(folder(), std::to_string(watch_.group().rank()));
    const auto whole = [](double size) { return static_cast<int64_t>(size); };
    const auto flops = [](const std::vector<double>& s) { return 12 * s[0] * s[0] * s[1] * s[2]; };
    const auto chunks = [&](const char* name, DType products) {
      return grid(name, {{50, 100, 250, 500, 1000}, {1, 2, 4, 11, 21}, {32, 100, 200, 400}}, flops,
                  [&, products](const std::vector<double>& s) {
                    const bool smallest = s[0] == 50 && s[1] == 1 && s[2] == 32;
                    if (!smallest && flops(s) > options_.largest_flops)
                      return std::function<Status()>();
                    return bench.chunk(whole(s[0]), whole(s[0] * s[1]), whole(s[2]), products);
                  });
    };
    MESHPLAN_CHECK(chunks("edge-chunk", DType::fp32));
    if (cpu::multiplies_bf16()) MESHPLAN_CHECK(chunks("edge-chunk-bf16", DType::bf16));
    MESHPLAN_CHECK(grid(
        "edge-draw", {{1 << 16, 1 << 20, 1 << 24}},
        [](const std::vector<double>&) { return static_cast<double>(GraphBench::kRows); },
        [&](const std::vector<double>& s) {
          return s[0] > 1 << 16 && s[0] > 2 * options_.largest_elements ? std::function<Status()>()
                                                                        : bench.edges(whole(s[0]));
        }));
    // Rows of a table in the caches, and beyond them.
    const Axis tables = {1 << 20, 1 << 23, 1 << 25, 1 << 27, 1 << 29}, cols = {32, 100, 400};
    const auto row_bytes = [](const std::vector<double>& s) {
      return 4 * s[1] * GraphBench::kRows;
    };
    const auto rows = [&](const char* name, auto prepare) {
      return grid(name, {tables, cols}, row_bytes, [&](const std::vector<double>& s) {
        if (s[0] > tables.front() && s[0] > 64 * options_.largest_elements)
          return std::function<Status()>();
        return prepare(whole(s[0]), whole(s[1]));
      });
    };
    MESHPLAN_CHECK(rows("row-gather", [&](int64_t b, int64_t c) { return bench.gather(b, c); }));
    MESHPLAN_CHECK(rows("row-step", [&](int64_t b, int64_t c) { return bench.step(b, c); }));
    MESHPLAN_CHECK(grid(
        "operator-step", {cols},
        [](const std::vector<double>& s) { return s[0] * GraphBench::kRows; },
        [&](const std::vector<double>& s) { return bench.operators(whole(s[0])); }));
    const Axis sizes = {1 << 20, 1 << 24, 1 << 27};
    const auto bytes = [](const std::vector<double>& s) { return s[0]; };
    const auto fits = [&](double size) {
      return size == sizes.front() || size <= 16 * options_.largest_elements;
    };
    MESHPLAN_CHECK(grid("partition-store", {sizes}, bytes, [&](const std::vector<double>& s) {
      return fits(s[0]) ? bench.store(static_cast<int64_t>(s[0])) : std::function<Status()>();
    }));
    return grid("partition-load", {sizes}, bytes, [&](const std::vector<double>& s) {
      return fits(s[0]) ? bench.load(static_cast<int64_t>(s[0])) : std::function<Status()>();
    });
  }

  std::string folder() const {
    return options_.folder.empty() ? std::filesystem::temp_directory_path().string()
                                   : options_.folder;
  }

  Status storage() {
    StorageBench bench(folder(), std::to_string(watch_.group().rank()));
    const auto table = [&](const char* name, const std::function<Status(int64_t)>& call) {
      return grid(
          name, {storage_sizes(16 * options_.largest_elements)},
          [](const std::vector<double>& s) { return s[0]; },
          [call](const std::vector<double>& s) {
            return [call, bytes = static_cast<int64_t>(s[0])] { return call(bytes); };
          });
    };
    MESHPLAN_CHECK(table("storage-write", [&](int64_t bytes) { return bench.write(bytes); }));
    MESHPLAN_CHECK(
        bench.write(static_cast<int64_t>(storage_sizes(16 * options_.largest_elements).back())));
    return table("storage-read", [&](int64_t bytes) { return bench.read(bytes); });
  }

  Status collective(const std::string& name, const std::function<Status(int64_t bytes)>& call) {
    return grid(
        name, {{256, 4096, 65536, 1 << 20, 1 << 24}},
        [](const std::vector<double>& s) { return s[0]; },
        [&](const std::vector<double>& s) {
          if (s[0] > 4 * options_.largest_elements) return std::function<Status()>();
          a_ = b_ = numbers(s[0]);
          const auto bytes = static_cast<int64_t>(s[0]);
          return std::function<Status()>([call, bytes] { return call(bytes); });
        });
  }

  Status collectives() {
    Communicator& group = watch_.group();
    const int64_t n = group.size();
    MESHPLAN_CHECK(collective(name_of(CollectiveOp::all_reduce), [&](int64_t bytes) {
      return group.all_reduce(a_.data(), bytes / 4);
    }));
    MESHPLAN_CHECK(collective(name_of(CollectiveOp::all_gather), [&, n](int64_t bytes) {
      return group.all_gather(a_.data(), b_.data(), bytes / n);
    }));
    MESHPLAN_CHECK(collective(name_of(CollectiveOp::reduce_scatter), [&, n](int64_t bytes) {
      return group.reduce_scatter(a_.data(), b_.data(), bytes / 4 / n);
    }));
    MESHPLAN_CHECK(collective(name_of(CollectiveOp::all_to_all), [&, n](int64_t bytes) {
      return group.all_to_all(a_.data(), b_.data(), bytes / n);
    }));
    MESHPLAN_CHECK(collective(name_of(CollectiveOp::ring_exchange), [&](int64_t bytes) {
      return group.ring_exchange(a_.data(), b_.data(), bytes);
    }));
    return collective("send", [&, n](int64_t bytes) -> Status {
      MESHPLAN_CHECK(group.send(a_.data(), bytes, static_cast<int>((group.rank() + 1) % n), 0));
      return group.receive(b_.data(), bytes, static_cast<int>((group.rank() + n - 1) % n), 0);
    });
  }

  static std::function<Status()> kernel(std::function<void()> call) {
    return [call = std::move(call)]() -> Status {
      call();
      return Done{};
    };
  }

  static constexpr int64_t kCols = 256;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  Stopwatch watch_;
  const CpuProfileOptions& options_;
  bool speaks_;
  cpu::Workers workers_;
  CpuTables tables_;
  Floats a_, b_, c_, d_, e_, f_, g_, h_, table_ = numbers(512 * kCols);
  Positions positions_;
  double sink_ = 0;  ///< keeps results alive
};

std::string processor_name() {
  std::ifstream facts("/proc/cpuinfo");
  for (std::string line; std::getline(facts, line);) {
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

std::string today() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  return fmt::format("{:04}-{:02}-{:02}", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday);
}

}  // namespace

Result<CpuProfile> profile_cpu(const CpuProfileOptions& options, World* launched) {
  CpuProfile profile;
  profile.processor = processor_name();
  profile.cores = static_cast<int>(std::thread::hardware_concurrency());
  profile.memory_bytes = static_cast<int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGESIZE);
  profile.source = "meshplan profile --device cpu, " + today();
  const auto rank = [&](World& world) -> Status {
    MESHPLAN_TRY(const std::vector<int> node_of, nodes_of_ranks(world));
    MESHPLAN_TRY(Stopwatch watch,
                 Stopwatch::make(world, options.seconds_per_point, options.median));
    CpuBench bench(std::move(watch), options, world.rank() == 0);
    MESHPLAN_TRY(CpuTables mine, bench.run());
    if (world.rank() != 0) return Done{};
    mine.nodes = 1 + *std::max_element(node_of.begin(), node_of.end());
    profile.tables.push_back(std::move(mine));
    return Done{};
  };
  if (launched != nullptr) {
    MESHPLAN_CHECK(rank(*launched));
    return profile;
  }
  for (const int ranks : options.ranks) {
    MESHPLAN_CHECK(run_ranks(ranks, {.timeout_s = 120}, rank));
  }
  return profile;
}

}  // namespace meshplan
