// SPDX-License-Identifier: Apache-2.0
#include "strategies/program/op.hpp"

#include <iterator>

namespace meshplan {
namespace {

struct Name {
  std::string operator()(const Gemm& op) const { return op.groups > 1 ? "grouped gemm" : "gemm"; }
  std::string operator()(const Attention& op) const {
    return op.pass == Pass::forward ? "attention" : "attention backward";
  }
  std::string operator()(const Softmax&) const { return "softmax"; }
  std::string operator()(const BatchedGemm&) const { return "batched gemm"; }
  std::string operator()(const Norm&) const { return "norm"; }
  std::string operator()(const Rope& op) const { return op.rotate ? "rope" : "split heads"; }
  std::string operator()(const Activate&) const { return "activation"; }
  std::string operator()(const Elementwise& op) const {
    switch (op.kind) {
      case ElementwiseKind::add:
        return "add";
      case ElementwiseKind::bias_add:
        return "bias add";
      case ElementwiseKind::bias_gradient:
        return "bias gradient";
      case ElementwiseKind::dropout:
        return "dropout";
      case ElementwiseKind::cast:
        return "cast";
      case ElementwiseKind::copy:
        return "copy";
      case ElementwiseKind::scale:
        return "scale";
      case ElementwiseKind::zero:
        return "zero";
    }
    return "element-wise";
  }
  std::string operator()(const Embedding&) const { return "embedding lookup"; }
  std::string operator()(const CrossEntropy&) const { return "cross entropy"; }
  std::string operator()(const Route&) const { return "routing"; }
  std::string operator()(const Permute& op) const { return op.combine ? "combine" : "dispatch"; }
  std::string operator()(const Collective& op) const { return name_of(op.op); }
  std::string operator()(const GradientNorm&) const { return "gradient norm"; }
  std::string operator()(const OptimizerStep&) const { return "optimizer step"; }
  std::string operator()(const PartitionMove& op) const {
    return op.load ? "partition load" : "partition store";
  }
  std::string operator()(const BucketStep&) const { return "edge-bucket step"; }
};

}  // namespace

std::string name_of(const Body& body) { return std::visit(Name{}, body); }

const char* name_of(CollectiveOp op) {
  switch (op) {
    case CollectiveOp::all_reduce:
      return "all-reduce";
    case CollectiveOp::all_gather:
      return "all-gather";
    case CollectiveOp::reduce_scatter:
      return "reduce-scatter";
    case CollectiveOp::all_to_all:
      return "all-to-all";
    case CollectiveOp::ring_exchange:
      return "ring exchange";
  }
  return "?";
}

const char* name_of(Group group) {
  constexpr const char* kNames[kGroups] = {"tp",    "cp",        "ep",           "etp",
                                           "shard", "replicate", "expert shard", "expert replicate",
                                           "pp",    "tied",      "world"};
  return kNames[static_cast<size_t>(group)];
}

const char* name_of(Module module) {
  constexpr const char* kNames[] = {"norm",           "qkv",
                                    "qkv up",         "rope",
                                    "core attention", "attention out",
                                    "residual",       "mlp in",
                                    "activation",     "mlp out",
                                    "router",         "dispatch",
                                    "experts",        "expert activation",
                                    "combine",        "shared expert",
                                    "embedding",      "head",
                                    "loss",           "state"};
  static_assert(std::size(kNames) == static_cast<size_t>(Module::state) + 1);
  return kNames[static_cast<size_t>(module)];
}

}  // namespace meshplan
