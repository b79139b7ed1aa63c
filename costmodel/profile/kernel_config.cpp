// SPDX-License-Identifier: Apache-2.0
#include "costmodel/profile/kernel_config.hpp"

#include <algorithm>
#include <map>

#include "topologies/base/files.hpp"
#include "topologies/base/nearest.hpp"
#include "topologies/base/reader.hpp"

namespace meshplan {
namespace {

Stream stream(MapReader& in, const std::string& key) {
  MapReader map = in.map(key);
  Stream out;
  out.fixed_s = map.number("fixed_us") * 1e-6;
  out.share = map.positive("share");
  if (const auto status = map.finish(); !status.ok()) in.problem(key, status.error().message);
  return out;
}

KernelConfig table(MapReader& in, std::string& kernel) {
  KernelConfig out;
  out.id = in.text("id");
  out.gemm = in.text("gemm");
  out.gemm_fp8 = in.text("gemm_fp8", "");
  out.attention = in.text("attention");
  kernel = in.choice("attention_kernel", {"flash2", "flash3", "blackwell"});
  out.sm_count = static_cast<int>(in.positive("sm_count"));
  out.flops_per_s = in.positive("bf16_dense_tflop_per_s") * 1e12;
  out.bytes_per_s = in.positive("memory_gb_per_s") * 1e9;
  out.power_limit_w = in.positive("power_limit_w");
  out.wave_share = in.number("wave_share");
  out.training_clock_short = in.positive("training_clock_short_share");
  out.training_clock_long = in.positive("training_clock_long_share");
  out.training_clock_fp8_short =
      in.number("training_clock_fp8_short_share", out.training_clock_short);
  out.training_clock_fp8_long = in.number("training_clock_fp8_long_share", out.training_clock_long);
  in.text("training_clock_source");
  out.best_product = in.number("best_product_tflop_per_s", 0) * 1e12 / out.flops_per_s;
  out.power_exponent = in.positive("power_exponent");
  out.head_dims = in.numbers("head_dims");
  out.head_dim_share = in.numbers("head_dim_share");
  if (out.head_dims.size() != out.head_dim_share.size())
    in.problem("head_dim_share", "needs one share for each entry of head_dims");
  in.text("head_dim_source", "");
  return out;
}

/// Rates of an older kernel over those of FlashAttention-2 on the same GPU.
struct Older {
  double forward = 1, backward = 1;
};

AttentionKernelFacts older(AttentionKernelFacts facts, const Older& ratio) {
  facts.forward *= ratio.forward;
  facts.backward *= ratio.backward / ratio.forward;  // stands relative to forward
  return facts;
}

/// All tables of the file with the constants that they share.
Result<std::vector<KernelConfig>> read_all() {
  MESHPLAN_TRY(MapReader in, MapReader::open(data_root() + "/costmodel/data/kernels.yaml"));
  std::map<std::string, AttentionKernelFacts> kernels;
  for (MapReader& map : in.maps("attention_kernels")) {
    AttentionKernelFacts facts;
    const std::string id = map.text("id");
    facts.forward = map.positive("forward");
    facts.backward = map.positive("backward");
    facts.backward_wide = map.positive("backward_wide");
    facts.fill = map.positive("fill");
    kernels[id] = facts;
    MESHPLAN_CHECK(map.finish());
  }
  in.text("attention_source");
  Older triton, flash1;
  for (auto [into, key] : {std::pair{&triton, "triton"}, std::pair{&flash1, "flash1"}}) {
    MapReader map = in.map(key);
    into->forward = map.positive("forward");
    into->backward = map.positive("backward");
    MESHPLAN_CHECK(map.finish());
  }
  in.text("older_source");
  const std::vector<std::string> families = in.texts("library_families");
  KernelConfig shared;
  shared.scan_flops_per_byte = in.positive("scan_flops_per_byte");
  shared.scan_flops_per_s_per_sm = in.positive("scan_tflop_per_s_per_sm") * 1e12;
  in.text("scan_source");
  std::vector<KernelConfig> out;
  std::vector<std::string> kernel;
  for (MapReader& map : in.maps("tables")) {
    kernel.emplace_back();
    out.push_back(table(map, kernel.back()));
    MESHPLAN_CHECK(map.finish());
  }
  MapReader layouts = in.map("layouts");
  layouts.text("source");
  shared.unaligned_slowdown = in.positive("unaligned_slowdown");
  in.text("unaligned_source");
  MapReader streams = in.map("streams");
  streams.text("source");
  shared.elementwise = stream(streams, "elementwise");
  shared.norm_forward = stream(streams, "norm_forward");
  shared.norm_backward = stream(streams, "norm_backward");
  shared.norm_forward_compiled = stream(streams, "norm_forward_compiled");
  shared.norm_backward_compiled = stream(streams, "norm_backward_compiled");
  shared.random_rows = stream(streams, "random_rows");
  MESHPLAN_CHECK(streams.finish());
  KernelConfig ampere, other;
  for (auto [into, key] : {std::pair{&ampere, "ampere"}, std::pair{&other, "other"}}) {
    MapReader map = layouts.map(key);
    into->input_gradient = map.positive("input_gradient");
    into->output_traffic = map.positive("output_traffic");
    into->grouped_share = map.positive("grouped");
    into->grouped_call_s = map.number("grouped_call_us") * 1e-6;
    MESHPLAN_CHECK(map.finish());
  }
  MESHPLAN_CHECK(layouts.finish());
  for (size_t i = 0; i < out.size(); ++i) {
    KernelConfig& c = out[i];
    const KernelConfig& layout = kernel[i] == "flash2" ? ampere : other;
    c.input_gradient = layout.input_gradient;
    c.output_traffic = layout.output_traffic;
    c.grouped_share = layout.grouped_share;
    c.grouped_call_s = layout.grouped_call_s;
    c.unaligned_slowdown = shared.unaligned_slowdown;
    c.families = families;
    c.scan_flops_per_byte = shared.scan_flops_per_byte;
    c.scan_flops_per_s_per_sm = shared.scan_flops_per_s_per_sm;
    c.elementwise = shared.elementwise;
    c.norm_forward = shared.norm_forward;
    c.norm_backward = shared.norm_backward;
    c.norm_forward_compiled = shared.norm_forward_compiled;
    c.norm_backward_compiled = shared.norm_backward_compiled;
    c.random_rows = shared.random_rows;
    const AttentionKernelFacts flash2 =
        kernels[kernel[i] == "flash3" ? "flash2-hopper" : kernel[i]];
    c.attention_by = {kernels[kernel[i]], flash2, older(flash2, triton), older(flash2, flash1)};
  }
  MESHPLAN_CHECK(in.finish());
  return out;
}

}  // namespace

bool KernelConfig::other_libraries(const std::string& family) const {
  return std::find(families.begin(), families.end(), family) == families.end();
}

Result<KernelConfig> KernelConfig::find(const std::string& id) {
  MESHPLAN_TRY(const auto all, read_all());
  std::vector<std::string> known;
  for (const auto& config : all) {
    if (config.id == id) return config;
    known.push_back(config.id);
  }
  return Diagnostic{ErrorKind::input,  "unknown kernel table", "kernel_table", id, {},
                    suggest(id, known)};
}

}  // namespace meshplan
