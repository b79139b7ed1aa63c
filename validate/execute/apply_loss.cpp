// SPDX-License-Identifier: Apache-2.0
// Vocabulary-parallel loss. Its statistics [tokens, 3] are kept column by column: maximum | sum |
// target.
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
  switch (cross_entropy.part) {
    case CrossEntropy::Part::maximum:
      cpu::cross_entropy_maximum(workers(), shard, in(0), out(0));
      break;
    case CrossEntropy::Part::sum:
      cpu::cross_entropy_sum(workers(), shard, in(0), tokens(op_.in[1]), in(2), out(0) + n,
                             out(0) + 2 * n);
      // What torch keeps for the backward pass are log-probabilities; here the logits stand in
      // their place, and the statistics turn them into the gradient.
      if (op_.out.size() > 1) cpu::copy(workers(), n * cross_entropy.vocab, in(0), out(1));
      break;
    case CrossEntropy::Part::loss: {
      const double sum = cpu::cross_entropy_loss(n, in(0) + n, in(0) + 2 * n);
      *out(0) = static_cast<float>(sum / static_cast<double>(n));
      device_.sums().loss += sum;
      break;
    }
    case CrossEntropy::Part::gradient:
      cpu::cross_entropy_gradient(workers(), shard, static_cast<float>(env_.token_weight()), in(0),
                                  tokens(op_.in[1]), in(2), in(2) + n, out(0));
      break;
  }
  return Done{};
}

}  // namespace meshplan
