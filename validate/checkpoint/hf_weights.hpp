// SPDX-License-Identifier: Apache-2.0
// Weights from and to a folder as HF's transformers keeps it: config.json and model.safetensors, or
// several files and model.safetensors.index.json.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "strategies/model/model.hpp"
#include "validate/checkpoint/safetensors.hpp"
#include "validate/execute/initial.hpp"

namespace meshplan {

class HfWeights : public WeightSource {
 public:
  /// folder: with model.safetensors or its index; or a .safetensors file. Error (input).
  static Result<HfWeights> open(const std::string& path);
  /// Error (input): a tensor is missing or has another shape.
  Status fill(const TensorPart& part, const FlatRange& range, float* data) const override;

 private:
  std::vector<SafetensorsFile> files_;
  std::map<std::string, size_t> file_of_;
};

/// config.json of a Llama-shaped model (LlamaForCausalLM) as text. Error (usage): the model is not.
Result<std::string> llama_config_json(const Model& model);

/// Writes config.json and model.safetensors (fp32) of a Llama-shaped model, as transformers reads
/// them. Errors (usage): the model is not; (input): the folder can't be written.
Status write_hf_folder(const Model& model, const WeightSource& weights, const std::string& folder);

}  // namespace meshplan
