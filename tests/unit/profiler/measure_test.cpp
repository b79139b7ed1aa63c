// SPDX-License-Identifier: Apache-2.0
// The CPU profile: the grid between its points, a real but coarse measurement, writing and reading.
#include <cmath>
#include <cstdio>

#include "profiler/comm/gpu_world.hpp"
#include "profiler/comm/tcp_world.hpp"
#include "profiler/measure/compare.hpp"
#include "profiler/measure/cpu.hpp"
#include "profiler/measure/measured_grid.hpp"
#include "profiler/measure/rank_groups.hpp"
#include "profiler/storage/storage_bench.hpp"
#include "tests/unit/catch.hpp"
#include "topologies/base/files.hpp"

namespace meshplan {
namespace {

TEST_CASE("grid: points, between them in the logarithm, outside, gaps") {
  const auto table = GridTable::make({{1, 4}, {10, 100}}, {1, 2, 4, 16});
  REQUIRE(table.ok());
  CHECK(table->seconds_per_work({1, 100}) == Approx(2));
  CHECK(table->seconds_per_work({4, 10}) == Approx(4));
  CHECK(table->seconds_per_work({2, 10}) == Approx(2));                 // half way: sqrt(1 x 4)
  CHECK(table->seconds_per_work({4, std::sqrt(1000.0)}) == Approx(8));  // sqrt(4 x 16)
  CHECK(table->seconds_per_work({100, 1}) == Approx(4));                // the nearest corner
  const auto gap = GridTable::make({{1, 2, 3}}, {0, 5, 0});
  REQUIRE(gap.ok());
  CHECK(gap->seconds_per_work({1}) == Approx(5));
  CHECK(gap->values()[0] == 0);
  CHECK_FALSE(GridTable::make({{1, 2}}, {1}).ok());
  CHECK_FALSE(GridTable::make({{2, 1}}, {1, 1}).ok());
  CHECK_FALSE(GridTable::make({{1, 2}}, {0, 0}).ok());
  CHECK_FALSE(GridTable::make({{1, 2}}, {1, -1}).ok());
}

TEST_CASE("work of operations by hand") {
  const CpuWork product = cpu_work(Gemm{2, 3, 5, 4, Layout::nt});
  CHECK(product.kernel == "product-nt");
  CHECK(product.sizes == std::vector<double>{2, 3, 5});
  CHECK(product.work == 2 * 2 * 3 * 5 * 4);
  // causal half of two products of 8 x 2 heads, 16 x 16, width 4
  const CpuWork attention = cpu_work(Attention{Pass::forward, 2, 16, 16, 8, 4, 4, 4});
  CHECK(attention.work == 2 * 2 * 16 * 16 * 4 * 0.5 * 16);
  CHECK(attention.sizes == std::vector<double>{16, 4});
  CHECK(cpu_work(GradientNorm{5, DType::fp32}).kernel.empty());
}

TEST_CASE("sizes are measured until what lies between is known") {
  const std::vector<double> sizes{1, 2, 4, 8, 16, 32, 64, 128, 256};
  // a straight line in logarithms: the ends and the one middle that shows it
  const auto line = [](const std::vector<double>& s) -> Result<double> { return std::sqrt(s[0]); };
  const auto few = measure_grid({{sizes}, 0.03, {}}, line);
  REQUIRE(few.ok());
  CHECK(few->points == 3);
  CHECK(few->table.axes()[0] == std::vector<double>{1, 16, 256});
  CHECK(few->error < 1e-9);
  // a kink at 16: above 32 nothing more is asked than whether it is straight
  const auto kink = [](const std::vector<double>& s) -> Result<double> {
    return std::max(1.0, s[0] / 16);
  };
  const auto bent = measure_grid({{sizes}, 0.03, {}}, kink);
  REQUIRE(bent.ok());
  for (const double size : sizes) {
    CHECK(bent->table.seconds_per_work({size}) == Approx(*kink({size})).epsilon(0.03));
  }
  CHECK(bent->points < sizes.size());
  const auto all = measure_grid({{sizes, {1, 2}}, 0, {}}, kink);
  CHECK(all->points == 18);
  // of two axes, one is straight: it keeps its ends
  const auto two = measure_grid(
      {{sizes, sizes}, 0.03, {}},
      [&](const std::vector<double>& s) -> Result<double> { return *kink({s[0]}) * s[1]; });
  REQUIRE(two.ok());
  CHECK(two->table.axes()[1] == std::vector<double>{1, 256});
  CHECK(two->table.seconds_per_work({8, 32}) == Approx(32).epsilon(0.03));
  int asked = 0;
  const auto late = measure_grid({{sizes}, 0.03, [&] { return ++asked > 2; }}, kink);
  REQUIRE(late.ok());
  CHECK(late->stopped);
  CHECK(late->points == 3);
  CHECK_FALSE(late->bare);
  asked = 0;
  const auto bare = measure_grid({{sizes}, 0.03, [&] { return ++asked > 0; }}, kink);
  REQUIRE(bare.ok());
  CHECK(bare->points == 1);
  CHECK(bare->bare);
  CHECK_FALSE(measure_grid({{sizes}, 0.03, {}}, [](const auto&) -> Result<double> {
                return Diagnostic{.message = "broken"};
              }).ok());
}

TEST_CASE("groups that stand for a machine") {
  const auto texts = [](const std::vector<int>& node_of) {
    std::vector<std::string> out;
    for (const RankGroup& group : groups_to_measure(node_of)) {
      std::string& text = out.emplace_back(std::to_string(group.nodes) + ":");
      for (const int rank : group.members) text += " " + std::to_string(rank);
    }
    return out;
  };
  CHECK(texts({0}).empty());
  CHECK(texts({0, 0, 0}) == std::vector<std::string>{"1: 0 1", "1: 0 1 2"});
  CHECK(texts({0, 1}) == std::vector<std::string>{"2: 0 1"});
  // three nodes, the last one with a rank less
  CHECK(texts({0, 0, 1, 1, 2}) ==
        std::vector<std::string>{"1: 0 1", "2: 0 2", "2: 0 1 2 3", "3: 0 2 4"});
}

TEST_CASE("storage behind a folder") {
  StorageBench bench(P_tmpdir, "test");
  CHECK(bench.write((1 << 20) + 3).ok());
  CHECK(bench.read((1 << 20) + 3).ok());
  CHECK_FALSE(bench.read(1 << 21).ok());
  CHECK_FALSE(StorageBench("/nonexistent", "test").write(1).ok());
  CHECK(storage_sizes(0) == std::vector<double>{1 << 20});
  CHECK(storage_sizes(1e9).back() == 1 << 28);
}

TEST_CASE("a coarse profile of this computer is written and read back") {
  const auto profile = profile_cpu({.ranks = {1, 2},
                                    .seconds_per_point = 1e-5,
                                    .largest_flops = 5e5,
                                    .largest_elements = 1 << 12});
  if (!profile.ok()) FAIL(render(profile.error()));
  REQUIRE(profile->tables.size() == 2);
  CHECK(profile->of(1).kernels.count("all-reduce") == 0);
  CHECK(profile->of(1).kernels.count("storage-read") == 1);
  CHECK(profile->of(8).ranks == 2);
  const std::string path = std::string(P_tmpdir) + "/meshplan-cpu-profile-test.yaml";
  REQUIRE(write_file(path, to_yaml(*profile)).ok());
  const auto back = read_cpu_profile(path);
  std::remove(path.c_str());
  if (!back.ok()) FAIL(render(back.error()));
  CHECK(back->cores == profile->cores);
  const CpuWork work = cpu_work(Gemm{64, 64, 64});
  CHECK(*back->of(2).seconds(work) == Approx(*profile->of(2).seconds(work)).epsilon(1e-3));
  CHECK(*back->of(1).seconds(work) > 0);
  CHECK_FALSE(back->of(1).seconds(cpu_work(CollectiveOp::all_reduce, 4096)).ok());
  CHECK_FALSE(read_cpu_profile("/nonexistent/profile.yaml").ok());
}

/// One kernel with two measured points of three, and one that only this profile has.
CpuProfile small_profile(double first, double second, const std::string& other) {
  CpuProfile profile;
  profile.device = "cuda";
  profile.processor = "GPU";
  profile.cores = 132;
  profile.facts["driver"] = "580";
  CpuTables tables;
  tables.kernels["add"] = *GridTable::make({{1, 2, 4}}, {first, 0, second});
  tables.kernels[other] = *GridTable::make({{1}}, {1});
  profile.tables.push_back(std::move(tables));
  return profile;
}

TEST_CASE("a GPU's profile comes back with its facts") {
  const std::string path = std::string(P_tmpdir) + "/meshplan-gpu-profile-test.yaml";
  REQUIRE(write_file(path, to_yaml(small_profile(1e-9, 2e-9, "only"))).ok());
  const auto back = read_cpu_profile(path);
  std::remove(path.c_str());
  REQUIRE(back.ok());
  CHECK(back->device == "cuda");
  CHECK(back->cores == 132);
  CHECK(back->facts.at("driver") == "580");
  CHECK(back->tables[0].kernels.at("add").seconds_per_work({4}) == Approx(2e-9));
}

TEST_CASE("two profiles, kernel by kernel") {
  const auto all = compare_profiles(small_profile(1, 2, "left"), small_profile(2, 3, "right"));
  REQUIRE(all.size() == 3);
  CHECK(all[0].kernel == "add");
  CHECK(all[0].points == 2);  // the point that was not measured does not count
  CHECK(all[0].low == Approx(1.5));
  CHECK(all[0].high == Approx(2));
  CHECK(all[1].kernel == "left");
  CHECK(all[1].points == 0);
  CHECK(all[2].kernel == "right");
}

TEST_CASE("ranks as launchers tell them") {
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMI_RANK", "RANK"}) unsetenv(name);
  setenv("SLURM_PROCID", "5", 1);
  CHECK(launched_rank().rank == 5);
  setenv("RANK", "3", 1);  // of a torchrun that srun started
  CHECK(launched_rank().rank == 3);
  setenv("RANK", "3x", 1);  // no number: not told
  CHECK(launched_rank().rank == 5);
  unsetenv("SLURM_PROCID");
  unsetenv("RANK");
  CHECK(launched_rank().rank == -1);
}

TEST_CASE("where ranks meet without MPI") {
  const auto place = [](const char* rank, const char* port, const char* agent) {
    setenv("RANK", rank, 1);
    setenv("WORLD_SIZE", "4", 1);
    setenv("MASTER_ADDR", "node0", 1);
    setenv("MASTER_PORT", port, 1);
    setenv("TORCHELASTIC_USE_AGENT_STORE", agent, 1);
    auto found = tcp_place_from_environment();
    for (const char* name :
         {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_USE_AGENT_STORE"}) {
      unsetenv(name);
    }
    return found;
  };
  const auto found = place("2", "29500", "False");
  REQUIRE(found.ok());
  REQUIRE(found->has_value());
  CHECK((*found)->rank == 2);
  CHECK((*found)->size == 4);
  CHECK((*found)->address == "node0");
  CHECK((*found)->port == 29500);
  CHECK((*place("2", "29500", "True"))->port == 29501);  // torchrun itself listens there
  CHECK_FALSE(place("4", "29500", "False").ok());
  CHECK_FALSE(place("2", "port", "False").ok());
  CHECK_FALSE(tcp_place_from_environment()->has_value());
}

}  // namespace
}  // namespace meshplan
