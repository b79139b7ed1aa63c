// SPDX-License-Identifier: Apache-2.0
#include "costmodel/profile/kernel_tables.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <utility>

#include "costmodel/cpu/gpu_measures.hpp"
#include "costmodel/profile/attention_table.hpp"
#include "costmodel/profile/gemm_table.hpp"
#include "costmodel/profile/kernel_config.hpp"
#include "topologies/base/files.hpp"

namespace meshplan {
namespace {

constexpr double kStreamError = 0.08;  // fits of norms: mean 3-8 %
constexpr double kScaledError = 0.12;  // assumed: another die of the same or next generation
constexpr double kScanError = 0.4;
constexpr double kGradientError = 0.05;  // spread of the paired layout ratios
constexpr double kVectorError = 0.10;    // assumed: no table of fp32 products
constexpr double kSameDie = 0.02;
constexpr double kShort = 1e-3, kLong = 3e-3;  // seconds, see training_clock_* in kernels.yaml

/// What the table's residuals are relative to, for one input type.
GemmChip table_chip(const KernelConfig& config, double flops_per_s) {
  return {config.sm_count, flops_per_s, config.bytes_per_s, 4e-6, config.wave_share};
}

double rate_of(const Gpu& gpu, DType type) {
  const double peak = gpu.peak_flops_per_s(type);
  if (peak > 0) return peak;
  // No such product in hardware: bf16 is run as fp16, fp8 as bf16, the rest on the vector units.
  const double half = std::max(gpu.fp16_flops_per_s, gpu.bf16_flops_per_s);
  if (type == DType::bf16 || type == DType::fp16 || is_quantised(type)) return half;
  return std::max(gpu.fp32_flops_per_s, 1.0);
}

/// Small tiles are as good as large ones on the vector units, so no waves show.
double vector_gemm_seconds(GemmChip chip, const GemmShape& shape) {
  chip.flops_per_s *= 0.92;  // assumed: SGEMM of cuBLAS on V100, 14-15 of 15.7 TFLOP/s
  chip.quantisation = 0;
  return analytic_gemm_seconds(chip, shape);
}

KernelTables::Check summary(const std::string& table, const std::string& what,
                            const std::vector<double>& sorted) {
  KernelTables::Check out{table, what, sorted.size()};
  if (sorted.empty()) return out;
  out.median = sorted[sorted.size() / 2];
  out.p90 = sorted[sorted.size() * 9 / 10];
  out.mean =
      std::accumulate(sorted.begin(), sorted.end(), 0.0) / static_cast<double>(sorted.size());
  return out;
}

/// The board with the rates that were measured on it, as the peaks of which the table's residuals
/// make those rates.
Gpu within_reach(Gpu gpu, const KernelConfig& config) {
  if (gpu.product_flops_per_s > 0 && config.best_product > 0 && gpu.bf16_flops_per_s > 0) {
    const double share = gpu.product_flops_per_s / config.best_product / gpu.bf16_flops_per_s;
    for (double* rate : {&gpu.tf32_flops_per_s, &gpu.fp16_flops_per_s, &gpu.bf16_flops_per_s,
                         &gpu.fp8_flops_per_s, &gpu.fp4_flops_per_s})
      *rate *= share;
  }
  if (gpu.stream_bytes_per_s > 0)
    gpu.memory_bytes_per_s = gpu.stream_bytes_per_s / config.elementwise.share;
  return gpu;
}

}  // namespace

struct KernelTables::Data {
  Gpu gpu;  ///< see within_reach
  KernelConfig config;
  GemmTable gemm;
  std::optional<GemmTable> gemm_fp8;
  AttentionTable attention;
  bool scaled = false;
  double power = 1;  ///< speed of arithmetic under this board's power limit over the table's
  Clocks clocks = Clocks::burst;
  std::shared_ptr<const GpuMeasures> measured;  ///< null: no profile of this GPU

  static KernelEstimate from_profile(double seconds) {
    return {seconds, kProfileError, Provenance::interpolated};
  }
  GemmChip chip(DType type, double clock) const {
    return {gpu.sm_count, rate_of(gpu, type) * power * clock, gpu.memory_bytes_per_s, 4e-6,
            config.wave_share};
  }
  /// Share of the burst clock that holds in training for a kernel of this burst time: short ones
  /// were measured before the power limit bit, long ones after it. Logarithmic in between.
  double clock(double burst_s, DType type) const {
    if (clocks == Clocks::burst) return 1;
    const double x = std::clamp(std::log(burst_s / kShort) / std::log(kLong / kShort), 0.0, 1.0);
    if (is_quantised(type))
      return config.training_clock_fp8_short +
             x * (config.training_clock_fp8_long - config.training_clock_fp8_short);
    return config.training_clock_short +
           x * (config.training_clock_long - config.training_clock_short);
  }
  KernelEstimate finish(double seconds, double error, bool exact) const {
    if (scaled) return {seconds, std::hypot(error, kScaledError), Provenance::scaled};
    return {seconds, error, exact ? Provenance::measured : Provenance::interpolated};
  }
  /// Rate of attention at this head dimension over the table's 128; linear in log(dim).
  double dim_share(double dim) const {
    const auto &x = config.head_dims, &y = config.head_dim_share;
    if (x.empty() || dim <= x.front()) return x.empty() ? 1 : y.front();
    for (size_t i = 1; i < x.size(); ++i)
      if (dim <= x[i]) {
        const double w = std::log(dim / x[i - 1]) / std::log(x[i] / x[i - 1]);
        return (1 - w) * y[i - 1] + w * y[i];
      }
    return y.back();
  }
  KernelEstimate stream(const Stream& of, double bytes) const {
    // The fits are of H200, GB200 and GB300.
    const bool own = !scaled && (gpu.family == "hopper" || gpu.family == "blackwell");
    return {of.fixed_s + bytes / (of.share * gpu.memory_bytes_per_s),
            own ? kStreamError : kScaledError, own ? Provenance::interpolated : Provenance::scaled};
  }
};

KernelTables::KernelTables(std::shared_ptr<const Data> data) : data_(std::move(data)) {}

Result<KernelTables> KernelTables::load(const Gpu& gpu, Clocks clocks) {
  MESHPLAN_TRY(KernelConfig config, KernelConfig::find(table_name(gpu.kernel_table).table));
  const std::string folder = data_root() + "/costmodel/data/";
  const GemmChip chip = table_chip(config, config.flops_per_s);
  MESHPLAN_TRY(GemmTable gemm,
               GemmTable::read(folder + "gemm/" + config.gemm + ".csv", chip, {1, 1, 1, 1, 2, 2}));
  const AttentionChip attention_chip = {config.flops_per_s, config.bytes_per_s};
  MESHPLAN_TRY(
      AttentionTable attention,
      AttentionTable::read(folder + "attention/" + config.attention + ".csv", attention_chip));
  std::optional<GemmTable> gemm_fp8;
  if (!config.gemm_fp8.empty()) {
    const GemmChip fp8 = table_chip(config, 2 * config.flops_per_s);
    MESHPLAN_TRY(gemm_fp8, GemmTable::read(folder + "gemm/" + config.gemm_fp8 + ".csv", fp8,
                                           {1, 1, 1, 1, 1, 2}));
  }
  const auto same = [](double a, double b) { return std::abs(a / b - 1) < kSameDie; };
  const bool same_die =
      same(rate_of(gpu, DType::bf16), config.flops_per_s) && gpu.sm_count == config.sm_count;
  const bool scaled = !same_die || !same(gpu.memory_bytes_per_s, config.bytes_per_s) ||
                      !same(gpu.power_limit_w, config.power_limit_w);
  double power = 1;
  if (same_die && gpu.power_limit_w < config.power_limit_w)
    power = std::pow(gpu.power_limit_w / config.power_limit_w, config.power_exponent);
  MESHPLAN_TRY(std::shared_ptr<const GpuMeasures> measured,
               GpuMeasures::load(table_name(gpu.kernel_table).profile));
  Gpu board = within_reach(gpu, config);
  return KernelTables(std::make_shared<const Data>(
      Data{std::move(board), std::move(config), std::move(gemm), std::move(gemm_fp8),
           std::move(attention), scaled, power, clocks, std::move(measured)}));
}

const Gpu& KernelTables::gpu() const { return data_->gpu; }
bool KernelTables::scaled() const { return data_->scaled; }
bool KernelTables::other_libraries() const {
  return data_->config.other_libraries(data_->gpu.family);
}

KernelEstimate KernelTables::gemm(int64_t m, int64_t n, int64_t k, int64_t groups, Layout layout,
                                  DType in, DType out, bool accumulate) const {
  if (m <= 0 || n <= 0 || k <= 0 || groups <= 0) return {0, 0, Provenance::measured};
  const Data& d = *data_;
  if (d.measured && groups == 1 && bytes_of(in) == 2) {
    if (const auto s = d.measured->operation(Gemm{m, n, k, 1, layout}))
      return Data::from_profile(*s);
  }
  // fp4 products take the residuals of fp8 at their own peak: no table of them is bundled.
  const bool fp8 = is_quantised(in) && d.gemm_fp8 && d.gpu.fp8_flops_per_s > 0;
  const GemmTable& table = fp8 ? *d.gemm_fp8 : d.gemm;
  // The tables hold a 16-bit output; what is written beyond that is extra traffic at the end.
  GemmShape shape = {m, n, k, groups, bytes_of(in), 2};
  GemmTable::Residual used;
  const GemmChip chip = d.chip(in, 1);
  double seconds = table.seconds(chip, shape, &used);
  double error = used.error;
  // fp32 without tensor cores is so much slower that what the tables measure (start-up, operand
  // traffic, few large tiles) no longer shows.
  const bool vector_units = in == DType::fp32;
  if (vector_units) {
    seconds = vector_gemm_seconds(chip, shape);
    error = kVectorError;
  }
  const double clock = d.clock(seconds, in);
  bool exact = used.exact && groups == 1 && clock == 1 && !vector_units;
  // Only arithmetic is slowed; the residual is the same.
  if (clock != 1)
    seconds *= analytic_gemm_seconds(d.chip(in, clock), shape) / analytic_gemm_seconds(chip, shape);
  if (layout == Layout::nn) seconds /= d.config.input_gradient;
  const double extra = static_cast<double>(bytes_of(out) - 2 + (accumulate ? bytes_of(out) : 0));
  if (extra > 0)
    seconds += d.config.output_traffic * static_cast<double>(groups) * static_cast<double>(m) *
               static_cast<double>(n) * extra / chip.bytes_per_s;
  if (groups > 1) seconds /= d.config.grouped_share;
  if (layout != Layout::tn || groups > 1 || extra != 0) {
    error = std::hypot(error, kGradientError);
    exact = false;
  }
  // Contiguous in memory: k and n of the outputs' rows; m instead of k for the weight gradient.
  const int64_t contiguous = layout == Layout::nt ? m : k;
  if (((n | contiguous) & 7) != 0 && in != DType::fp32) {
    seconds *= d.config.unaligned_slowdown;
    return {seconds, 0.4, Provenance::assumed};
  }
  return d.finish(seconds, error, exact);
}

KernelEstimate KernelTables::gemm(const Gemm& op) const {
  KernelEstimate out = gemm(op.m, op.n, op.k, op.groups, op.layout, op.in, op.out, op.accumulate);
  if (op.groups > 1) {
    // Products of a group begin one after another: each waits for what it alone reads (its weights)
    // or writes (their gradient), and none is shorter than its call.
    const auto own = static_cast<double>(op.layout == Layout::nt ? op.m * op.n : op.n * op.k);
    const auto count = static_cast<double>(op.groups);
    out.seconds +=
        count * own * static_cast<double>(bytes_of(op.in)) / data_->gpu.memory_bytes_per_s;
    out.seconds = std::max(out.seconds, count * data_->config.grouped_call_s);
  }
  return out;
}

KernelEstimate KernelTables::batched_gemm(const BatchedGemm& op, DType type) const {
  return gemm(op.m, op.n, op.k, op.batch, Layout::tn, type, type, false);
}

KernelEstimate KernelTables::attention(const Attention& op, DType type, FlashKernel flash) const {
  const Data& d = *data_;
  const auto batch = static_cast<double>(op.batch), heads = static_cast<double>(op.heads);
  const auto rows = static_cast<double>(op.q_len), keys = static_cast<double>(op.kv_len);
  if (batch * heads * rows * keys * op.work <= 0) return {0, 0, Provenance::measured};
  if (d.measured && flash == FlashKernel::latest) {
    if (const auto s = d.measured->operation(op)) return Data::from_profile(*s);
  }
  // The causal square with as many keys per row and as many rows in all.
  const double sequence = std::max(1.0, 2 * op.work * keys);
  const double parallel = batch * heads * rows / sequence;
  const double dim = 0.5 * static_cast<double>(op.head_dim + op.head_dim_v);
  const AttentionKernelFacts& kernel = d.config.attention_by[static_cast<size_t>(flash)];
  const bool backward = op.pass == Pass::backward;
  AttentionChip chip = {rate_of(d.gpu, is_quantised(type) ? DType::bf16 : type) * d.power,
                        d.gpu.memory_bytes_per_s};
  auto used = d.attention.residual(dim, parallel, sequence);
  if (backward) {
    // Fuller, but not the throttled or badly scheduled point that may stand there.
    const auto fuller = d.attention.residual(dim, parallel * kernel.fill, sequence);
    used.log = std::min(used.log, fuller.log);
  }
  const double slower = std::exp(used.log) / (kernel.forward * d.dim_share(dim));
  double seconds = AttentionTable::analytic_seconds(chip, dim, parallel, sequence) * slower;
  const double clock = d.clock(seconds, DType::bf16);
  chip.flops_per_s *= clock;
  if (clock != 1)
    seconds = AttentionTable::analytic_seconds(chip, dim, parallel, sequence) * slower;
  double error = used.error;
  bool exact = used.exact && clock == 1 && kernel.forward == 1 && op.head_dim == op.head_dim_v;
  if (backward) {
    // Forward: q k, p v. Backward: those again without the second, and four more products.
    const auto dqk = static_cast<double>(op.head_dim), dv = static_cast<double>(op.head_dim_v);
    seconds *= (3 * dqk + 2 * dv) / (dqk + dv) / kernel.backward;
    if (op.head_dim > 128) seconds /= kernel.backward_wide;
    error = std::hypot(error, 0.08);
    exact = false;
  }
  return d.finish(seconds, error, exact);
}

KernelEstimate KernelTables::scan(const Attention& op) const {
  const auto d = [](int64_t value) { return static_cast<double>(value); };
  // q k and p v forward; backward those again and three more products, as attention's.
  const double products = op.pass == Pass::backward ? 5 : 2;
  const double flops = 2 * products * op.work * d(op.batch) * d(op.heads) * d(op.q_len) *
                       d(op.kv_len) * 0.5 * d(op.head_dim + op.head_dim_v);
  const Gpu& gpu = data_->gpu;
  double rate = data_->config.scan_flops_per_byte * gpu.memory_bytes_per_s;
  if (!other_libraries())
    rate = std::min(rate, data_->config.scan_flops_per_s_per_sm * gpu.sm_count);
  return {flops / rate, kScanError, Provenance::assumed};
}

KernelEstimate KernelTables::memory_bound(double bytes) const {
  if (data_->measured) {
    if (const auto s = data_->measured->stream(bytes)) return Data::from_profile(*s);
  }
  return data_->stream(data_->config.elementwise, bytes);
}

KernelEstimate KernelTables::random_rows(double bytes) const {
  if (data_->measured) {
    if (const auto s = data_->measured->rows(bytes)) return Data::from_profile(*s);
  }
  return data_->stream(data_->config.random_rows, bytes);
}

KernelEstimate KernelTables::norm(const Norm& op, DType type) const {
  if (data_->measured && op.fused && op.type == NormType::rms) {
    if (const auto s = data_->measured->operation(op)) return Data::from_profile(*s);
  }
  const auto rows = static_cast<double>(op.rows), cols = static_cast<double>(op.cols);
  const auto size = static_cast<double>(bytes_of(type));
  const double statistics = op.type == NormType::layer ? 8 * rows : 4 * rows;
  const bool forward = op.pass == Pass::forward;
  const double bytes = size * ((forward ? 2 : 3) * rows * cols + 2 * cols) + statistics;
  const KernelConfig& c = data_->config;
  if (op.fused) return data_->stream(forward ? c.norm_forward : c.norm_backward, bytes);
  return data_->stream(forward ? c.norm_forward_compiled : c.norm_backward_compiled, bytes);
}

std::vector<KernelTables::Check> KernelTables::leave_one_out() const {
  const Data& d = *data_;
  std::vector<Check> out;
  out.push_back(summary(d.config.id, "gemm", d.gemm.leave_one_out(1024)));
  out.push_back(summary(d.config.id, "gemm from 64", d.gemm.leave_one_out(64)));
  out.push_back(summary(d.config.id, "gemm one token above a tile", d.gemm.held_out()));
  if (d.gemm_fp8) out.push_back(summary(d.config.id, "gemm fp8", d.gemm_fp8->leave_one_out(1024)));
  out.push_back(summary(d.config.id, "attention", d.attention.leave_one_out()));
  return out;
}

Result<std::vector<KernelTables::Check>> check_calibration() {
  MESHPLAN_TRY(const auto gpus, all_gpus());
  std::vector<KernelTables::Check> out;
  std::vector<std::string> seen;
  for (const Gpu& gpu : gpus) {
    if (std::find(seen.begin(), seen.end(), gpu.kernel_table) != seen.end()) continue;
    MESHPLAN_TRY(const KernelTables tables, KernelTables::load(gpu, Clocks::burst));
    if (tables.scaled()) continue;
    seen.push_back(gpu.kernel_table);
    const auto checks = tables.leave_one_out();
    out.insert(out.end(), checks.begin(), checks.end());
  }
  return out;
}

}  // namespace meshplan
