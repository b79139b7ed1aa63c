// SPDX-License-Identifier: Apache-2.0
#include "topologies/gpu/gpu.hpp"

#include <set>

#include "tests/unit/catch.hpp"
#include "topologies/base/files.hpp"

using namespace meshplan;

TEST_CASE("every bundled GPU reads, is named as its file, and is plausible") {
  const auto gpus = all_gpus();
  REQUIRE(gpus.ok());
  REQUIRE(gpus->size() >= 24);
  std::set<std::string> names;
  size_t aliases = 0;
  for (const Gpu& gpu : *gpus) {
    CAPTURE(gpu.id);
    CHECK(find_gpu(gpu.id)->id == gpu.id);
    CHECK(names.insert(gpu.id).second);
    for (const auto& alias : gpu.aliases) {
      CHECK(names.insert(alias).second);
      CHECK(find_gpu(alias)->id == gpu.id);
    }
    aliases += gpu.aliases.size();
    CHECK(gpu.memory_usable_bytes > 0.95 * gpu.memory_bytes);
    CHECK(gpu.memory_usable_bytes < gpu.memory_bytes);
    CHECK(gpu.peak_flops_per_s(DType::fp16) >= gpu.peak_flops_per_s(DType::tf32));
    CHECK(gpu.peak_flops_per_s(DType::fp16) > gpu.peak_flops_per_s(DType::fp32));
    CHECK(gpu.memory_bytes_per_s > 1e11);
    CHECK(gpu.idle_power_w < gpu.power_limit_w);
    CHECK(!gpu.source.empty());
    const std::string file = *read_file(data_root() + "/topologies/data/gpus/" + gpu.id + ".yaml");
    for (const auto& line : gpu.assumed)  // each names the key that it is about
      CHECK(file.find("\n" + line.substr(0, line.find(':') + 1)) != std::string::npos);
  }
  CHECK(aliases > 50);
}

TEST_CASE("datasheet figures of the three GPUs that most answers use") {
  const Gpu a100 = *find_gpu("A100");
  CHECK(a100.id == "a100-sxm4-80gb");
  CHECK(a100.peak_flops_per_s(DType::bf16) == Approx(312e12));
  CHECK(a100.peak_flops_per_s(DType::fp8) == 0);
  CHECK(a100.nvlink_bytes_per_s == Approx(300e9));
  const Gpu h100 = *find_gpu("h100");
  CHECK(h100.id == "h100-sxm5-80gb");
  CHECK(h100.peak_flops_per_s(DType::bf16) == Approx(989.4e12));
  CHECK(h100.memory_bytes_per_s == Approx(3.352e12));
  CHECK(h100.sm_count == 132);
  const Gpu v100 = *find_gpu("V100-16");
  CHECK(v100.peak_flops_per_s(DType::bf16) == 0);
  CHECK(v100.peak_flops_per_s(DType::fp16) == Approx(125e12));
}

TEST_CASE("GPUs of the published runs are all known") {
  for (const char* id :
       {"v100-sxm3-32gb", "a100-sxm4-80gb", "h100-sxm5-80gb", "gb200", "gb300", "b300-sxm",
        "b200-sxm", "h200-sxm-141gb", "l40s", "a100-sxm4-40gb", "h100-sxm5-96gb-500w",
        "v100-sxm2-16gb", "a100-pcie-80gb", "l4", "v100-pcie-32gb", "b200-sxm-power-limited"})
    CHECK(find_gpu(id).ok());
}

TEST_CASE("a misspelt GPU is wrong usage and gets the nearest name") {
  const auto gpu = find_gpu("H10O");
  REQUIRE(!gpu.ok());
  CHECK(gpu.error().kind == ErrorKind::usage);
  CHECK(gpu.error().hint.find("H100") != std::string::npos);
}
