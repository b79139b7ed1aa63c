// SPDX-License-Identifier: Apache-2.0
// What is trained? The shape of a decoder-only transformer, dense or mixture of experts, how many
// parameters each part of it has, and how many model FLOPs a token costs.
//
// Shapes follow HF's config.json; a parameter count equals the number of weights in the published
// checkpoint, without vocabulary padding (which is the trainer's) and without
// multi-token-prediction layers (which checkpoints keep apart).
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "strategies/program/op.hpp"
#include "topologies/base/result.hpp"

namespace meshplan {

enum class Positions : uint8_t { rope, learned, alibi, none };
enum class RopeScaling : uint8_t { none, linear, dynamic, llama3, yarn, longrope };
enum class Router : uint8_t { softmax, sigmoid };
enum class LayerKind : uint8_t { dense, moe };

/// Mixture-of-experts layers: a router, `experts` MLPs of which each token visits `top_k`, and an
/// MLP that every token visits.
struct Moe {
  int64_t experts = 0;
  int64_t top_k = 0;
  int64_t expert_intermediate = 0;  ///< width of one expert
  int64_t latent = 0;  ///< dimensions that a token is projected to before it is sent to its experts
                       ///< (LatentMoE of Nemotron 3); 0: experts read and write the hidden size
  int64_t shared_experts = 0;
  int64_t shared_intermediate = 0;  ///< width of all shared experts together; 0 = none
  bool shared_gate = false;         ///< sigmoid gate [hidden, 1] on the shared expert (Qwen2-MoE)
  int64_t first_dense_layers = 0;
  int64_t every = 1;  ///< after the first dense layers, layer i is MoE if (i + 1) % every == 0
  bool normalise_top_k = true;
  Router router = Router::softmax;
  bool router_bias = false;  ///< per expert: selection bias (DeepSeek-V3) or plain bias (gpt-oss)
  bool expert_bias = false;  ///< biases in the expert products (gpt-oss)
  int64_t groups = 0;        ///< expert groups of limited routing; 0 = unlimited
  int64_t groups_per_token = 0;  ///< of which a token may visit
};

/// Multi-head latent attention (DeepSeek-V2): low-rank q, joint low-rank k and v.
struct Mla {
  int64_t q_lora_rank = 0;  ///< 0: q is one full product
  int64_t kv_lora_rank = 0;
  int64_t qk_nope_head_dim = 0;
  int64_t qk_rope_head_dim = 0;
  int64_t v_head_dim = 0;
};

struct Model {
  std::string id, name, source;
  int64_t layers = 0;
  int64_t hidden = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;      ///< of q and k; with MLA: qk_nope + qk_rope
  int64_t intermediate = 0;  ///< width of the dense MLP (of one branch, if gated)
  int64_t vocabulary = 0;
  int64_t max_positions = 0;  ///< longest sequence it was made for; 0 = not stated

  bool tied_embeddings = false;
  bool lm_head_bias = false;
  bool embedding_norm = false;  ///< norm after the embedding (BLOOM)

  NormType norm = NormType::rms;
  bool norm_bias = false;          ///< LayerNorm with bias
  int64_t norms_per_layer = 2;     ///< 1: one norm before both branches; 4: also after (Gemma 2)
  bool parallel_residual = false;  ///< attention and MLP read the same input (GPT-NeoX, Falcon)
  double norm_epsilon = 1e-5;

  ActivationType activation = ActivationType::swiglu;
  std::optional<double> activation_limit;  ///< operands of a gated one are clamped to it
  bool attention_bias = false;             ///< on q, k and v
  bool attention_output_bias = false;      ///< on the output projection
  bool mlp_bias = false;
  bool qk_norm = false;          ///< norm over each head of q and k (Qwen3)
  bool attention_sinks = false;  ///< one learned logit a head (gpt-oss)

  Positions positions = Positions::rope;
  int64_t position_rows = 0;  ///< rows of the learned table; 0 unless learned
  double rope_theta = 10000;
  double rotary_fraction = 1;  ///< share of the head that is rotated
  RopeScaling rope_scaling = RopeScaling::none;
  double rope_factor = 1, rope_low_freq_factor = 1, rope_high_freq_factor = 4;
  int64_t rope_original_positions = 0;

  int64_t window = 0;  ///< sliding-window attention; 0 = full
  int64_t full_attention_every =
      0;  ///< with a window: layer i is full if (i + 1) % n == 0; 0: none

  std::optional<Moe> moe;
  std::optional<Mla> mla;
  int64_t sublayers = 0;   ///< hybrids with state-space layers: what the source counts as layers,
                           ///< see hf_hybrid.cpp; 0 = a plain transformer
  int64_t mtp_layers = 0;  ///< multi-token-prediction layers; not part of any count here

  std::vector<std::string> assumptions;  ///< what the source left open and how it was filled
};

/// Gated activations have two input branches (swiglu, geglu).
bool is_gated(ActivationType activation);

/// Head dimension of v: v_head_dim with MLA, else head_dim.
int64_t value_head_dim(const Model& model);

/// Dimensions of the rows that experts read and write.
int64_t expert_hidden(const Model& model);

/// Bit set of the modules that layers of this model are made of.
uint32_t modules_of(const Model& model);
/// Is there anything of this unit of trainers' recompute in the model (recompute_unit() of
/// strategies/trainer)? latent-up: with latent attention alone.
bool has_unit(const Model& model, uint32_t unit);

LayerKind kind_of(const Model& model, int64_t layer);
int64_t layers_of(const Model& model, LayerKind kind);
/// Window of this layer's attention; 0 = full.
int64_t window_of(const Model& model, int64_t layer);

// Parameter counts: exact numbers of weights.
int64_t parameters(const Model& model);
/// Those that one token uses: top_k of the experts, everything else.
int64_t active_parameters(const Model& model);
int64_t parameters_of_layer(const Model& model, LayerKind kind);
int64_t active_parameters_of_layer(const Model& model, LayerKind kind);
int64_t attention_parameters(const Model& model);  ///< of one layer, with its biases and q/k norms
/// Weights of all experts of one MoE layer (what expert parallelism shards); shared ones not.
int64_t expert_parameters_of_layer(const Model& model);
/// Input side: token table, learned positions, norm after them.
int64_t embedding_parameters(const Model& model);
/// Output side: final norm, and the head unless it is tied.
int64_t head_parameters(const Model& model);
int64_t norm_parameters(const Model& model);  ///< of one norm over the hidden size

/// What is counted as work. All count forward plus twice that for backward, products only.
enum class FlopsConvention : uint8_t {
  causal,          ///< ours: 6 per active parameter without the input table (a tied head counts),
                   ///< attention over the causal half (window: over what it sees)
  full_square,     ///< the same with attention over the whole square (PaLM appendix B, torchtitan,
                   ///< nanotron, NeMo)
  all_parameters,  ///< 6 per active parameter with both tables, whole square (Hagemann et al. 2023)
  parameters_only,  ///< 6 per active parameter without the input table, no attention
  with_recompute    ///< Narayanan et al., SC'21 eq. 3: layers run forward twice, whole square,
                    ///< 96 L h^2 (1 + s/6h + V/16Lh) for a GPT
};

/// FLOPs per token of one optimizer step at `sequence` tokens per sequence.
double model_flops_per_token(const Model& model, int64_t sequence,
                             FlopsConvention convention = FlopsConvention::causal);
const char* to_text(FlopsConvention convention);
/// ErrorKind::usage with the nearest name otherwise.
Result<FlopsConvention> flops_convention_from(const std::string& text);

/// A bundled name, a path (config.json, a folder that holds one, or a file of our own schema), or a
/// size such as 70B, 7.5B, 350M (see llama_of_size). A misspelt name is ErrorKind::usage.
Result<Model> find_model(const std::string& text);

/// Names of the bundled models, sorted.
std::vector<std::string> model_names();

/// Reads HF's config.json; ErrorKind::input with file and line when it is missing, malformed,
/// lacks a key, or has a model_type that is not known.
Result<Model> read_hf_config(const std::string& path);

/// Llama-shaped model with about `parameters` weights: the nearest published Llama within 5 %, else
/// a shape of the same proportions. Model::assumptions says which.
Model llama_of_size(double parameters);

}  // namespace meshplan
