// SPDX-License-Identifier: Apache-2.0
// HF config.json: what is read, and what is refused with which words.
#include <filesystem>
#include <fstream>

#include "strategies/model/columns.hpp"
#include "tests/unit/catch.hpp"

using namespace meshplan;
namespace fs = std::filesystem;

namespace {

Result<Model> read(const std::string& text) {
  const fs::path folder = fs::temp_directory_path() / "meshplan_model_test";
  fs::create_directories(folder);
  std::ofstream(folder / "config.json") << text;
  auto model = find_model(folder.string());
  fs::remove_all(folder);
  return model;
}

const std::string kShape =
    "\"hidden_size\": 64, \"num_hidden_layers\": 2, \"num_attention_heads\": 4,\n"
    "\"intermediate_size\": 128, \"vocab_size\": 100";

}  // namespace

TEST_CASE("config.json: defaults, null, and both spellings of RoPE") {
  const auto m = read("{\"model_type\": \"llama\",\n\t" + kShape +
                      ",\n\"num_key_value_heads\": null, \"rope_theta\": 5e5, \"unknown\": [1]}");
  REQUIRE(m.ok());
  CHECK(m->id == "meshplan_model_test");
  CHECK(m->kv_heads == 4);
  CHECK(m->head_dim == 16);
  CHECK(m->rope_theta == 5e5);
  CHECK_FALSE(m->tied_embeddings);
  const auto newer = read("{\"model_type\": \"llama\", " + kShape +
                          ", \"rope_parameters\": {\"rope_theta\": 7.0, \"rope_type\": \"llama3\","
                          "\"factor\": 8.0, \"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0,"
                          "\"original_max_position_embeddings\": 8192}}");
  REQUIRE(newer.ok());
  CHECK(newer->rope_theta == 7);
  CHECK(newer->rope_scaling == RopeScaling::llama3);
  CHECK(newer->rope_original_positions == 8192);
}

TEST_CASE("config.json: biases and norms that the file does not name") {
  const auto qwen2 = read("{\"model_type\": \"qwen2\", " + kShape + "}");
  REQUIRE(qwen2.ok());
  CHECK(qwen2->attention_bias);
  CHECK_FALSE(qwen2->attention_output_bias);
  CHECK(read("{\"model_type\": \"qwen3\", " + kShape + "}")->qk_norm);
  CHECK(read("{\"model_type\": \"gemma2\", " + kShape + "}")->norms_per_layer == 4);
  const auto nested = read(
      "{\"model_type\": \"llava\", \"text_config\": {\"model_type\": \"llama\", " + kShape + "}}");
  REQUIRE(nested.ok());
  CHECK(nested->layers == 2);
}

TEST_CASE("config.json: missing, truncated and malformed files name file and line") {
  CHECK(find_model("no/such/config.json").error().kind == ErrorKind::input);
  const auto cut = read("{\"model_type\": \"llama\",\n\"hidden_size\": 64, \"num_hid");
  REQUIRE_FALSE(cut.ok());
  CHECK(cut.error().kind == ErrorKind::input);
  CHECK(cut.error().where.find("config.json:2") != std::string::npos);
  CHECK(read("").error().kind == ErrorKind::input);
  CHECK(read("[1, 2]").error().kind == ErrorKind::input);
}

TEST_CASE("config.json: wrong values are refused at their line with the nearest fix") {
  const auto key = read("{\"model_type\": \"llama\",\n\"hiden_size\": 64}");
  CHECK(key.error().message == "key 'hidden_size' is missing");
  CHECK(key.error().hint == "did you mean 'hiden_size'?");
  const auto type = read("{\"model_type\": \"lama\",\n" + kShape + "}");
  CHECK(type.error().value == "lama");
  CHECK(type.error().hint == "did you mean 'llama'?");
  const auto heads =
      read("{\"model_type\": \"llama\", " + kShape + ",\n\"num_key_value_heads\": 3}");
  CHECK(heads.error().where.find("config.json:3: num_key_value_heads") != std::string::npos);
  const auto negative = read(
      "{\"model_type\": \"gpt2\", \"n_embd\": -8, \"n_layer\": 2,"
      "\"n_head\": 2, \"vocab_size\": 10}");
  CHECK(negative.error().value == "-8");
  const auto text = read(
      "{\"model_type\": \"gpt2\", \"n_embd\": \"wide\", \"n_layer\": 2,"
      "\"n_head\": 2, \"vocab_size\": 10}");
  CHECK(text.error().kind == ErrorKind::input);
  const auto experts = read("{\"model_type\": \"mixtral\", " + kShape +
                            ", \"num_local_experts\": 4, \"num_experts_per_tok\": 8}");
  CHECK(experts.error().hint == "at most 4");
}

TEST_CASE("columns: a bundled name fills what the row leaves open") {
  ModelColumns row;
  row.name = "Llama3-70B (L12 slice)";
  row.layers = 12;
  row.hidden = 8192;
  row.gated = true;
  const auto slice = model_from_columns(row);
  REQUIRE(slice.ok());
  CHECK(slice->id == "llama3-70b");
  CHECK(slice->layers == 12);
  CHECK(slice->kv_heads == 8);
  CHECK(slice->assumptions.front() == "cut to 12 of 80 layers");
  row = {.name = "DeepSeek-V3", .layers = 61, .hidden = 7168, .ffn = 18432, .experts = 256};
  CHECK(parameters(*model_from_columns(row)) == 671026419200);
  row = {.name = "Nemotron-3-Nano-30B-A3B", .layers = 52, .hidden = 2688, .gated = false};
  CHECK(model_from_columns(row)->layers == 23);
}

TEST_CASE("columns: without a bundled name the shape comes from columns and the size in the name") {
  ModelColumns row;
  row = {.name = "GPT 52B",
         .layers = 64,
         .hidden = 8192,
         .vocabulary = 50257,
         .ffn = 32768,
         .gated = false,
         .sequence = 1024};
  const auto gpt = model_from_columns(row);
  REQUIRE(gpt.ok());
  CHECK(gpt->heads == 64);
  // 12 L h^2 + 13 L h, token and position tables, final norm.
  CHECK(parameters(*gpt) ==
        int64_t{64} * (12 * 8192 * 8192LL + 13 * 8192) + (50257 + 1024) * 8192LL + 2 * 8192);
  row = {.name = "GPT 183B (BLOOM search)", .hidden = 14400, .vocabulary = 250000, .gated = false};
  const auto bloom = model_from_columns(row);
  CHECK(bloom->layers == 72);  // (183e9 - 250000 h) / 12 h^2 = 72.1
  CHECK(bloom->heads == 96);   // the largest multiple of 8 that cuts 14400 into heads of >= 128
  row = {.name = "32B dense"};
  CHECK(model_from_columns(row)->activation == ActivationType::swiglu);
}

TEST_CASE("columns: a row that tells no size, or contradicts itself, is refused by name") {
  ModelColumns row;
  row.name = "Llama-2 (size not quoted; 7B recalled)";
  const auto none = model_from_columns(row);
  REQUIRE_FALSE(none.ok());
  CHECK(none.error().kind == ErrorKind::input);
  CHECK(none.error().value == row.name);
  row = {.name = "x", .layers = 2, .hidden = 64, .heads = 8, .kv_heads = 3};
  CHECK_FALSE(model_from_columns(row).ok());
  row = {.name = "x", .layers = -2, .hidden = 64};
  CHECK_FALSE(model_from_columns(row).ok());
}
