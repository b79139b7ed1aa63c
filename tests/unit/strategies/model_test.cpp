// SPDX-License-Identifier: Apache-2.0
#include "strategies/model/model.hpp"

#include "tests/unit/catch.hpp"

using namespace meshplan;

TEST_CASE("every bundled model is read, and has the number of parameters that its file states") {
  // The reader refuses a file whose `parameters` differ from the count of its shape.
  REQUIRE(model_names().size() > 60);
  for (const auto& name : model_names()) {
    const auto model = find_model(name);
    INFO(name << (model.ok() ? "" : render(model.error())));
    REQUIRE(model.ok());
    CHECK(model->id == name);
    CHECK_FALSE(model->source.empty());
    CHECK(active_parameters(*model) <= parameters(*model));
  }
}

TEST_CASE("models by their names on the Hugging Face hub") {
  CHECK(find_model("Qwen/Qwen2.5-7B")->id == "qwen2.5-7b");
  CHECK(find_model("meta-llama/Meta-Llama-3-8B")->id == "llama3-8b");
  CHECK(find_model("meta-llama/Llama-2-70b-hf")->id == "llama2-70b");
  CHECK(find_model("openai/gpt-oss-120b")->id == "gpt-oss-120b");
  CHECK(find_model("nobody/nothing").error().kind == ErrorKind::usage);
  CHECK_FALSE(find_model("./qwen2.5-7b").ok());
  CHECK_FALSE(find_model("a/b/qwen2.5-7b").ok());
  // Where a file's source names one, that leads to it.
  for (const auto& name : model_names()) {
    const Model model = *find_model(name);
    const std::string begin = "config.json of ";
    const size_t from = model.source.find(begin);
    if (from == std::string::npos) continue;
    const std::string rest = model.source.substr(from + begin.size());
    const std::string hub = rest.substr(0, rest.find_first_of(" ;:"));
    if (hub.find('/') == std::string::npos) continue;
    INFO(name << " by " << hub);
    const auto found = find_model(hub);
    REQUIRE(found.ok());
    CHECK(found->id == name);
  }
}

TEST_CASE("parameter counts equal the published totals to the parameter") {
  const std::vector<std::pair<const char*, int64_t>> totals = {{"llama3-8b", 8030261248},
                                                               {"llama3-70b", 70553706496},
                                                               {"llama3-405b", 405853388800},
                                                               {"llama2-7b", 6738415616},
                                                               {"llama2-70b", 68976648192},
                                                               {"llama-65b", 65285660672},
                                                               {"mistral-7b", 7241732096},
                                                               {"mixtral-8x7b", 46702792704},
                                                               {"mixtral-8x22b", 140620634112},
                                                               {"qwen2-7b", 7615616512},
                                                               {"qwen3-8b", 8190735360},
                                                               {"qwen3-32b", 32762123264},
                                                               {"qwen3-30b-a3b", 30532122624},
                                                               {"qwen3-235b-a22b", 235093634560},
                                                               {"deepseek-v3", 671026419200},
                                                               {"deepseek-v2", 235741434880},
                                                               {"gpt2", 124439808},
                                                               {"gpt2-xl", 1557611200},
                                                               {"gpt-neox-20b", 20554567680},
                                                               {"bloom-176b", 176247271424},
                                                               {"falcon-7b", 6921720704},
                                                               {"falcon-40b", 41303293952},
                                                               {"gemma-7b", 8537680896},
                                                               {"gemma2-9b", 9241705984},
                                                               {"gpt-oss-20b", 20914757184},
                                                               {"gpt-oss-120b", 116829156672},
                                                               {"opt-13b", 12853473280},
                                                               {"mpt-7b", 6649286656},
                                                               {"smollm3-3b", 3075098624},
                                                               {"deepseek-v2-lite", 15706484224}};
  for (const auto& [name, total] : totals) {
    INFO(name);
    CHECK(parameters(*find_model(name)) == total);
  }
}

TEST_CASE("totals that are published in round numbers are met within a percent") {
  const std::vector<std::pair<const char*, double>> totals = {
      {"kimi-k2", 1.03e12},
      {"glm-4.5", 355e9},
      {"glm-4.5-air", 106e9},
      {"nemotron-3-ultra-550b-a55b", 550e9}};
  for (const auto& [name, total] : totals) {
    INFO(name);
    CHECK(static_cast<double>(parameters(*find_model(name))) == Approx(total).epsilon(0.01));
  }
}

TEST_CASE("Megatron GPT sizes follow the paper's formula, plus the final norm") {
  // SC'21, eq. 2: P = 12 L h^2 (1 + 13/12h + (V+s)/12Lh); the final LayerNorm (2h) is not in it.
  const std::vector<std::tuple<const char*, int64_t, int64_t>> shapes = {{"gpt-1.7b", 24, 2304},
                                                                         {"gpt-18b", 40, 6144},
                                                                         {"gpt-145b", 80, 12288},
                                                                         {"gpt-1t", 128, 25600}};
  for (const auto& [name, l, h] : shapes) {
    INFO(name);
    CHECK(parameters(*find_model(name)) ==
          12 * l * h * h + 13 * l * h + (51200 + 2048) * h + 2 * h);
  }
}

TEST_CASE("active parameters of mixtures count the experts that a token visits") {
  // Mixtral 8x7B: 6 of 8 experts of 3 * 4096 * 14336 are not visited, in 32 layers.
  const Model mixtral = *find_model("mixtral-8x7b");
  CHECK(parameters(mixtral) - active_parameters(mixtral) == int64_t{32} * 6 * 3 * 4096 * 14336);
  CHECK(expert_parameters_of_layer(mixtral) == int64_t{8} * 3 * 4096 * 14336);
  CHECK(active_parameters(*find_model("qwen3-235b-a22b")) / 10000000 == 2219);  // 22.19 B
  CHECK(active_parameters(*find_model("deepseek-v3")) / 10000000 == 3755);      // 37.55 B
  const Model deepseek = *find_model("deepseek-v3");
  CHECK(kind_of(deepseek, 2) == LayerKind::dense);
  CHECK(kind_of(deepseek, 3) == LayerKind::moe);
  CHECK(layers_of(deepseek, LayerKind::dense) == 3);
  const Model maverick = *find_model("llama4-maverick");
  CHECK(layers_of(maverick, LayerKind::moe) == 24);
  CHECK(kind_of(maverick, 0) == LayerKind::dense);
}

TEST_CASE("parts of a model sum to the whole") {
  for (const char* name : {"llama3-8b", "deepseek-v3", "gpt2", "gemma2-9b", "gpt-oss-20b"}) {
    const Model m = *find_model(name);
    int64_t sum = embedding_parameters(m) + head_parameters(m);
    for (int64_t layer = 0; layer < m.layers; ++layer)
      sum += parameters_of_layer(m, kind_of(m, layer));
    CHECK(sum == parameters(m));
  }
}

TEST_CASE("hybrids are taken as transformers of nearly their published weights") {
  const Model nano = *find_model("nemotron-3-nano-30b-a3b");  // 31.6 B, 3.6 B active
  CHECK(static_cast<double>(parameters(nano)) == Approx(31.6e9).epsilon(0.01));
  CHECK(static_cast<double>(active_parameters(nano)) == Approx(3.6e9).epsilon(0.03));
  CHECK(nano.sublayers == 52);
  CHECK(nano.layers == 23);
  // State of 128: twice 1,024. Of 23 layers every third has attention proper; the other 16 have the
  // 23 scans.
  CHECK(nano.window == 2048 * 23 / 16);
  CHECK_FALSE(nano.assumptions.empty());
  const Model super = *find_model("nemotron-3-super-120b-a12b");
  CHECK(static_cast<double>(parameters(super)) == Approx(120.6e9).epsilon(0.01));
  CHECK(static_cast<double>(active_parameters(super)) == Approx(12.7e9).epsilon(0.01));
  CHECK(expert_hidden(super) == 1024);
}

TEST_CASE("FLOPs per token by hand, in every convention") {
  // Llama 3 8B at 8192 tokens. Products: all but the input table, 8030261248 - 128256 * 4096 =
  // 7504924672. Attention, whole square, forward and backward: 12 * L * a * d * s
  // = 12 * 32 * 4096 * 8192 = 12884901888; the causal half is 6442450944.
  const Model m = *find_model("llama3-8b");
  CHECK(model_flops_per_token(m, 8192) == 6.0 * 7504924672 + 6442450944);
  CHECK(model_flops_per_token(m, 8192, FlopsConvention::full_square) ==
        6.0 * 7504924672 + 12884901888);
  CHECK(model_flops_per_token(m, 8192, FlopsConvention::all_parameters) ==
        6.0 * 8030261248 + 12884901888);
  CHECK(model_flops_per_token(m, 8192, FlopsConvention::parameters_only) == 6.0 * 7504924672);
}

TEST_CASE("FLOPs: with_recompute is SC'21's formula but for norms and biases") {
  // 96 B s l h^2 (1 + s/6h + V/16lh) per iteration; here per token, 175B shape.
  const double l = 96, h = 12288, s = 2048, v = 51200;
  const double paper = 96 * l * h * h * (1 + s / (6 * h) + v / (16 * l * h));
  CHECK(model_flops_per_token(*find_model("gpt-175b"), 2048, FlopsConvention::with_recompute) ==
        Approx(paper).epsilon(1e-4));
}

TEST_CASE("FLOPs: a tied head counts as a product, a window limits what is seen") {
  const Model gpt2 = *find_model("gpt2");  // table used once as head: 124439808 - 1024 * 768
  CHECK(model_flops_per_token(gpt2, 1024, FlopsConvention::parameters_only) ==
        6.0 * (124439808 - 1024 * 768));
  Model windowed = *find_model("mistral-7b");
  windowed.full_attention_every = 0;
  const double none = model_flops_per_token(windowed, 8192, FlopsConvention::parameters_only);
  // Window 4096 of 8192 tokens: on average 4096 - 4096^2 / (2 * 8192) = 3072 keys, not 4096.
  CHECK(model_flops_per_token(windowed, 8192) - none == 3.0 * 4 * 32 * 4096 * 3072);
  windowed.full_attention_every = 2;  // every second layer sees 4096 on average
  CHECK(model_flops_per_token(windowed, 8192) - none == 3.0 * 4 * 16 * 4096 * (3072 + 4096));
}

TEST_CASE("names of FLOPs conventions are read back, and a misspelt one is answered") {
  for (const auto convention : {FlopsConvention::causal, FlopsConvention::with_recompute})
    CHECK(*flops_convention_from(to_text(convention)) == convention);
  CHECK(flops_convention_from("casual").error().hint == "did you mean 'causal'?");
}

TEST_CASE(
    "models are found by name in any case, by alias and by size; misspelt ones are answered") {
  CHECK(find_model("LLAMA3-70B")->id == "llama3-70b");
  CHECK(find_model("Llama-3.1-405B")->id == "llama3-405b");
  const auto misspelt = find_model("lama3-70b");
  REQUIRE_FALSE(misspelt.ok());
  CHECK(misspelt.error().kind == ErrorKind::usage);
  CHECK(misspelt.error().hint == "did you mean 'llama3-70b'?");
  CHECK(find_model("").error().kind == ErrorKind::usage);
}

TEST_CASE("a size makes a Llama-shaped model and says which shape it took") {
  const Model published = *find_model("70B");
  CHECK(parameters(published) == 70553706496);
  REQUIRE(published.assumptions.size() == 1);
  CHECK(published.assumptions[0].find("Llama 3 70B") != std::string::npos);
  for (const std::string size : {"350M", "1.3b", "20B", "175B", "1T"}) {
    const Model m = *find_model(size);
    const double unit = size.back() == 'M' ? 1e6 : size.back() == 'T' ? 1e12 : 1e9;
    INFO(m.assumptions[0]);
    CHECK(static_cast<double>(parameters(m)) == Approx(std::stod(size) * unit).epsilon(0.06));
    CHECK(m.hidden % m.heads == 0);
    CHECK(m.heads % m.kv_heads == 0);
  }
  CHECK(find_model("1M").error().kind == ErrorKind::usage);
  CHECK(find_model("99T").error().kind == ErrorKind::usage);
}
