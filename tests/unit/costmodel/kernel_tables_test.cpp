// SPDX-License-Identifier: Apache-2.0
#include "costmodel/profile/kernel_tables.hpp"

#include <cmath>

#include "tests/unit/catch.hpp"

namespace meshplan {
namespace {

KernelTables tables(const std::string& gpu, Clocks clocks = Clocks::burst) {
  auto found = find_gpu(gpu);
  REQUIRE(found.ok());
  auto loaded = KernelTables::load(*found, clocks);
  if (!loaded.ok()) FAIL(render(loaded.error()));
  return *loaded;
}

KernelEstimate forward(const KernelTables& t, int64_t m, int64_t n, int64_t k) {
  return t.gemm(m, n, k, 1, Layout::tn, DType::bf16, DType::bf16, false);
}

TEST_CASE("A product of the table has the measured time, one beside it is near", "[kernels]") {
  const KernelTables a100 = tables("a100-sxm4-80gb");
  // gemm_bf16.csv.gz: a100_sxm 8192 x 8192 x 8192: 257 TFLOP/s = 1.0995e12 FLOP / 4.27 ms.
  const KernelEstimate exact = forward(a100, 8192, 8192, 8192);
  CHECK(exact.provenance == Provenance::measured);
  CHECK(exact.seconds == Approx(2 * std::pow(8192.0, 3) / 257e12).epsilon(0.02));
  const KernelEstimate beside = forward(a100, 8192, 8192, 8200);
  CHECK(beside.provenance == Provenance::interpolated);
  CHECK(beside.seconds == Approx(exact.seconds).epsilon(0.02));
}

TEST_CASE("Every GPU of the catalogue has kernels, none faster than its peak", "[kernels]") {
  for (const std::string& id : gpu_ids()) {
    INFO(id);
    const KernelTables t = tables(id, Clocks::training);
    const double flops = 2.0 * 4096 * 4096 * 4096;
    const double peak = std::max(t.gpu().bf16_flops_per_s, t.gpu().fp16_flops_per_s);
    const KernelEstimate e = forward(t, 4096, 4096, 4096);
    CHECK(flops / e.seconds < peak);
    CHECK(flops / e.seconds > 0.3 * peak);
  }
}

TEST_CASE("Tables predict the points that are taken out of them", "[kernels]") {
  const auto checks = check_calibration();
  REQUIRE(checks.ok());
  int good = 0;
  for (const auto& check : *checks) {
    INFO(check.table << ", " << check.what << ": " << check.points << " points, median "
                     << 100 * check.median << " %, mean " << 100 * check.mean << " %, p90 "
                     << 100 * check.p90 << " %");
    if (check.what != "gemm") continue;
    CHECK(check.points > 3000);
    if (check.table == "a100-sxm" || check.table == "h100-sxm") {
      ++good;
      CHECK(check.median < 0.03);
      CHECK(check.mean < 0.04);
    } else {
      CHECK(check.median < 0.05);
    }
  }
  CHECK(good == 2);
}

}  // namespace
}  // namespace meshplan
