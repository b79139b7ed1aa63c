// SPDX-License-Identifier: Apache-2.0
#include "topologies/gpu/gpu.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <filesystem>
#include <set>

#include "topologies/base/files.hpp"
#include "topologies/base/nearest.hpp"
#include "topologies/base/reader.hpp"
#include "topologies/gpu/name.hpp"

namespace meshplan {
namespace {

constexpr double kTera = 1e12;
constexpr double kGiga = 1e9;

std::string folder() { return data_root() + "/topologies/data/gpus"; }

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

/// A rate in data files is zero where the hardware lacks the thing, never negative.
double rate(MapReader& in, const std::string& key, double unit) {
  const double value = in.number(key);
  if (!(value >= 0 && std::isfinite(value))) in.problem(key, "must be zero or more");
  return value * unit;
}

Result<Gpu> read(MapReader in) {
  Gpu out;
  out.id = in.text("id");
  out.name = in.text("name");
  out.family = in.choice(
      "family", {"pascal", "volta", "turing", "ampere", "ada", "hopper", "blackwell", "cdna",
                 "cdna2", "cdna3", "cdna4", "xe-hpc", "gaudi", "tpu", "trainium", "ascend"});
  out.compute_capability = in.positive("compute_capability");
  out.sm_count = static_cast<int>(in.positive("sm_count"));
  out.fp32_flops_per_s = rate(in, "fp32_dense_tflop_per_s", kTera);
  out.tf32_flops_per_s = rate(in, "tf32_dense_tflop_per_s", kTera);
  out.fp16_flops_per_s = rate(in, "fp16_dense_tflop_per_s", kTera);
  out.bf16_flops_per_s = rate(in, "bf16_dense_tflop_per_s", kTera);
  out.fp8_flops_per_s = rate(in, "fp8_dense_tflop_per_s", kTera);
  if (in.has("fp4_dense_tflop_per_s"))
    out.fp4_flops_per_s = rate(in, "fp4_dense_tflop_per_s", kTera);
  if (in.has("measured_product_tflop_per_s"))
    out.product_flops_per_s = rate(in, "measured_product_tflop_per_s", kTera);
  if (in.has("measured_stream_gb_per_s"))
    out.stream_bytes_per_s = rate(in, "measured_stream_gb_per_s", kGiga);
  out.memory_bytes = static_cast<int64_t>(in.positive("memory_bytes"));
  out.memory_usable_bytes = static_cast<int64_t>(in.positive("memory_usable_bytes"));
  if (out.memory_usable_bytes > out.memory_bytes)
    in.problem("memory_usable_bytes", "more than the board has (memory_bytes)");
  out.memory_bytes_per_s = in.positive("memory_gb_per_s") * kGiga;
  out.l2_bytes = static_cast<int64_t>(in.positive("l2_mib") * (1 << 20));
  out.nvlink_bytes_per_s = rate(in, "nvlink_gb_per_s_per_direction", kGiga);
  out.pcie_bytes_per_s = in.positive("pcie_gb_per_s_per_direction") * kGiga;
  out.c2c_bytes_per_s = rate(in, "c2c_gb_per_s_per_direction", kGiga);
  out.power_limit_w = in.positive("power_limit_w");
  out.idle_power_w = in.positive("idle_power_w");
  out.kernel_table = in.text("kernel_table");
  out.collective_table = in.text("collective_table");
  out.cluster = in.text("cluster");
  out.cluster_of_4 = in.text("cluster_of_4_gpus", "");
  out.source = in.text("source");
  out.assumed = in.texts("assumed");
  MESHPLAN_CHECK(in.finish());
  return out;
}

}  // namespace

double Gpu::peak_flops_per_s(DType type) const {
  switch (type) {
    case DType::fp32:
      return fp32_flops_per_s;
    case DType::tf32:
      return tf32_flops_per_s;
    case DType::fp16:
      return fp16_flops_per_s;
    case DType::bf16:
      return bf16_flops_per_s;
    case DType::fp8:
      return fp8_flops_per_s;
    case DType::fp4:
      return fp4_flops_per_s;
    case DType::int64:
    case DType::int32:
    case DType::uint8:
      return 0;
  }
  return 0;
}

Result<Gpu> read_gpu(const std::string& path) {
  MESHPLAN_TRY(MapReader in, MapReader::open(path));
  return read(std::move(in));
}

std::vector<std::string> gpu_ids() {
  std::vector<std::string> out;
  for (const auto& path : files_in(folder(), ".yaml"))
    out.push_back(std::filesystem::path(path).stem().string());
  return out;
}

namespace {
struct Alias {
  std::string name, id;
};
Result<std::vector<Alias>> aliases() {
  MESHPLAN_TRY(MapReader in, MapReader::open(data_root() + "/topologies/data/gpu-aliases.yaml"));
  std::vector<Alias> out;
  for (const auto& name : in.keys()) out.push_back({name, in.text(name)});
  MESHPLAN_CHECK(in.finish());
  return out;
}
/// Id of the board whose name agrees with `wanted` in `part` and in the memory; "" if none does.
/// Aliases come first: a name that leaves the memory open is the board that an alias takes it for.
Result<std::string> spelt(const std::vector<Alias>& all, const GpuName& wanted,
                          std::string GpuName::*part) {
  std::set<std::string> open;
  for (const auto& name : all) {
    const GpuName known = read_gpu_name(name.name);
    if (known.*part != wanted.*part) continue;
    if (known.memory_gb == wanted.memory_gb) return name.id;
    if (known.memory_gb == 0 || wanted.memory_gb == 0) open.insert(name.id);
  }
  if (wanted.memory_gb == 0) return open.size() == 1 ? *open.begin() : std::string();
  for (const auto& id : open) {
    MESHPLAN_TRY(const Gpu gpu, read_gpu(folder() + "/" + id + ".yaml"));
    if (memory_fits(gpu.memory_bytes, wanted.memory_gb)) return id;
  }
  return std::string();
}
Result<Gpu> bundled(const std::string& id, const std::vector<Alias>& names) {
  MESHPLAN_TRY(Gpu out, read_gpu(folder() + "/" + id + ".yaml"));
  for (const auto& alias : names)
    if (alias.id == id) out.aliases.push_back(alias.name);
  return out;
}
}  // namespace

Result<Gpu> find_gpu(const std::string& text) {
  if (text.size() > 5 && text.compare(text.size() - 5, 5, ".yaml") == 0) return read_gpu(text);
  const std::vector<std::string> ids = gpu_ids();
  MESHPLAN_TRY(const std::vector<Alias> names, aliases());
  std::vector<Alias> all = names;
  for (const auto& id : ids) all.push_back({id, id});
  for (const auto& name : all)
    if (lower(name.name) == lower(text)) return bundled(name.id, names);
  const GpuName wanted = read_gpu_name(text);
  for (const auto part : {&GpuName::exact, &GpuName::key}) {
    MESHPLAN_TRY(const std::string id, spelt(all, wanted, part));
    if (!id.empty()) return bundled(id, names);
  }
  std::vector<std::string> known = ids;
  for (const auto& alias : names) known.push_back(alias.name);
  const bool near = !nearest(text, known).empty();
  return Diagnostic{
      ErrorKind::usage, "unknown GPU", "", text, "", suggest(text, near ? known : ids)};
}

Result<std::vector<Gpu>> all_gpus() {
  MESHPLAN_TRY(const std::vector<Alias> names, aliases());
  std::vector<Gpu> out;
  for (const auto& id : gpu_ids()) {
    MESHPLAN_TRY(Gpu gpu, bundled(id, names));
    out.push_back(std::move(gpu));
  }
  return out;
}

}  // namespace meshplan
