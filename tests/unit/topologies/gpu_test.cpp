// SPDX-License-Identifier: Apache-2.0
#include "topologies/gpu/gpu.hpp"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "tests/unit/catch.hpp"
#include "topologies/base/files.hpp"
#include "topologies/cluster/cluster.hpp"

using namespace meshplan;

TEST_CASE("every bundled GPU reads, is named as its file, and is plausible") {
  const auto gpus = all_gpus();
  REQUIRE(gpus.ok());
  REQUIRE(gpus->size() >= 55);
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
    const double half =
        std::max(gpu.peak_flops_per_s(DType::fp16), gpu.peak_flops_per_s(DType::bf16));
    CHECK(half >= gpu.peak_flops_per_s(DType::tf32));
    CHECK(half > gpu.peak_flops_per_s(DType::fp32));
    CHECK(find_cluster("2x4x" + gpu.id).ok());
    CHECK(gpu.memory_bytes_per_s > 1e11);
    CHECK(gpu.idle_power_w < gpu.power_limit_w);
    CHECK(!gpu.source.empty());
    const std::string file = *read_file(data_root() + "/topologies/data/gpus/" + gpu.id + ".yaml");
    for (const auto& line : gpu.assumed)  // each names the key that it is about
      CHECK(file.find("\n" + line.substr(0, line.find(':') + 1)) != std::string::npos);
  }
  CHECK(aliases > 25);
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
  for (const char* id : {"v100-sxm3-32gb", "a100-sxm4-80gb", "h100-sxm5-80gb", "gb200", "gb300",
                         "b300-sxm", "b200-sxm", "h200-sxm-141gb", "l40s", "a100-sxm4-40gb",
                         "h100-sxm5-96gb-500w", "v100-sxm2-16gb", "a100-pcie-80gb", "l4",
                         "v100-pcie-16gb", "v100-pcie-32gb", "b200-sxm-power-limited"})
    CHECK(find_gpu(id).ok());
}

TEST_CASE("a GPU's name may be spelt as drivers, shops and papers do") {
  const std::vector<std::pair<const char*, const char*>> spellings = {
      {"NVIDIA A100-SXM4-80GB", "a100-sxm4-80gb"},
      {"NVIDIA A100-SXM4-40GB", "a100-sxm4-40gb"},
      {"A100 SXM 40GB", "a100-sxm4-40gb"},
      {"a100_80gb", "a100-sxm4-80gb"},
      {"A100-PCIe 40 GB", "a100-pcie-40gb"},
      {"A100-PCIe-40GB", "a100-pcie-40gb"},
      {"NVIDIA H100 80GB HBM3", "h100-sxm5-80gb"},
      {"H100 PCIe", "h100-pcie"},
      {"Tesla V100-SXM2-32GB", "v100-sxm2-32gb"},
      {"Tesla V100-SXM3-32GB", "v100-sxm3-32gb"},
      {"V100 16GB", "v100-sxm2-16gb"},
      {"AMD Instinct MI300X OAM", "mi300x"},
      {"NVIDIA GeForce RTX 4090", "rtx-4090"},
      {"RTX 3090 24GB", "rtx-3090"},
      {"NVIDIA GH200 480GB", "gh200"},
      {"Intel Max 1550 tile (64GB)", "max-1550-tile"},
      {"Tesla T4", "t4"},
      {"RTX 2080 Ti 11GB", "rtx-2080-ti"},
      {"A100-64GB", "a100-sxm-64gb"},
      {"Intel Gaudi 2", "gaudi2"},
      {"TPU v5p", "tpu-v5p"},
      {"Trillium", "tpu-v6e"},
  };
  for (const auto& [name, id] : spellings) {
    CAPTURE(name);
    const auto gpu = find_gpu(name);
    REQUIRE(gpu.ok());
    CHECK(gpu->id == id);
  }
  CHECK(!find_gpu("A100 96GB").ok());  // no such board
  CHECK(!find_gpu("A100X").ok());
  CHECK(!find_gpu("NVIDIA").ok());
}

TEST_CASE("a misspelt GPU is wrong usage and gets the nearest name") {
  const auto gpu = find_gpu("H10O");
  REQUIRE(!gpu.ok());
  CHECK(gpu.error().kind == ErrorKind::usage);
  CHECK(gpu.error().hint.find("H100") != std::string::npos);
}
