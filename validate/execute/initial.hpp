// SPDX-License-Identifier: Apache-2.0
// With which weights and tokens does a run start? Numbers that depend on a name and a place in the
// whole tensor (or corpus) alone, so that every plan trains the same model on the same data.
#pragma once
#include <cstdint>
#include <string>

#include "validate/execute/parts.hpp"

namespace meshplan {

/// Element `index` of the sequence that belongs to `key`: SplitMix64 (Steele et al. 2014) at a
/// counter.
uint64_t random_bits(uint64_t key, uint64_t index);
/// Key of a name under a seed.
uint64_t random_key(const std::string& name, uint64_t seed);
/// About normal, mean 0, deviation 1, from four 16-bit uniforms (Irwin-Hall): no libm, the same
/// bits on every machine; never beyond 3.5.
float random_normal(uint64_t key, uint64_t index);

/// Which numbers does a tensor start with?
class WeightSource {
 public:
  virtual ~WeightSource() = default;
  /// Writes the part's elements inside the range to data [range.count].
  virtual Status fill(const TensorPart& part, const FlatRange& range, float* data) const = 0;
};

struct InitialWeights {
  uint64_t seed = 1;
  double deviation = 0.02;  ///< of matrices; norms start at 1, biases at 0
};

class RandomWeights : public WeightSource {
 public:
  explicit RandomWeights(const InitialWeights& initial) : initial_(initial) {}
  Status fill(const TensorPart& part, const FlatRange& range, float* data) const override;

 private:
  InitialWeights initial_;
};

/// Where training text comes from.
class TokenSource {
 public:
  virtual ~TokenSource() = default;
  /// tokens [length + 1] of sequence `index` of optimizer step `step`: inputs, and targets one on.
  virtual Status read(int64_t step, int64_t index, int64_t length, int32_t* tokens) const = 0;
};

/// Random tokens, low numbers more often than high ones, so that there is something to learn.
class RandomTokens : public TokenSource {
 public:
  RandomTokens(int64_t vocabulary, uint64_t seed) : vocabulary_(vocabulary), seed_(seed) {}
  Status read(int64_t step, int64_t index, int64_t length, int32_t* tokens) const override;

 private:
  int64_t vocabulary_;
  uint64_t seed_;
};

}  // namespace meshplan
