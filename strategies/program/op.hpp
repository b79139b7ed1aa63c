// SPDX-License-Identifier: Apache-2.0
// What can one rank do? The closed vocabulary of operations that both interpreters (the cost model
// and the executor) visit without a default case.
//
// Operands are buffer ids of the block that the operation stands in, in the order given at each
// kind. Shapes are those of ONE rank. T = tokens of the micro-batch on this rank outside of
// sequence parallelism (micro_batch * sequence / cp), t = T / tp with sequence parallelism, else T.
#pragma once
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "topologies/base/dtype.hpp"

namespace meshplan {

using BufferId = int32_t;

enum class Pass : uint8_t { forward, backward };

/// Part of the layer an operation belongs to: unit of selective recompute and of attribution.
enum class Module : uint8_t {
  norm,
  qkv,
  qkv_up,  ///< of latent attention: from the latent dimensions to the heads'
  rope,
  core_attention,
  attention_out,
  residual,
  mlp_in,
  activation,
  mlp_out,
  router,
  dispatch,
  experts,
  expert_activation,
  combine,
  shared_expert,
  embedding,
  head,
  loss,
  state
};
constexpr uint32_t bit(Module module) { return 1u << static_cast<unsigned>(module); }

/// Groups of ranks that communicate. Members follow from the rank order (topologies/placement).
enum class Group : uint8_t {
  tp,
  cp,
  ep,
  etp,
  shard,         ///< ranks over which zero shards a dense parameter: dp_shard * cp
  replicate,     ///< copies of a dense shard: dp_replicate
  expert_shard,  ///< the same for expert parameters
  expert_replicate,
  pp,    ///< neighbouring stages
  tied,  ///< first and last stage, for tied embeddings
  world
};
constexpr int kGroups = 11;

enum class Layout : uint8_t { tn, nn, nt };  ///< forward, input gradient, weight gradient

/// in {a, b(, bias [n])}: the bias is added in the epilogue.
/// tn: c[m,n] = a[m,k] b[n,k]^T   nn: c[m,n] = a[m,k] b[k,n]   nt: c[m,n] (+)= a[k,m]^T b[k,n].
/// in {a, b}; out {c}. groups > 1: that many independent products of this shape (experts).
struct Gemm {
  int64_t m, n, k;
  int64_t groups = 1;
  Layout layout = Layout::tn;
  DType in = DType::bf16;
  DType out = DType::bf16;
  bool accumulate = false;
};

/// Causal self-attention of `batch` sequences. forward: in {q,k,v}, out {o, lse}; backward:
/// in {do, q, k, v, o, lse}, out {dq, dk, dv}. q [batch*q_len, heads*head_dim], k, v likewise with
/// kv_heads and kv_len. Context parallelism: q_len = sequence/cp in two balanced chunks (r and
/// 2cp-1-r); work = share of the q_len * kv_len square that is not masked (1/2 for plain causal).
struct Attention {
  Pass pass;
  int64_t batch, q_len, kv_len, heads, kv_heads, head_dim, head_dim_v;
  int64_t window = 0;  ///< 0 = full
  double work = 0.5;
  int ring_step = -1;  ///< >= 0: block of ring attention, kv of rank (r - step); > 0: merges
                       ///< into out (forward {o, lse}, backward {dq}; dk, dv are added to)
};

/// Materialised attention: softmax over scores [rows, cols] with scale and causal mask.
/// forward: in {scores}, out {probabilities}; backward: in {dp, probabilities}, out {dscores}.
struct Softmax {
  Pass pass;
  int64_t rows, cols;
  bool fused = true;
};

/// Batched products of materialised attention. in {a, b}, out {c}.
struct BatchedGemm {
  int64_t batch, m, n, k;
};

enum class NormType : uint8_t { rms, layer };
/// forward: in {x, weight(, bias)}, out {y, statistics}; backward: in {dy, x, weight, statistics},
/// out {dx, dweight(, dbias)}; dweight is accumulated.
struct Norm {
  Pass pass;
  NormType type;
  int64_t rows, cols;
  bool fused = true;
};

/// Splits the fused projection and rotates. forward: in {qkv [T,(a+2g)d]}, out {q, k, v}; backward:
/// in {dq, dk, dv}, out {dqkv}. rotate false: split only (learned positions).
struct Rope {
  Pass pass;
  int64_t tokens, heads, kv_heads, head_dim;
  bool rotate = true;
  bool fused = true;
};

enum class ActivationType : uint8_t { swiglu, geglu, gelu, relu, squared_relu, silu };
/// Gated: in {gate_up [rows, 2 cols]}, out {y [rows, cols]}; plain: in {x(, bias)}, out {y}.
/// backward: in {dy, x(, bias)}, out {dx(, dbias)}.
struct Activate {
  Pass pass;
  ActivationType type;
  int64_t rows, cols;  ///< of the output
  bool fused = true;
  bool weighed = false;  ///< each row times its gate, whose gradient is found with it
};

/// c = a + b and its relatives; pure memory traffic. kind says what the executor does.
enum class ElementwiseKind : uint8_t {
  add,
  bias_add,
  bias_gradient,
  dropout,
  cast,
  copy,
  scale,
  zero
};
struct Elementwise {
  ElementwiseKind kind;
  int64_t elements;
  int64_t read_bytes, written_bytes;
};

/// forward: in {tokens, table [vocab, hidden]}, out {x}; backward: in {tokens, dx}, out {dtable}.
struct Embedding {
  Pass pass;
  int64_t tokens, hidden, vocab;  ///< vocab: rows of this rank's shard
};

/// Vocabulary-parallel cross-entropy over logits [tokens, vocab]. Stages of one rank:
/// maximum: in {logits}, out {stats}; sum: in {logits, targets, stats}, out {stats};
/// loss: in {stats}, out {loss}; gradient: in {logits, targets, stats}, out {dlogits}.
struct CrossEntropy {
  enum class Part : uint8_t { maximum, sum, loss, gradient } part;
  int64_t tokens, vocab;
  DType logits = DType::bf16;
  bool fused = false;
};

/// Router: in {logits [tokens, experts]}, out {gates, routing}; backward: in {dgates, routing,
/// gates}, out {dlogits}.
struct Route {
  Pass pass;
  int64_t tokens, experts, top_k;
};

/// Rows to or from expert order. dispatch forward: in {x, routing}, out {permuted}; combine
/// forward: in {permuted, gates, routing}, out {y}; backward mirrored.
struct Permute {
  Pass pass;
  bool combine;
  int64_t tokens, rows, hidden;  ///< rows = tokens * top_k (or capacity)
};

enum class CollectiveOp : uint8_t {
  all_reduce,
  all_gather,
  reduce_scatter,
  all_to_all,
  ring_exchange
};
/// in {x}, out {y}. bytes in the convention of nccl-tests: whole gathered buffer for all_gather and
/// reduce_scatter, the buffer for all_reduce, one rank's send buffer for all_to_all and
/// ring_exchange.
struct Collective {
  CollectiveOp op;
  Group group;
  int64_t bytes;
  DType dtype;
  bool maximum = false;   ///< all_reduce takes the largest instead of the sum
  int64_t copies = 1;     ///< all_to_all of experts: rows of each token; more than one only where
                          ///< the trainer sends what goes to the same place once
  double reach = 1;       ///< share of the ranks that one token's copies may go to: limited routing
  int64_t map_bytes = 0;  ///< with copies: which token goes where, gathered before; 0: known by now
  bool alone = false;     ///< nothing is there that it could run beside
  int64_t pooled =
      0;  ///< bytes that go together: with those of other layers, or in parts; 0: these
  bool whole = false;  ///< reduce_scatter done by an all-reduce of which each rank keeps its part
};

/// Norm of all gradients of this rank's shard (a read), in {gradients}, out {norm}.
struct GradientNorm {
  int64_t elements;
  DType dtype;
};

/// AdamW on this rank's shard. bytes = traffic of reads and writes.
struct OptimizerStep {
  int64_t elements;
  int64_t bytes;
  bool on_host = false;
};

/// Embedding workloads: a partition comes into the memory where it is trained or leaves it, from or
/// to storage, another memory of the machine, or another rank.
enum class Tier : uint8_t { storage, host, peer };
struct PartitionMove {
  bool load;
  int64_t bytes;
  Tier tier = Tier::storage;
};
/// The edges of one bucket trained once: every edge against `negatives` candidates on each
/// corrupted side, `uniform` of which are drawn for a chunk of `chunk` edges.
struct BucketStep {
  int64_t edges, batch, chunk, uniform, dimension;
  int64_t sides = 2;
  int64_t parameters = 0;  ///< of an edge's operators, values
  DType in = DType::fp32;  ///< operands of the products
  int64_t negatives() const { return chunk + uniform; }
};

using Body = std::variant<Gemm, Attention, Softmax, BatchedGemm, Norm, Rope, Activate, Elementwise,
                          Embedding, CrossEntropy, Route, Permute, Collective, GradientNorm,
                          OptimizerStep, PartitionMove, BucketStep>;

struct Op {
  Body body;
  Module module;
  std::vector<BufferId> in, out;
};

/// Short name of the kind for tables and traces: "gemm", "all-gather", ...
std::string name_of(const Body& body);
const char* name_of(CollectiveOp op);
const char* name_of(Group group);
const char* name_of(Module module);

}  // namespace meshplan
