// SPDX-License-Identifier: Apache-2.0
// Against the world outside: HF's LlamaForCausalLM on the same checkpoint. The golden files and the
// script that makes them stand in tests/golden.
#include <cmath>
#include <mutex>

#include "strategies/model/hf_config.hpp"
#include "tests/unit/catch.hpp"
#include "tests/unit/validate/parity.hpp"
#include "topologies/base/files.hpp"
#include "validate/checkpoint/hf_weights.hpp"

namespace meshplan {
namespace {

constexpr int64_t kLength = 32;

class GivenTokens : public TokenSource {
 public:
  explicit GivenTokens(std::vector<float> tokens) : tokens_(std::move(tokens)) {}
  Status read(int64_t, int64_t index, int64_t length, int32_t* tokens) const override {
    for (int64_t i = 0; i <= length; ++i) {
      tokens[i] = static_cast<int32_t>(tokens_[static_cast<size_t>(index * (length + 1) + i)]);
    }
    return Done{};
  }

 private:
  std::vector<float> tokens_;
};

double relative_l2(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  double difference = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
    norm += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(difference / norm);
}

void check(const std::string& name, const Plan& plan) {
  INFO(name << " " << to_text(plan));
  const std::string folder = data_root() + "/tests/golden/" + name;
  const Result<Model> model = read_hf_config(folder + "/config.json");
  if (!model.ok()) FAIL(render(model.error()));
  const Result<HfWeights> weights = HfWeights::open(folder);
  if (!weights.ok()) FAIL(render(weights.error()));
  const Result<SafetensorsFile> golden = SafetensorsFile::open(folder + "/golden.safetensors");
  REQUIRE(golden.ok());
  const GivenTokens tokens(golden->read("tokens").value());
  const Result<Program> program = lower(*model, plan, {kLength, 2}, test::fp32_trainer());
  REQUIRE(program.ok());

  std::vector<float> logits(golden->read("logits")->size());
  std::mutex mutex;
  ThreadRun run{.collect = true, .weights = &*weights};
  run.options.observe = [&](const RankPlace& place, const Buffer& buffer, int64_t micro_batch,
                            const float* data) {
    if (buffer.name != "logits" || plan.cp > 1) return;
    const std::lock_guard lock(mutex);
    const int64_t vocabulary = model->vocabulary;
    const int64_t first = place.tp * buffer.cols;
    for (int64_t r = 0; r < buffer.rows; ++r) {
      const int64_t row = (micro_batch * plan.dp() + place.data) * buffer.rows + r;
      for (int64_t c = 0; c < buffer.cols && first + c < vocabulary; ++c) {
        logits[static_cast<size_t>(row * vocabulary + first + c)] = data[r * buffer.cols + c];
      }
    }
  };
  const Result<RunReport> report = run_on_threads(*program, run, tokens);
  if (!report.ok()) FAIL(render(report.error()));
  CHECK(report->steps[0].loss == Approx(golden->read("loss").value()[0]).epsilon(1e-6));
  if (plan.cp == 1) CHECK(relative_l2(logits, golden->read("logits").value()) < 1e-5);
  size_t compared = 0;
  for (const auto& [tensor, info] : golden->tensors()) {
    if (tensor.rfind("gradient.", 0) != 0) continue;
    INFO(tensor);
    const auto found = report->gradients.find(tensor.substr(9));
    REQUIRE(found != report->gradients.end());
    CHECK(relative_l2(found->second, golden->read(tensor).value()) < 1e-5);
    ++compared;
  }
  CHECK(compared == report->gradients.size());
}

TEST_CASE("logits, loss and gradients are those of HF's LlamaForCausalLM") {
  for (const char* name : {"llama-plain", "llama-3.1"}) {
    check(name, test::fp32_plan());
    Plan plan = test::fp32_plan();
    plan.tp = plan.dp_shard = 2;
    plan.zero = 1;
    check(name, plan);
    plan = test::fp32_plan();
    plan.pp = plan.cp = 2;
    check(name, plan);
  }
}

TEST_CASE("a model written as HF's config.json is read back the same") {
  Model model = test::small_llama();
  model.rope_scaling = RopeScaling::llama3;
  model.rope_factor = 4;
  model.rope_low_freq_factor = 2;
  model.rope_high_freq_factor = 8;
  model.rope_original_positions = 128;
  const Result<std::string> text = llama_config_json(model);
  REQUIRE(text.ok());
  const std::string path = std::string(P_tmpdir) + "/meshplan-config-test.json";
  REQUIRE(write_file(path, *text).ok());
  const Result<Model> back = read_hf_config(path);
  if (!back.ok()) FAIL(render(back.error()));
  CHECK(back->hidden == model.hidden);
  CHECK(back->kv_heads == model.kv_heads);
  CHECK(back->head_dim == model.head_dim);
  CHECK(back->vocabulary == model.vocabulary);
  CHECK(back->rope_scaling == RopeScaling::llama3);
  CHECK(back->rope_high_freq_factor == 8);
  CHECK(parameters(*back) == parameters(model));
  std::remove(path.c_str());
  CHECK_FALSE(llama_config_json(test::small_moe()).ok());
}

}  // namespace
}  // namespace meshplan
