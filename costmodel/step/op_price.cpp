// SPDX-License-Identifier: Apache-2.0
#include "costmodel/step/op_price.hpp"

#include "costmodel/step/bucket_price.hpp"

namespace meshplan {
namespace {

/// LayerNorm is one kernel in torch itself.
bool one_kernel(const Norm& op, const Trainer& trainer) {
  return op.fused || trainer.compiled || op.type == NormType::layer;
}

/// Reads and writes of unfused chains, in passes over the data: what the framework's element-wise
/// kernels do one after another (counted from the operations' definitions).
struct Traffic {
  const Trainer& trainer;
  double e;  ///< bytes of a value

  static double d(int64_t value) { return static_cast<double>(value); }

  double operator()(const Gemm&) const { return 0; }
  double operator()(const Attention&) const { return 0; }
  double operator()(const BatchedGemm&) const { return 0; }
  double operator()(const Collective&) const { return 0; }
  double operator()(const Softmax& op) const {
    const bool forward = op.pass == Pass::forward;
    const double n = d(op.rows) * d(op.cols);
    if (op.fused) return n * e * (forward ? 2 : 3);
    // Megatron-LM's fused_softmax.py without its kernel: 16 bit cast to fp32, masked, softmax, cast
    // back (the product scales). Backward: cast, softmax's gradient of two arrays, mask, cast.
    if (e < 4) return n * (forward ? 6 + 8 + 8 + 6 : 6 + 12 + 8 + 6);
    return n * e * (forward ? 6 : 7);  // scale, mask, softmax
  }
  double operator()(const Norm& op) const {
    const double passes = op.pass == Pass::forward ? 2 : 3;
    if (one_kernel(op, trainer)) return d(op.rows) * d(op.cols) * e * passes;
    // RMSNorm as model code writes it, bytes an element. Forward: cast to fp32, square, mean,
    // times rsqrt, cast back, times weight. Backward: product and sum for the weight, times
    // weight, cast; times rsqrt, times x, sum, gradients of mean and square (4 kernels), added up,
    // cast.
    const double casts = e < 4 ? 2 * (e + 4) : 0;
    const double bytes = op.pass == Pass::forward ? 20 + 2 * e + casts : 68 + 6 * e + casts;
    return d(op.rows) * d(op.cols) * bytes;
  }
  double operator()(const Rope& op) const {
    const double bytes = d(op.tokens) * d(op.heads + 2 * op.kv_heads) * d(op.head_dim) * e;
    const double rotated = d(op.tokens) * d(op.heads + op.kv_heads) * d(op.head_dim) * e;
    if (!op.rotate) return op.pass == Pass::forward ? 0 : 2 * bytes;  // views; one concatenation
    return op.fused || trainer.compiled ? 2 * bytes : 2 * bytes + 8 * rotated;
  }
  double operator()(const Activate& op) const {
    const bool forward = op.pass == Pass::forward;
    // Plain activations are one kernel in torch itself. Gated ones take two: a(x) read and
    // written, times the other half; backward two products, a'(x) and both halves joined.
    double passes = forward ? 2 : 3;
    if (is_gated(op.type)) {
      passes = forward ? 3 : 5;
      if (!op.fused && !trainer.compiled) passes = forward ? 5 : 13;
    }
    // The gates' gradient is a sum over each row, so another kernel, which reads everything again.
    if (op.weighed && !forward) passes += is_gated(op.type) ? 3 : 2;
    return d(op.rows) * d(op.cols) * e * passes;
  }
  double operator()(const Elementwise& op) const { return d(op.read_bytes + op.written_bytes); }
  double operator()(const Embedding& op) const {
    return d(op.tokens) * d(op.hidden) * e * (op.pass == Pass::forward ? 2 : 4);
  }
  /// Passes over the logits, each a read or a write of all of them.
  double operator()(const CrossEntropy& op) const {
    const double logits = d(op.tokens) * d(op.vocab) * static_cast<double>(bytes_of(op.logits));
    const bool widens = op.fused && trainer.fused_loss_widens;
    switch (op.part) {
      case CrossEntropy::Part::maximum:
        // Fused: online with the sum. Megatron-Core's own fusion writes and reads an fp32 copy of
        // 16-bit logits first, twice their bytes.
        return (op.fused ? (widens ? 5 : 0) : 1) * logits;
      case CrossEntropy::Part::sum:
        // Vocabulary-parallel losses of Megatron-LM and nanotron: subtract 2, exp 2, sum 1, divide
        // 2, of which the fusion joins the first two. torch's log_softmax: two reads, one write.
        // Metrics: 16-bit logits become fp32 (1 + 2), and log_softmax again (6).
        if (op.fused) return (widens ? 10 : 1 + 9 * trainer.loss_metrics) * logits;
        return (trainer.loss_shifts_copy ? 7 : 3) * logits;
      case CrossEntropy::Part::loss:
        return d(op.tokens) * 12;
      case CrossEntropy::Part::gradient:
        // torch: nll_loss writes its gradient, log_softmax reads that twice and its output once.
        if (op.fused) return (widens ? 3 : 2) * logits;
        return (trainer.loss_in_place ? 2 : 5) * logits;
    }
    return 0;
  }
  double operator()(const Route& op) const { return d(op.tokens) * d(op.experts) * 4 * 6; }
  double operator()(const Permute& op) const { return 2 * d(op.rows) * d(op.hidden) * e; }
  double operator()(const GradientNorm& op) const {
    return d(op.elements) * static_cast<double>(bytes_of(op.dtype)) *
           (trainer.gradients_always_scaled ? 3 : 1);
  }
  double operator()(const OptimizerStep& op) const {
    // One multiplication a kernel: 20 passes over arrays of the weights' size
    // (torch/optim/adamw.py, _multi_tensor_adamw: mul 2, lerp 3, mul 2, addcmul 3, sqrt 2, div 2,
    // add 2, addcdiv 4), where one kernel for all makes seven.
    const double passes = trainer.optimizer == OptimizerKernel::fused ? 1 : 20.0 / 7;
    return d(op.bytes) * passes;
  }
  double operator()(const PartitionMove&) const { return 0; }
  double operator()(const BucketStep&) const { return 0; }
};

struct Launches {
  const Trainer& trainer;

  // Products of a group are issued one by one, by a loop in C++: about a tenth of a call from
  // Python. Where each expert's 8-bit operand is an object of its own, that is made in Python, and
  // finding its scale, casting and laying out the scales are more kernels.
  double operator()(const Gemm& op) const {
    if (op.groups == 1) return 1;
    const bool apart = trainer.expert_operands_apart && is_quantised(op.in);
    return 1 + (apart ? kExpertOperand : 0.1) * double(op.groups);
  }
  /// Calls for one of the three products of an expert's weight, Transformer Engine 2.x,
  /// pytorch/module/grouped_linear.py with MXFP8: forward a cast, its scales laid out and the
  /// product; backward a cast, and for each of two products scales and the product. Current scaling
  /// has nine instead of these eight: largest value, scale, cast and product; the first three and
  /// two products.
  static constexpr double kExpertOperand = 8.0 / 3;
  double operator()(const Attention& op) const { return op.pass == Pass::forward ? 1 : 3; }
  double operator()(const Softmax& op) const { return op.fused ? 1 : 4; }
  double operator()(const BatchedGemm&) const { return 1; }
  double operator()(const Norm& op) const {
    const bool one = one_kernel(op, trainer);
    return op.pass == Pass::forward ? (one ? 1 : 8) : (one ? 2 : 18);
  }
  double operator()(const Rope& op) const {
    if (!op.rotate) return op.pass == Pass::forward ? 0 : 1;
    return op.fused || trainer.compiled ? 2 : 12;
  }
  double operator()(const Activate& op) const {
    if (op.fused || trainer.compiled || !is_gated(op.type)) return 1;
    return op.pass == Pass::forward ? 2 : 4;
  }
  double operator()(const Elementwise& op) const {
    return op.read_bytes + op.written_bytes == 0 ? 0 : 1;
  }
  double operator()(const Embedding&) const { return 2; }
  double operator()(const CrossEntropy&) const { return 2; }
  // Counted in Megatron-Core's moe/router.py and token_dispatcher.py (0.12-0.16). Forward: scores,
  // top-k, gates and map 13, balancing loss 12, counts of tokens by expert and rank and their
  // copies to the host 15, sorting 5. Backward: gates 8, softmax and top-k 6, balancing loss 6.
  double operator()(const Route& op) const { return op.pass == Pass::forward ? 45 : 20; }
  double operator()(const Permute&) const { return 3; }
  double operator()(const Collective&) const { return 1; }
  double operator()(const GradientNorm&) const { return 2; }
  double operator()(const OptimizerStep&) const {
    switch (trainer.optimizer) {
      case OptimizerKernel::eager:
        return 120;  // about a dozen kernels for each of the block's tensors
      case OptimizerKernel::foreach_:
        return 12;
      case OptimizerKernel::fused:
        return 1;
    }
    return 1;
  }
  double operator()(const PartitionMove&) const { return 1; }
  double operator()(const BucketStep&) const { return 0; }  // see bucket_price
};

/// From where it is to where it is trained, or back.
double move_seconds(const PartitionMove& op, const PriceContext& context) {
  const auto bytes = static_cast<double>(op.bytes);
  if (op.tier == Tier::peer)
    return context.collectives.p2p(bytes, context.of(Group::world)).seconds *
           (context.of(Group::world).nodes > 1 ? context.network_slowdown : 1);
  const double rate =
      op.tier == Tier::host ? context.host_bytes_per_s : context.storage_bytes_per_s;
  return rate > 0 ? bytes / rate : 0;
}

}  // namespace

double traffic_bytes(const Op& op, const Trainer& trainer, DType value) {
  return std::visit(Traffic{trainer, static_cast<double>(bytes_of(value))}, op.body);
}

OpPrice price(const Op& op, const PriceContext& context) {
  OpPrice result;
  const auto take = [&](const auto& estimate) {
    result.seconds = estimate.seconds;
    result.relative_error = estimate.relative_error;
    result.provenance = estimate.provenance;
  };
  result.kernels = std::visit(Launches{context.trainer}, op.body);
  if (const auto* gemm = std::get_if<Gemm>(&op.body)) {
    result.resource = Resource::gemm;
    take(context.kernels.gemm(*gemm));
  } else if (const auto* batched = std::get_if<BatchedGemm>(&op.body)) {
    result.resource = Resource::attention;
    take(context.kernels.batched_gemm(*batched, context.compute));
  } else if (const auto* attention = std::get_if<Attention>(&op.body)) {
    result.resource = Resource::attention;
    take(context.scans
             ? context.kernels.scan(*attention)
             : context.kernels.attention(*attention, context.compute, context.trainer.flash));
  } else if (const auto* collective = std::get_if<Collective>(&op.body)) {
    result.resource = Resource::network;
    const auto bytes = static_cast<double>(collective->bytes);
    const GroupLinks& links = context.of(collective->group);
    if (collective->copies > 1) {  // measured as a trainer calls it
      const auto map = static_cast<double>(collective->map_bytes);
      take(context.collectives.sent_once(bytes, collective->copies, collective->reach, map, links));
      return result;
    }
    const CollectiveOp kind = collective->whole ? CollectiveOp::all_reduce : collective->op;
    const double pooled = collective->pooled > 0 ? static_cast<double>(collective->pooled) : bytes;
    take(context.collectives.time(kind, pooled, links));
    result.seconds *= bytes / pooled;
    if (links.nodes > 1) result.seconds *= context.network_slowdown;
    result.occupancy = occupancy(kind, links);
    return result;
  } else if (const auto* bucket = std::get_if<BucketStep>(&op.body)) {
    const BucketPrice parts = bucket_price(*bucket, context);
    result.resource = Resource::gemm;
    result.seconds = parts.seconds();
    result.kernels = parts.kernels;
  } else if (const auto* move = std::get_if<PartitionMove>(&op.body)) {
    result.resource = move->tier == Tier::peer ? Resource::network : Resource::host_memory;
    result.seconds = move_seconds(*move, context);
    return result;
  } else {
    const DType value = is_quantised(context.compute)    ? DType::bf16
                        : context.compute == DType::tf32 ? DType::fp32
                                                         : context.compute;
    const double bytes = traffic_bytes(op, context.trainer, value);
    const auto* step = std::get_if<OptimizerStep>(&op.body);
    const auto* norm = std::get_if<Norm>(&op.body);
    if (step != nullptr && step->on_host) {
      result.resource = Resource::host_memory;
      result.provenance = Provenance::datasheet;
      result.seconds = context.host_bytes_per_s > 0 ? bytes / context.host_bytes_per_s : 0;
    } else if (norm != nullptr && (one_kernel(*norm, context.trainer))) {
      Norm one = *norm;
      one.fused = !context.trainer.compiled;
      take(context.kernels.norm(one, value));
    } else if (bytes > 0) {
      const bool scattered =
          std::holds_alternative<Embedding>(op.body) || std::holds_alternative<Permute>(op.body);
      take(scattered ? context.kernels.random_rows(bytes) : context.kernels.memory_bound(bytes));
    }
  }
  result.seconds *= context.kernel_slowdown;
  return result;
}

}  // namespace meshplan
