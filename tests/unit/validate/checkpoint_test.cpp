// SPDX-License-Identifier: Apache-2.0
// Saving, resuming bit for bit, resharding to another plan, and what can go wrong on the disk.
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "profiler/comm/thread_world.hpp"
#include "tests/unit/catch.hpp"
#include "tests/unit/validate/parity.hpp"
#include "validate/checkpoint/checkpoint.hpp"

namespace meshplan {
namespace {

namespace fs = std::filesystem;

/// A folder of its own for the test, removed at its end.
struct Folder {
  std::string path;
  Folder() {
    std::string pattern = std::string(P_tmpdir) + "/meshplan-checkpoint-XXXXXX";
    REQUIRE(mkdtemp(pattern.data()) != nullptr);
    path = pattern;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { fs::remove_all(path); }
};

RunOptions options() {
  RunOptions out;
  out.initial.deviation = 0.1;
  out.routing_group = 4;
  return out;
}

/// Trains from step `from` (a checkpoint if > 0) up to step `to`, saves at the end; all losses.
Result<std::vector<double>> train(const Model& model, const Plan& plan, int64_t from, int64_t to,
                                  const std::string& folder) {
  MESHPLAN_TRY(const Program program,
               lower(model, plan, {test::kSequence, test::kSequences}, test::fp32_trainer()));
  const RandomTokens tokens(model.vocabulary, 5);
  const RunOptions with = options();
  std::vector<double> losses;
  const auto rank = [&](World& world) -> Status {
    std::unique_ptr<RankRun> run;
    if (from == 0) {
      MESHPLAN_TRY(run, RankRun::make(world, program, with, tokens));
    } else {
      MESHPLAN_TRY(const LatestCheckpoint latest, latest_checkpoint(folder));
      MESHPLAN_TRY(const Checkpoint checkpoint, Checkpoint::open(latest.path));
      if (checkpoint.next_step() != from) return Diagnostic{.message = "wrong step"};
      MESHPLAN_TRY(run, RankRun::make(world, program, with, tokens, &checkpoint));
      MESHPLAN_CHECK(checkpoint.restore(*run));
    }
    while (run->next_step() < to) {
      MESHPLAN_TRY(const StepResult step, run->step());
      if (world.rank() == 0) losses.push_back(step.loss);
    }
    return save_checkpoint(world, *run, folder);
  };
  MESHPLAN_CHECK(run_ranks(static_cast<int>(plan.world()), {.timeout_s = 20}, rank));
  return losses;
}

std::vector<double> losses_of(const Model& model, const Plan& plan, int64_t from, int64_t to,
                              const std::string& folder) {
  const auto losses = train(model, plan, from, to, folder);
  if (!losses.ok()) FAIL(render(losses.error()));
  return *losses;
}

Plan sharded(int tp, int dp, int zero) {
  Plan plan = test::fp32_plan();
  plan.tp = tp;
  plan.dp_shard = dp;
  plan.zero = zero;
  return plan;
}

TEST_CASE("a resumed run goes on bit for bit") {
  for (const int zero : {0, 1, 3}) {
    const Plan plan = sharded(2, 2, zero);
    const Folder straight, halves;
    const std::vector<double> all = losses_of(test::small_llama(), plan, 0, 6, straight.path);
    losses_of(test::small_llama(), plan, 0, 3, halves.path);
    const std::vector<double> rest = losses_of(test::small_llama(), plan, 3, 6, halves.path);
    CHECK(rest == std::vector<double>(all.begin() + 3, all.end()));
  }
}

TEST_CASE("a run resumes under another plan") {
  Plan experts = sharded(1, 4, 3);
  experts.ep = 2;
  Plan pipeline = sharded(2, 2, 1);
  pipeline.pp = 2;
  pipeline.ep = 4;
  for (const bool moe : {false, true}) {
    const Model model = moe ? test::small_moe() : test::small_llama();
    const Plan first = moe ? experts : sharded(1, 4, 3);
    Plan second = pipeline;
    if (!moe) second.ep = 1;
    const Folder straight, changed;
    const std::vector<double> all = losses_of(model, first, 0, 6, straight.path);
    losses_of(model, first, 0, 3, changed.path);
    const std::vector<double> rest = losses_of(model, second, 3, 6, changed.path);
    for (size_t i = 0; i < rest.size(); ++i) {
      CHECK(rest[i] == Approx(all[i + 3]).epsilon(1e-5));
    }
    const std::vector<double> back = losses_of(model, first, 6, 7, changed.path);
    const std::vector<double> expected = losses_of(model, first, 6, 7, straight.path);
    CHECK(back[0] == Approx(expected[0]).epsilon(1e-5));
  }
}

TEST_CASE("a truncated checkpoint is named, and the one before it resumes") {
  const Plan plan = sharded(1, 2, 1);
  const Folder folder;
  losses_of(test::small_llama(), plan, 0, 2, folder.path);
  losses_of(test::small_llama(), plan, 2, 4, folder.path);
  const std::string file = folder.path + "/step-00000004/rank-00001.safetensors";
  fs::resize_file(file, fs::file_size(file) - 100);
  const Result<Checkpoint> broken = Checkpoint::open(folder.path + "/step-00000004");
  REQUIRE_FALSE(broken.ok());
  CHECK(broken.error().kind == ErrorKind::input);
  CHECK(broken.error().where == file);
  CHECK(broken.error().message.find("truncated") != std::string::npos);
  const Result<LatestCheckpoint> latest = latest_checkpoint(folder.path);
  REQUIRE(latest.ok());
  CHECK(latest->path == folder.path + "/step-00000002");
  CHECK(latest->skipped.size() == 1);
  losses_of(test::small_llama(), plan, 2, 3, folder.path);
}

TEST_CASE("a disk that fills up while saving: a clear error, the last checkpoint resumes") {
  const Plan plan = sharded(1, 2, 1);
  const Folder folder;
  losses_of(test::small_llama(), plan, 0, 2, folder.path);
  // writes beyond the limit fail, as they do on a full disk
  struct rlimit before {};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const struct rlimit small { 20000, before.rlim_max };
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  const auto failed = train(test::small_llama(), plan, 2, 4, folder.path);
  REQUIRE(setrlimit(RLIMIT_FSIZE, &before) == 0);
  std::signal(SIGXFSZ, handler);
  REQUIRE_FALSE(failed.ok());
  const std::string text = render(failed.error());
  CHECK(text.find("can't write") != std::string::npos);
  CHECK(text.find("step-00000004.tmp/rank-0000") != std::string::npos);
  const Result<LatestCheckpoint> latest = latest_checkpoint(folder.path);
  REQUIRE(latest.ok());
  CHECK(latest->path == folder.path + "/step-00000002");
  CHECK(latest->skipped.front().find("not finished") != std::string::npos);
  losses_of(test::small_llama(), plan, 2, 4, folder.path);
  CHECK(latest_checkpoint(folder.path)->path == folder.path + "/step-00000004");
}

TEST_CASE("safetensors: damaged files are refused with a reason") {
  const Folder folder;
  const std::string path = folder.path + "/x.safetensors";
  const std::vector<float> data = {1, 2, 3, 4, 5, 6};
  REQUIRE(write_safetensors(path, {{"a", {2, 3}, data}}, {{"who", "test"}}).ok());
  const Result<SafetensorsFile> good = SafetensorsFile::open(path);
  REQUIRE(good.ok());
  CHECK(good->read("a").value() == data);
  CHECK(good->metadata().at("who") == "test");
  std::vector<float> two(2);
  REQUIRE(good->read("a", 2, 2, two.data()).ok());
  CHECK(two == std::vector<float>{3, 4});
  CHECK_FALSE(good->read("a", 5, 2, two.data()).ok());
  CHECK_FALSE(good->read("b").ok());
  const auto error_of = [&](const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
    const Result<SafetensorsFile> bad = SafetensorsFile::open(path);
    REQUIRE_FALSE(bad.ok());
    return bad.error().message;
  };
  const auto file = [](std::string header) {
    std::string length(8, '\0');
    length[0] = static_cast<char>(header.size());
    return length + header;
  };
  CHECK(error_of("abc") == "the file ends too early");
  CHECK(error_of(std::string("\xff\0\0\0\0\0\0\0{}", 10)) == "the file ends within its header");
  CHECK(error_of(file("[1]")) == "the header is no JSON object");
  CHECK(error_of(file(R"({"a":{"dtype":"F32","shape":[2]}})")).find("lacks") != std::string::npos);
  CHECK(error_of(file(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})"))
            .find("do not agree") != std::string::npos);
  CHECK(error_of(file(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})"))
            .find("truncated") != std::string::npos);
  // the two 16-bit types: 1.5 and -2
  std::ofstream(path, std::ios::binary)
      << file(R"({"h":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},)"
              R"("b":{"dtype":"BF16","shape":[2],"data_offsets":[4,8]}})")
      << std::string("\x00\x3e\x00\xc0\xc0\x3f\x00\xc0", 8);
  const Result<SafetensorsFile> halves = SafetensorsFile::open(path);
  REQUIRE(halves.ok());
  CHECK(halves->read("h").value() == std::vector<float>{1.5F, -2});
  CHECK(halves->read("b").value() == std::vector<float>{1.5F, -2});
}

}  // namespace
}  // namespace meshplan
