// SPDX-License-Identifier: Apache-2.0
#include "costmodel/profile/kernel_tables.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

#include "costmodel/collectives/collectives.hpp"
#include "costmodel/cpu/gpu_measures.hpp"
#include "tests/unit/catch.hpp"
#include "topologies/base/files.hpp"

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

TEST_CASE("a profile of the GPU comes before the tables") {
  CpuProfile profile{.device = "cuda", .processor = "GPU", .cores = 132, .source = "by hand"};
  CpuTables one, eight;
  one.kernels["product-tn"] = *GridTable::make({{1}, {1}, {1}}, {2e-15});
  one.kernels["add"] = *GridTable::make({{1e6}}, {1e-12});
  one.kernels["norm-forward"] = *GridTable::make({{1e6}}, {3e-12});
  eight.ranks = 8;
  eight.nodes = 2;
  eight.kernels["all-reduce"] = *GridTable::make({{1e6}}, {1e-11});
  profile.tables = {one, eight};
  const std::string path = std::string(P_tmpdir) + "/meshplan-gpu-profile-test.yaml";
  REQUIRE(write_file(path, to_yaml(profile)).ok());
  Gpu gpu = *find_gpu("H100");
  const KernelTables bundled = *KernelTables::load(gpu);
  gpu.kernel_table = with_profile(path, gpu.kernel_table);
  gpu.collective_table = with_profile(path, gpu.collective_table);
  const auto measured = KernelTables::load(gpu);
  const auto collectives = CollectiveModel::load(gpu);
  profile.device = "cpu";
  REQUIRE(write_file(path, to_yaml(profile)).ok());
  CHECK_FALSE(KernelTables::load(gpu).ok());
  std::remove(path.c_str());
  if (!measured.ok()) FAIL(render(measured.error()));
  const Gemm product{1000, 1000, 1000};
  CHECK(measured->gemm(product).seconds == Approx(4e-6));
  CHECK(measured->gemm(product).provenance == Provenance::interpolated);
  CHECK(measured->memory_bound(6e6).seconds == Approx(1e-6));
  CHECK(measured->norm({Pass::forward, NormType::rms, 1000, 1000}, DType::bf16).seconds ==
        Approx(3e-6));
  // what it has not measured: other layouts, 8-bit products, attention
  const Gemm back{1000, 1000, 1000, 1, Layout::nn};
  CHECK(measured->gemm(back).seconds == bundled.gemm(back).seconds);
  const Gemm fp8{1000, 1000, 1000, 1, Layout::tn, DType::fp8};
  CHECK(measured->gemm(fp8).seconds == bundled.gemm(fp8).seconds);
  REQUIRE(collectives.ok());
  GroupLinks links;
  links.ranks = 8;
  links.nodes = 2;
  links.ranks_per_node = 4;
  CHECK(collectives->time(CollectiveOp::all_reduce, 2e6, links).seconds == Approx(2e-5));
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

/// Causal, as many query as key heads.
Attention causal(Pass pass, int64_t batch, int64_t sequence, int64_t heads, int64_t dim) {
  return {pass, batch, sequence, sequence, heads, heads, dim, dim};
}

/// TFLOP/s of forward and backward together, half of the square: 3.5 x 2 b h s^2 d.
double both_rate(const KernelTables& t, int64_t sequence, int64_t heads, int64_t dim,
                 FlashKernel flash) {
  const int64_t batch = 16384 / sequence;  // as in the FlashAttention papers
  const double s = static_cast<double>(sequence);
  const double flops = 2.0 * static_cast<double>(batch * heads * dim) * s * s;
  const double time =
      t.attention(causal(Pass::forward, batch, sequence, heads, dim), DType::bf16, flash).seconds +
      t.attention(causal(Pass::backward, batch, sequence, heads, dim), DType::bf16, flash).seconds;
  return 3.5 * flops / time / 1e12;
}

TEST_CASE("Gradient products: the layout and the gradient that is added to", "[kernels]") {
  const KernelTables t = tables("a100-sxm4-80gb");
  const double plain = forward(t, 4096, 4096, 4096).seconds;
  const auto time = [&](Layout layout, DType out, bool accumulate) {
    return t.gemm(4096, 4096, 4096, 1, layout, DType::bf16, out, accumulate).seconds;
  };
  CHECK(time(Layout::nn, DType::bf16, false) == Approx(plain));
  // fp32 read and written instead of bf16 written: 6 bytes an element at 2.039 TB/s, half shows.
  const double extra = 0.5 * 6 * 4096.0 * 4096 / 2.039e12;
  CHECK(time(Layout::nt, DType::fp32, true) == Approx(plain + extra));
  CHECK(extra / plain == Approx(0.045).epsilon(0.2));  // measured: rate 0.96 of forward
  CHECK(t.gemm(4096, 50257, 4096, 1, Layout::tn, DType::bf16, DType::bf16, false).provenance ==
        Provenance::assumed);
  // 4 tokens more do not misalign a weight gradient, whose rows are m and n long.
  CHECK(t.gemm(4096, 4096, 4100, 1, Layout::nt, DType::bf16, DType::bf16, false).provenance ==
        Provenance::interpolated);
}

TEST_CASE("Expert products fill the device together", "[kernels]") {
  const KernelTables t = tables("a100-sxm4-80gb");
  const double one =
      t.gemm(128, 4096, 4096, 1, Layout::tn, DType::bf16, DType::bf16, false).seconds;
  const double eight =
      t.gemm(128, 4096, 4096, 8, Layout::tn, DType::bf16, DType::bf16, false).seconds;
  CHECK(eight > one);
  CHECK(eight < 8 * one);
  CHECK(eight > forward(t, 1024, 4096, 4096).seconds * 0.99);  // eight weights are read, not one
}

TEST_CASE("Each product of a group waits for its own weights and lasts as long as its call",
          "[kernels]") {
  const KernelTables t = tables("b200-sxm");
  Gemm op{1024, 4096, 7168, 32};
  const double together =
      t.gemm(1024, 4096, 7168, 32, Layout::tn, DType::bf16, DType::bf16, false).seconds;
  // 32 x 4096 x 7168 weights of 2 bytes at 8 TB/s.
  CHECK(t.gemm(op).seconds - together == Approx(32 * 4096.0 * 7168 * 2 / 8e12));
  op = {8, 256, 256, 64};
  CHECK(t.gemm(op).seconds == Approx(64 * 9.2e-6));
}

TEST_CASE("A board without a table of its own is held to the rates measured on it", "[kernels]") {
  const auto rate = [](const char* gpu) {
    return 2 * std::pow(8192.0, 3) / forward(tables(gpu), 8192, 8192, 8192).seconds;
  };
  // Best products: MI300X 668, H100 794.5 TFLOP/s; data sheets have it the other way round.
  CHECK(rate("mi300x") / rate("h100-sxm5-80gb") == Approx(668 / 794.5).epsilon(0.05));
  // Max 1550: 216 against 271 of the A100; its triad moves 1 TB/s.
  CHECK(rate("max-1550-tile") / rate("a100-sxm4-80gb") == Approx(216 / 271.0).epsilon(0.05));
  CHECK(tables("max-1550-tile").memory_bound(1e10).seconds == Approx(1e10 / 1e12).epsilon(0.01));
}

TEST_CASE("Flash attention has the rates of its papers", "[kernels]") {
  const KernelTables a100 = tables("a100-sxm4-80gb"), h100 = tables("h100-sxm5-80gb");
  // FlashAttention-2, forward + backward, causal, 16k tokens, hidden size 2048.
  CHECK(both_rate(a100, 2048, 16, 128, FlashKernel::flash2) == Approx(155).epsilon(0.10));
  CHECK(both_rate(a100, 4096, 16, 128, FlashKernel::flash2) == Approx(173).epsilon(0.10));
  CHECK(both_rate(a100, 16384, 16, 128, FlashKernel::flash2) == Approx(189).epsilon(0.10));
  CHECK(both_rate(a100, 4096, 32, 64, FlashKernel::flash2) == Approx(156).epsilon(0.10));
  CHECK(both_rate(h100, 4096, 16, 128, FlashKernel::flash2) == Approx(294).epsilon(0.10));
  CHECK(both_rate(h100, 16384, 16, 128, FlashKernel::flash2) == Approx(328).epsilon(0.10));
  // cuDNN on H200, 64 heads: backward 474 and 579 TFLOP/s at 4k and 16k.
  const KernelTables h200 = tables("h200-sxm-141gb");
  for (const auto& [sequence, rate] : {std::pair{4096, 474.0}, {16384, 579.0}}) {
    const double flops = 5.0 * 64 * 128 * std::pow(sequence, 2.0);
    const auto e = h200.attention(causal(Pass::backward, 1, sequence, 64, 128), DType::bf16,
                                  FlashKernel::latest);
    CHECK(flops / e.seconds / 1e12 == Approx(rate).epsilon(0.10));
  }
}

TEST_CASE("Rows longer than the table fill the device as more heads do", "[kernels]") {
  const KernelTables t = tables("h100-sxm5-80gb");
  // One rank of 16: 8192 rows of 131072 keys in 16 heads, half masked. As many FLOPs and tiles as
  // 8 heads of 16384 keys, 8 times over; q, k, v and o are read once.
  const Attention part{Pass::forward, 1, 8192, 131072, 16, 16, 128, 128};
  const Attention square = causal(Pass::forward, 1, 16384, 8, 128);
  const double rate = 1 / t.attention(square, DType::bf16, FlashKernel::flash2).seconds;
  CHECK(8 / t.attention(part, DType::bf16, FlashKernel::flash2).seconds ==
        Approx(rate).epsilon(0.08));
}

TEST_CASE("Attention before FlashAttention-2", "[kernels]") {
  const KernelTables t = tables("a100-sxm4-80gb");
  const auto slower = [&](Pass pass, FlashKernel flash) {
    const Attention op = causal(pass, 2, 4096, 32, 128);
    return t.attention(op, DType::bf16, flash).seconds /
           t.attention(op, DType::bf16, FlashKernel::flash2).seconds;
  };
  CHECK(slower(Pass::forward, FlashKernel::flash1) == Approx(2));
  CHECK(slower(Pass::backward, FlashKernel::flash1) == Approx(2));
  CHECK(slower(Pass::forward, FlashKernel::triton) == Approx(1 / 0.71));
  CHECK(slower(Pass::backward, FlashKernel::triton) == Approx(2));
}

TEST_CASE("Context parallelism shares attention by its work", "[kernels]") {
  const KernelTables t = tables("h100-sxm5-80gb");
  const Attention whole = causal(Pass::forward, 1, 32768, 32, 128);
  Attention part = whole;
  part.q_len = 32768 / 4;  // balanced chunks: half of the keys for each row on average
  const double one = t.attention(whole, DType::bf16, FlashKernel::latest).seconds;
  const double quarter = t.attention(part, DType::bf16, FlashKernel::latest).seconds;
  CHECK(quarter >= 0.95 * one / 4);
  CHECK(quarter < one / 4 * 1.1);
  Attention unmasked = part;
  unmasked.kv_len = part.q_len, unmasked.work = 1;  // a ring step with other ranks' keys
  CHECK(t.attention(unmasked, DType::bf16, FlashKernel::latest).seconds ==
        Approx(quarter / 2).epsilon(0.12));
}

TEST_CASE("Streaming kernels: fixed time and a share of the memory rate", "[kernels]") {
  const KernelTables t = tables("h200-sxm-141gb");
  CHECK(t.memory_bound(4.8e9).seconds == Approx(2.5e-6 + 1e-3 / 0.89));
  // norms.csv, H200, cuDNN RMSNorm 16384 x 4096: about 3.75 TB/s forward.
  const KernelEstimate e = t.norm({Pass::forward, NormType::rms, 16384, 4096}, DType::bf16);
  CHECK(268.5e6 / e.seconds / 1e12 == Approx(3.75).epsilon(0.06));
  const auto compiled = t.norm({Pass::backward, NormType::rms, 16384, 4096, false}, DType::bf16);
  const auto fused = t.norm({Pass::backward, NormType::rms, 16384, 4096, true}, DType::bf16);
  CHECK(compiled.seconds > 2 * fused.seconds);
}

TEST_CASE("Training clocks: short products were measured before the power limit", "[kernels]") {
  const KernelTables burst = tables("h100-sxm5-80gb"),
                     training = tables("h100-sxm5-80gb", Clocks::training);
  const auto slower = [&](int64_t m, int64_t n, int64_t k) {
    return forward(training, m, n, k).seconds / forward(burst, m, n, k).seconds;
  };
  CHECK(slower(4096, 4096, 4096) == Approx(1 / 0.91).epsilon(0.03));  // 0.17 ms, mostly arithmetic
  CHECK(slower(32768, 16384, 16384) == Approx(1 / 0.99).epsilon(0.005));  // 23 ms
  CHECK(slower(64, 16384, 16384) == Approx(1.0).epsilon(0.03));           // reads weights
  // B200: 16-bit products are held back more than 8-bit ones.
  const auto held = [](DType type, const char* gpu) {
    const auto seconds = [&](Clocks clocks) {
      return tables(gpu, clocks)
          .gemm(32768, 16384, 16384, 1, Layout::tn, type, DType::bf16, false)
          .seconds;
    };
    return seconds(Clocks::training) / seconds(Clocks::burst);
  };
  CHECK(held(DType::bf16, "b200-sxm") == Approx(1 / 0.754).epsilon(0.01));
  CHECK(held(DType::fp8, "b200-sxm") == Approx(1 / 0.913).epsilon(0.01));  // (1.0 / 1.2)^0.5
  CHECK(held(DType::fp8, "gb200") == Approx(1.0).epsilon(0.01));
  CHECK(tables("a100-sxm4-80gb", Clocks::training).scaled() == false);
  // 300 W instead of 400 W: (3/4)^0.25 of the speed.
  const double sxm = forward(tables("a100-sxm4-80gb"), 8192, 8192, 8192).seconds;
  const double pcie = forward(tables("a100-pcie-80gb"), 8192, 8192, 8192).seconds;
  CHECK(sxm / pcie == Approx(std::pow(0.75, 0.25)).epsilon(0.01));
}

TEST_CASE("Scans: by the SMs or the memory, whichever is slower; backward 2.5 times", "[kernels]") {
  // Two products of a multiplication and an addition: 2 * 2 * 0.25 * 32 * 4096^2 * 128 FLOP
  // forward.
  const Attention scan{Pass::forward, 1, 4096, 4096, 32, 32, 128, 128, 2048, 0.25};
  const double flops = 2.0 * 2 * 0.25 * 32 * 4096 * 4096 * 128;
  const KernelEstimate a100 = tables("a100-sxm4-80gb").scan(scan);
  CHECK(a100.seconds == Approx(flops / (84 * 2.039e12)).epsilon(0.01));
  CHECK(a100.seconds == Approx(flops / (108 * 1.59e12)).epsilon(0.01));
  CHECK(a100.provenance == Provenance::assumed);
  CHECK(tables("b200-sxm").scan(scan).seconds == Approx(flops / (148 * 1.59e12)));
  CHECK(tables("l40s").scan(scan).seconds == Approx(flops / (84 * 0.864e12)));
  CHECK(tables("mi300x").scan(scan).seconds == Approx(flops / (84 * 5.3e12)));
  Attention back = scan;
  back.pass = Pass::backward;
  CHECK(tables("a100-sxm4-80gb").scan(back).seconds == Approx(2.5 * a100.seconds));
}

TEST_CASE("Larger products never take much less time", "[kernels]") {
  const KernelTables t = tables("h100-sxm5-80gb", Clocks::training);
  // Kernel selection makes real steps back; the product of twice the size is never faster.
  for (int64_t m = 256; m <= 65536; m *= 2)
    for (int64_t n = 256; n <= 65536; n *= 2)
      CHECK(forward(t, 2 * m, n, 4096).seconds > forward(t, m, n, 4096).seconds);
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
