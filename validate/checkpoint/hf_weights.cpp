// SPDX-License-Identifier: Apache-2.0
#include "validate/checkpoint/hf_weights.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "strategies/program/lower.hpp"
#include "topologies/base/files.hpp"

namespace meshplan {
namespace {

using Json = nlohmann::json;

bool exists(const std::string& path) {
  struct stat facts {};
  return ::stat(path.c_str(), &facts) == 0;
}
bool is_folder(const std::string& path) {
  struct stat facts {};
  return ::stat(path.c_str(), &facts) == 0 && S_ISDIR(facts.st_mode);
}

Result<std::vector<std::string>> files_of(const std::string& path) {
  if (!is_folder(path)) return std::vector{path};
  const std::string index = path + "/model.safetensors.index.json";
  if (!exists(index)) return std::vector{path + "/model.safetensors"};
  MESHPLAN_TRY(const std::string text, read_file(index));
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object()) {
    return Diagnostic{
        .kind = ErrorKind::input, .message = "the index has no weight_map", .where = index};
  }
  std::vector<std::string> files;
  for (const auto& [tensor, file] : json["weight_map"].items()) {
    if (!file.is_string()) continue;
    const std::string name = path + "/" + file.get<std::string>();
    if (std::find(files.begin(), files.end(), name) == files.end()) files.push_back(name);
  }
  return files;
}

}  // namespace

Result<HfWeights> HfWeights::open(const std::string& path) {
  HfWeights out;
  MESHPLAN_TRY(const std::vector<std::string> files, files_of(path));
  for (const std::string& name : files) {
    MESHPLAN_TRY(SafetensorsFile file, SafetensorsFile::open(name));
    for (const auto& [tensor, info] : file.tensors()) out.file_of_[tensor] = out.files_.size();
    out.files_.push_back(std::move(file));
  }
  return out;
}

Status HfWeights::fill(const TensorPart& part, const FlatRange& range, float* data) const {
  const auto found = file_of_.find(part.tensor);
  if (found == file_of_.end()) {
    return Diagnostic{.kind = ErrorKind::input,
                      .message = "the checkpoint lacks a tensor",
                      .where = files_.front().path(),
                      .value = part.tensor};
  }
  const SafetensorsFile& file = files_[found->second];
  const TensorInfo& info = file.tensors().at(part.tensor);
  const bool vector = info.shape.size() == 1 && (part.tensor_rows == 1 || part.tensor_cols == 1);
  const bool same = info.elements() == part.tensor_rows * part.tensor_cols &&
                    (vector || (info.shape.size() == 2 && info.shape[0] == part.tensor_rows));
  if (!same) {
    return Diagnostic{.kind = ErrorKind::input,
                      .message = "a tensor of the checkpoint has another shape than the model's",
                      .where = file.path(),
                      .value = part.tensor};
  }
  Status status = Done{};
  for_each_run(part, range, [&](int64_t element, int64_t offset, int64_t count) {
    if (status.ok()) status = file.read(part.tensor, element, count, data + offset);
  });
  return status;
}

Result<std::string> llama_config_json(const Model& model) {
  if (model.moe || model.mla || model.norm != NormType::rms || model.positions != Positions::rope ||
      model.activation != ActivationType::swiglu || model.qk_norm || model.window > 0) {
    return Diagnostic{.kind = ErrorKind::usage,
                      .message = "only Llama-shaped models are written as LlamaForCausalLM"};
  }
  Json json = {{"architectures", {"LlamaForCausalLM"}},
               {"model_type", "llama"},
               {"hidden_size", model.hidden},
               {"intermediate_size", model.intermediate},
               {"num_hidden_layers", model.layers},
               {"num_attention_heads", model.heads},
               {"num_key_value_heads", model.kv_heads},
               {"head_dim", model.head_dim},
               {"vocab_size", model.vocabulary},
               {"max_position_embeddings", model.max_positions > 0 ? model.max_positions : 2048},
               {"rms_norm_eps", model.norm_epsilon},
               {"rope_theta", model.rope_theta},
               {"tie_word_embeddings", model.tied_embeddings},
               {"attention_bias", model.attention_bias},
               {"mlp_bias", model.mlp_bias},
               {"hidden_act", "silu"},
               {"torch_dtype", "float32"}};
  if (model.rope_scaling == RopeScaling::llama3) {
    json["rope_scaling"] = {{"rope_type", "llama3"},
                            {"factor", model.rope_factor},
                            {"low_freq_factor", model.rope_low_freq_factor},
                            {"high_freq_factor", model.rope_high_freq_factor},
                            {"original_max_position_embeddings", model.rope_original_positions}};
  }
  return json.dump(2) + "\n";
}

Status write_hf_folder(const Model& model, const WeightSource& weights, const std::string& folder) {
  MESHPLAN_TRY(const std::string config, llama_config_json(model));
  if (::mkdir(folder.c_str(), 0777) != 0 && errno != EEXIST) {
    return Diagnostic{.kind = ErrorKind::input, .message = std::strerror(errno), .where = folder};
  }
  // One rank of a plan without parallelism holds every tensor whole: its parts are the list.
  Plan plan;
  plan.compute = DType::fp32;
  Trainer trainer;
  trainer.pad_vocabulary = false;
  MESHPLAN_TRY(const Program program, lower(model, plan, {1, 1}, trainer));
  MESHPLAN_TRY(const RankPlace place, place_of_rank(plan, trainer.rank_order, 0));
  std::vector<std::vector<float>> data;
  std::vector<TensorOut> tensors;
  for (const BlockRun& run : program.stages.front().chunks.front().runs) {
    const Block& block = program.blocks[static_cast<size_t>(run.block)];
    for (int i = 0; i < run.count; ++i) {
      const int layer = run.first_layer < 0 ? -1 : run.first_layer + i;
      for (size_t flat = 0; flat < block.states.size(); ++flat) {
        for (const TensorPart& part : parts_of(program, block, flat, place, layer)) {
          const int64_t elements = part.tensor_rows * part.tensor_cols;
          std::vector<float>& whole = data.emplace_back(static_cast<size_t>(elements));
          MESHPLAN_CHECK(weights.fill(part, {part.flat_offset, elements}, whole.data()));
          std::vector<int64_t> shape = {part.tensor_rows, part.tensor_cols};
          if (part.tensor_rows == 1) shape = {part.tensor_cols};
          if (part.tensor_cols == 1) shape = {part.tensor_rows};
          tensors.push_back({part.tensor, std::move(shape), whole});
        }
      }
    }
  }
  MESHPLAN_CHECK(write_safetensors(folder + "/model.safetensors", tensors, {{"format", "pt"}}));
  return write_file(folder + "/config.json", config);
}

}  // namespace meshplan
