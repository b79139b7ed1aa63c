// SPDX-License-Identifier: Apache-2.0
#include "profiler/measure/nccl_tests.hpp"

#include "tests/unit/catch.hpp"

namespace meshplan {
namespace {

// The form of what all_reduce_perf prints; the numbers are made up.
constexpr const char* kLog =
    R"(# nThread 1 nGpus 2 minBytes 1024 maxBytes 4096 step: 2(factor) warmup iters: 5 iters: 20
# Using devices
#  Rank  0 Group  0 Pid   11 on  here device  0 [0000:04:00] NVIDIA H100 80GB HBM3
#  Rank  1 Group  0 Pid   11 on  here device  1 [0000:05:00] NVIDIA H100 80GB HBM3
#
#                                                              out-of-place                       in-place
#       size         count      type   redop    root     time   algbw   busbw #wrong     time   algbw   busbw #wrong
#        (B)    (elements)                               (us)  (GB/s)  (GB/s)            (us)  (GB/s)  (GB/s)
        2048           512     float     sum      -1    20.00    0.10    0.10      0    19.00    0.11    0.11      0
        1024           256     float     sum      -1    10.00    0.10    0.10      0     9.00    0.11    0.11      0
           0             0     float     sum      -1     5.00    0.00    0.00      0     5.00    0.00    0.00      0
# Out of bounds values : 0 OK
)";

TEST_CASE("a printed table of nccl-tests") {
  CHECK_FALSE(read_nccl_tests(kLog, "").ok());  // an old log does not tell of which collective
  const auto run = read_nccl_tests(kLog, "all_gather");
  REQUIRE(run.ok());
  CHECK(run->op == CollectiveOp::all_gather);
  CHECK(run->ranks == 2);
  CHECK(run->gpu == "NVIDIA H100 80GB HBM3");
  REQUIRE(run->seconds.size() == 2);  // nothing is learnt from 0 bytes
  CHECK(run->seconds[0].first == 1024);
  CHECK(run->seconds[0].second == Approx(10e-6));
  CHECK(run->seconds[1].second == Approx(20e-6));
  const auto named = read_nccl_tests(std::string("$ ./build/all_reduce_perf -g 2\n") + kLog, "");
  REQUIRE(named.ok());
  CHECK(named->op == CollectiveOp::all_reduce);
}

constexpr const char* kJson = R"({"version":2,"args":["/opt/sendrecv_perf","-g","4"],
"config":{"devices":[
 {"rank":0,"device_info":"NVIDIA H200"},{"rank":1,"device_info":"NVIDIA H200"},
 {"rank":2,"device_info":"NVIDIA H200"},{"rank":3,"device_info":"NVIDIA H200"}]},
"results":[
 {"size":4096,"count":1024,"type":"float","redop":"sum","root":"-1",
  "out_of_place":{"time":8.0,"alg_bw":0.5,"bus_bw":0.5,"nwrong":0},"in_place":{"time":7.0}},
 {"size":8192,"count":2048,"type":"float","redop":"sum","root":"-1",
  "out_of_place":null,"in_place":{"time":16.0,"alg_bw":0.5,"bus_bw":0.5,"nwrong":null}}]})";

TEST_CASE("a JSON file of nccl-tests as tables of a profile") {
  const auto run = read_nccl_tests(kJson, "");
  REQUIRE(run.ok());
  CHECK(run->op == CollectiveOp::ring_exchange);
  CHECK(run->ranks == 4);
  CpuProfile profile;
  profile.device = "cuda";
  CpuTables one;
  one.kernels["add"] = GridTable::make({{1}}, {1e-9}).value();
  profile.tables = {one};
  REQUIRE(add_to_profile(*run, profile).ok());
  REQUIRE(profile.tables.size() == 2);
  const CpuTables& four = profile.of(4);
  CHECK(four.ranks == 4);
  CHECK(four.kernels.contains("add"));
  CHECK(four.seconds(cpu_work(CollectiveOp::ring_exchange, 8192)).value() == Approx(16e-6));
  CHECK(four.seconds(cpu_message(4096)).value() == Approx(8e-6));
  CHECK(profile.of(1).kernels.count("send") == 0);
}

TEST_CASE("what is no result of nccl-tests") {
  CHECK_FALSE(read_nccl_tests("", "all_reduce").ok());
  CHECK_FALSE(read_nccl_tests("{}", "all_reduce").ok());
  const auto other = read_nccl_tests(kLog, "broadcast");
  REQUIRE_FALSE(other.ok());
  CHECK(other.error().kind == ErrorKind::input);
}

}  // namespace
}  // namespace meshplan
