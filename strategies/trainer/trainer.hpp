// SPDX-License-Identifier: Apache-2.0
// How does a generation of a trainer execute a plan: what is fused, kept, overlapped, rounded?
//
// Mechanisms only, read from strategies/data/trainers/<id>.yaml (one reader: trainer.cpp; a key
// that a file leaves out has the default below); no efficiency multipliers (a fitted number is a
// global constant of costmodel). `gradient` is what a plan that says nothing else gets. Lowering
// reads the kernels' half, the cost model the overlap and host half, the memory estimate the
// allocator half.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "strategies/plan/plan.hpp"
#include "topologies/base/dtype.hpp"
#include "topologies/base/result.hpp"

namespace meshplan {

class MapReader;

enum class AttentionKernel { materialised, flash };  ///< scores in memory, or tiled in registers
/// Generation of the tiled kernel. latest: FA3/cuDNN where the GPU has it, else FlashAttention-2;
/// flash1, triton: FlashAttention 1 and its Triton version, in use until autumn 2023.
enum class FlashKernel { latest, flash2, triton, flash1 };
enum class OptimizerKernel { eager, foreach_, fused };
/// What a run of the trainer prints as its memory: live tensors, what the caching allocator holds,
/// or all that the device reports as used.
enum class MemoryReport { allocated, reserved, device };
/// Who issues the kernels, see host.yaml.
enum class HostClass { eager, torch, compiled, graph, native };
/// none: exposed; bulk: input- or weight-gradient product beside the collective; ring: collective
/// in chunks beside the product that makes or needs it.
enum class TpOverlap { none, bulk, ring };

/// How layers go to pipeline stages where a published row or an imported file does not say it;
/// plans that are searched take equal numbers. by_cost: by their share of the parameters that
/// multiply, the head's included. with_ends: embedding, layers, last norm and head are dealt out in
/// equal numbers, as modules of the same weight.
enum class LayerSplit { equal, by_cost, with_ends };

/// A fact of a trainer's file that a plan sets otherwise: "overlap", "grad_reduce", "false".
struct TrainerSetting {
  std::string section, key, value;  ///< value as in YAML
  bool operator==(const TrainerSetting&) const = default;
};

struct Trainer {
  std::string id;  ///< a file that begins `like: <id>` states what differs from that one
  std::string name;
  std::string launched_as;  ///< its launch files are those of this one, with other settings; or ""
  /// The trainer of its launch files: errors of measured runs are learnt of all its entries at
  /// once.
  const std::string& family() const { return launched_as.empty() ? id : launched_as; }
  std::vector<std::string> aliases;
  std::string source;                ///< where the mechanisms are described, joined by "; "
  std::vector<std::string> assumed;  ///< "key: why", for what no source states
  std::string rank_order = "tp-cp-ep-dp-pp";  ///< innermost first
  std::vector<TrainerSetting> settings;       ///< by section and key; see settings.hpp

  // Kernels.
  AttentionKernel attention = AttentionKernel::flash;
  FlashKernel flash = FlashKernel::latest;
  bool fused_softmax = true;  ///< scale+mask+softmax in one kernel (materialised attention)
  int64_t fused_softmax_max_sequence = 0;  ///< longest row of that kernel; 0: any
  bool fused_bias_activation = true;       ///< bias+GeLU, or SwiGLU, in one kernel
  bool fused_bias_dropout_add = true;
  bool fused_norm = true;
  bool fused_norm_recomputed = true;  ///< that kernel works inside a checkpointed block
  bool fused_rope = true;
  bool fused_rope_scaled = true;         ///< that kernel also takes YaRN's factor of attention
  bool attention_output_copied = false;  ///< from the order of sequences to that of tokens; both
                                         ///< are kept, where a micro-batch has several sequences
  bool qkv_product_kept = false;  ///< q or v is a view of the product of all three, which so lives
                                  ///< on beside what the rotation made of the others (as many kv
                                  ///< heads as heads)
  bool fused_cross_entropy = false;  ///< softmax and loss without an fp32 copy of the logits
  bool loss_in_place = true;  ///< the loss turns what it keeps of the logits into their gradient in
                              ///< place; false: log-probabilities and two fp32 gradients are
                              ///< tensors of their own (torch cross_entropy); fused: one gradient
  int loss_chunks = 1;  ///< head and loss take so many equal parts of a micro-batch's tokens one
                        ///< after the other, forward and backward: one part's logits exist at once
  /// Clipping multiplies the gradients in every step; else only where the norm is above its limit.
  bool gradients_always_scaled = false;
  /// Metrics of each micro-batch for which torch's cross_entropy goes over its logits once more.
  int loss_metrics = 0;
  bool fused_loss_widens = false;  ///< the fused loss keeps its exponentials in fp32 beside the
                                   ///< logits (Megatron-LM's own); else it works in the logits
  bool loss_shifts_copy = false;   ///< in place, but in a copy of the fp32 logits from which their
                                   ///< largest value was subtracted (Megatron-LM)
  bool logits_held = true;         ///< the caller of the loss holds the 16-bit logits meanwhile
  bool logits_gathered = false;    ///< every tensor-parallel rank has the whole vocabulary's logits
  bool sequence_gathered_again = true;   ///< sequence parallelism keeps a rank's own tokens of a
                                         ///< product's input and gathers them again backward
  bool fp8_inputs_kept = true;           ///< fp8 products keep their input in fp8; false: in 16 bit
  bool moe_gates_in_activation = false;  ///< gates weigh the experts' activation, not their output
  bool compiled = false;                 ///< torch.compile: element-wise chains become one kernel
  /// An expert's output bias, times the gate, is added by single fp32 operations (Megatron-Core,
  /// _apply_bias); limits of its activation's operands are single operations too.
  bool expert_bias_clamp_apart = false;
  bool expert_operands_apart = false;  ///< 8-bit operands of grouped products are one object and
                                       ///< several kernels an expert (Transformer Engine)
  bool expert_chunks_sorted =
      false;                     ///< where a plain all-to-all brought tokens for several experts,
                                 ///< a copy puts them in order of experts, another back
  double expert_load_ratio = 1;  ///< tokens on the rank with the fullest experts over the mean of
                                 ///< its group; 1: routing is balanced, as benchmarks force it
  bool experts_padded = false;   ///< rows of 8-bit experts are copied into multiples of a scale's
                                 ///< block and back (Transformer Engine's Fp8Padding)
  bool dropout = false;          ///< hidden and attention dropout masks are made and kept
  bool activation_recomputed = false;  ///< the MLP's product is made again in its backward kernel
                                       ///< instead of being kept (xformers SwiGLU)
  bool adapter_on_projection = false;  ///< adapters, where alone trained, also beside the product
                                       ///< behind attention, not of q, k and v only
  bool adapter_dropout = false;        ///< their inputs are dropped at random
  bool adapters_only = false;  ///< of a question, not of a file: the model's weights are frozen,
                               ///< low-rank adapters beside its products are trained
  bool wgrad_accumulation_fused = true;  ///< weight gradient added by the product (beta = 1)
  OptimizerKernel optimizer = OptimizerKernel::fused;

  // Number formats.
  std::vector<DType> compute = {DType::bf16, DType::fp16};  ///< what products may be done in
  bool dynamic_scaling = true;  ///< fp8, fp4: the largest value is found before the cast; else from
                                ///< earlier steps, in the same pass (delayed scaling)
  /// After each pass of a chunk all ranks of its stage agree on the largest values that delayed
  /// scaling goes by (Transformer Engine's amax reduction over tp, cp and dp).
  bool scales_agreed_by_stage = false;
  bool quantised_weights_kept = false;      ///< cast once a step; else in every micro-batch
  bool quantised_weights_gathered = false;  ///< data-parallel gathers move a layer's 8-bit weights
  bool weights_transposed_anew = false;     ///< the copy of 8-bit weights along the columns is made
                                            ///< in every micro-batch, not kept
  DType gradient = DType::fp32;             ///< what weight gradients are accumulated in
  DType gradient_bf16 = DType::fp32;        ///< the same where products are in bf16
  bool bf16_states_sharded = false;  ///< optimizer states of bf16 weights are always sharded over
                                     ///< the data-parallel ranks (DeepSpeed's BF16_Optimizer)
  bool bf16_gradients_if_sharded = false;  ///< those optimizers accumulate bf16 gradients in bf16
                                           ///< at zero 1 and up outside of a pipeline
  bool autograd_gradients_kept = false;    ///< 16-bit gradients stay beside an fp32 accumulation
  DType reduce = DType::fp32;              ///< what gradients are reduced in
  bool master_weights = true;  ///< fp32 copy beside 16-bit weights; false with fp32 moments: the
                               ///< (sharded) weights are fp32 themselves and are cast when used
  DType optimizer_moment = DType::fp32;
  DType logits = DType::fp32;  ///< what the loss is computed in
  bool pad_vocabulary = true;  ///< to a multiple of 128 * tp

  // Overlap.
  TpOverlap tp_overlap = TpOverlap::none;
  bool tp_scatter_in_pieces = true;   ///< an input gradient's reduce-scatter runs beside its own
                                      ///< product; else beside the weight gradient's
  bool tp_sums_each_product = false;  ///< without sequence parallelism, gate and up sum their input
                                      ///< gradients over tp one by one
  bool overlap_grad_reduce = true;    ///< data-parallel reduction beside the last backward
  bool overlap_param_gather = true;   ///< ZeRO-1 all-gather beside the first forward
  bool overlap_p2p = true;            ///< pipeline sends beside compute
  bool p2p_in_line = false;    ///< those that are not: each send and receive is an operation of its
                               ///< own, for which both stages stand still
  bool p2p_scattered = false;  ///< what all tensor-parallel ranks hold is sent in parts, one by
                               ///< each, and gathered by the receivers (SC'21, section 4.1)
  bool overlap_cp = true;
  bool overlap_ep = false;     ///< expert all-to-all beside compute
  bool ep_sends_once = false;  ///< a token goes once to each node and rank that needs it (DeepEP,
                               ///< HybridEP); else one copy for each of its experts
  int fsdp_prefetch = 1;       ///< units gathered ahead
  bool reduce_every_micro_batch = false;  ///< FSDP without no_sync reduces after every backward;
                                          ///< otherwise that is so at ZeRO 2 and 3 alone
  bool pipeline_reduces_once = false;     ///< with pipeline stages gradients of any ZeRO level are
                                          ///< reduced after the last micro-batch
  bool reduce_every_round = false;        ///< sharded gradients are reduced when an interleaved
                                          ///< schedule leaves a chunk
  int zero_all_reduces = 0;  ///< ZeRO stages up to this one reduce whole gradients to all
                             ///< ranks instead of scattering them
  double bucket_bytes = 0;   ///< per reduction, and per gather below ZeRO 3; 0: one layer

  // Host.
  HostClass host = HostClass::eager;
  uint32_t graphed_modules = 0;  ///< bits of Module whose kernels are nodes of CUDA graphs
  int sync_points_per_step = 2;  ///< loss and gradient norm read back by the host

  // Memory.
  bool recompute_stops_early = false;  ///< a recomputed block ends at the last value that its
                                       ///< backward pass needs (torch's non-reentrant checkpoint)
  bool sequence_parallel_default = true;
  bool pipeline_receives_kept = false;  ///< a stage has a buffer for what each micro-batch brings
                                        ///< from its neighbours, all of them for the whole step
  bool deallocate_pipeline_outputs = true;
  bool recompute_core_attention = false;  ///< what "selective" means: scores only (Megatron), or
                                          ///< per-op policy (torchtitan: every second product)
  LayerSplit layer_split = LayerSplit::equal;
  int head_as_layers = 2;              ///< LayerSplit::with_ends: norm and head count as so many
  bool gradient_copy_at_step = false;  ///< fp32 copy of 16-bit gradients while stepping
  bool gradients_flattened_at_step = false;  ///< and a flat copy in their own type before it
  bool gradients_made_anew = false;    ///< freed after the step (set_to_none): with one micro-batch
                                       ///< they grow while activations go
  bool optimizer_in_backward = false;  ///< a gradient is gone when the backward pass has made the
                                       ///< next one's
  bool optimizer_paged = false;        ///< states lie in memory that the driver moves to the host
  double layers_on_host_share = 0;  ///< of fully sharded plans without pipeline: layers whose kept
                                    ///< activations move to the host until the backward pass
  bool offload_weights = false;     ///< what is offloaded are sharded weights and gradients, too
  bool alternate_products_kept = false;  ///< per-operation checkpoints keep every second product's
                                         ///< result of a recomputed block (torchtitan's policy)
  bool weight_gradient_placeholders = false;  ///< products that add their weight gradient hand
                                              ///< autograd an empty 16-bit one: that of a layer's
                                              ///< weights is kept for each shape (Transformer
                                              ///< Engine), that of the head made anew
  MemoryReport memory_report = MemoryReport::allocated;
  bool expandable_segments = false;  ///< of torch's allocator: fragmentation is the share below;
                                     ///< else that of fixed segments, see costmodel/step/memory.cpp
  double allocator_slack = 0.03;     ///< share of activations (assumed)
  int64_t context_bytes = 900LL << 20;         ///< CUDA context and libraries
  int64_t workspace_bytes = 256LL << 20;       ///< cuBLAS, cuDNN
  int64_t nccl_bytes_per_group = 200LL << 20;  ///< buffers of one communicator

  // Plans it accepts.
  std::vector<std::string> schedules = {"gpipe", "1f1b", "interleaved"};  ///< see schedule.hpp
  int max_zero = 3;
  bool tensor_parallel = true;
  bool pipeline_parallel = true;
  bool expert_parallel = true;
  bool context_parallel = true;
  std::vector<std::string> context_parallel_kinds = {"all-gather", "ring", "all-to-all"};
  bool hybrid_shard = true;  ///< copies of sharded groups (HSDP)
  bool optimizer_offload = true;
  bool recompute_limited = false;                  ///< selective recompute covers only these units
  std::vector<uint32_t> recompute_units;           ///< bit sets of Module, see recompute_unit()
  std::vector<std::string> recompute_some_layers;  ///< kinds of recompute that may stop after the
                                                   ///< first layers of each virtual stage (full:
                                                   ///< --recompute-method block of Megatron-LM)
  std::vector<std::string> rules;  ///< ids of the rules it imposes, see strategies/rules

  bool operator==(const Trainer&) const = default;
};

/// Modules that trainers recompute together, by the name that trainer files use: core-attention,
/// norm, latent-up (projections from latent dimensions, rotation), mlp, moe, moe-activation,
/// shared-expert, per-operation (every second product and all cheap operations). 0: no such unit.
uint32_t recompute_unit(const std::string& name);
std::vector<std::string> recompute_unit_names();

/// Can recompute of this kind stop after the first layers of each virtual stage?
bool recomputes_some_layers(const Trainer& trainer, Recompute kind);

/// What weight gradients are accumulated in when products are done in `compute`.
DType gradient_of(const Trainer& trainer, DType compute);

/// By id or alias; ErrorKind::usage with the nearest known id otherwise.
Result<Trainer> find_trainer(const std::string& id);

/// What sections kernels, formats, overlap, host and memory of a trainer's file say, over what
/// `trainer` holds. ErrorKind::input with file, line and key.
Status read_facts(MapReader& file, Trainer& trainer);

/// A trainer file of our own schema; ErrorKind::input with file, line and key.
Result<Trainer> read_trainer(const std::string& path);

/// What is taken when no trainer is named: megatron-core, the newest generation of Megatron-LM.
/// Error only when the data files are missing.
Result<Trainer> default_trainer();
constexpr const char* kDefaultTrainer = "megatron-core";

/// All bundled trainers, sorted by id.
Result<std::vector<Trainer>> all_trainers();

}  // namespace meshplan
