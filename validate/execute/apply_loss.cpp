// SPDX-License-Identifier: Apache-2.0
// Vocabulary-parallel loss, and collectives. The statistics of the loss [tokens, 3] are kept column
// by column: maximum | sum | target. A collective that is smaller than its buffer takes the first
// columns for a maximum and the last ones for a sum.
#include <fmt/format.h>

#include <algorithm>

#include "profiler/kernels/cross_entropy.hpp"
#include "profiler/kernels/elementwise.hpp"
#include "validate/execute/apply.hpp"

namespace meshplan {

Status Apply::operator()(const CrossEntropy& cross_entropy) {
  const int64_t n = cross_entropy.tokens;
  const bool gathered = env_.program().trainer.logits_gathered;
  const cpu::VocabularyShard shard{.tokens = n,
                                   .columns = cross_entropy.vocab,
                                   .begin = gathered ? 0 : env_.place().tp * cross_entropy.vocab,
                                   .vocab = env_.program().model.vocabulary};
  cpu::Workers& workers = env_.workers();
  switch (cross_entropy.part) {
    case CrossEntropy::Part::maximum:
      cpu::cross_entropy_maximum(workers, shard, in(0), out(0));
      break;
    case CrossEntropy::Part::sum:
      cpu::cross_entropy_sum(workers, shard, in(0), tokens(op_->in[1]), in(2), out(0) + n,
                             out(0) + 2 * n);
      // What torch keeps for the backward pass are log-probabilities; here the logits stand in
      // their place, and the statistics turn them into the gradient.
      if (op_->out.size() > 1) cpu::copy(workers, n * cross_entropy.vocab, in(0), out(1));
      break;
    case CrossEntropy::Part::loss:
      loss_sum_ = cpu::cross_entropy_loss(n, in(0) + n, in(0) + 2 * n);
      *out(0) = static_cast<float>(loss_sum_ / static_cast<double>(n));
      break;
    case CrossEntropy::Part::gradient:
      cpu::cross_entropy_gradient(workers, shard, static_cast<float>(env_.token_weight()), in(0),
                                  tokens(op_->in[1]), in(2), in(2) + n, out(0));
      break;
  }
  return Done{};
}

Status Apply::operator()(const Collective& collective) {
  Communicator* group = env_.group(collective.group);
  const int64_t size = group != nullptr ? group->size() : 1;
  const int64_t count = collective.bytes / bytes_of(collective.dtype);
  const float* x = in(0);
  float* y = out(0);
  if (group == nullptr) {
    return Diagnostic{.message = fmt::format("{} over group {} of one rank", name_of(collective.op),
                                             name_of(collective.group)),
                      .where = fmt::format("block {}", state_.block().name)};
  }
  switch (collective.op) {
    case CollectiveOp::all_reduce: {
      const int64_t rest = buffer(op_->out[0]).elements() - count;
      const int64_t skip = collective.maximum ? 0 : rest;
      if (x != y) cpu::copy(env_.workers(), count, x + skip, y + skip);
      return group->all_reduce(y + skip, count, collective.maximum ? ReduceOp::max : ReduceOp::sum);
    }
    case CollectiveOp::all_gather:
      return group->all_gather(x, y, collective.bytes / size);
    case CollectiveOp::reduce_scatter:
      return group->reduce_scatter(x, y, count / size);
    case CollectiveOp::all_to_all:
      return group->all_to_all(x, y, collective.bytes / size);
    case CollectiveOp::ring_exchange:
      return group->ring_exchange(x, y, collective.bytes);
  }
  return Done{};
}

}  // namespace meshplan
