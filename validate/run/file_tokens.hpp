// SPDX-License-Identifier: Apache-2.0
// Which tokens does a file hold? A text file, a token per byte, or token numbers of a tokenizer one
// after the other (16 or 32 bits, little endian), as most trainers keep them. Mapped into memory.
#pragma once
#include <memory>
#include <string>

#include "strategies/plan/plan.hpp"
#include "validate/execute/initial.hpp"

namespace meshplan {

enum class TokenFormat : uint8_t { byte, uint16, uint32 };

/// Sequences are cut out of the file in order, from the start again at the end: sequence i of step
/// s is number s * global_sequences + i.
class FileTokens : public TokenSource {
 public:
  /// Errors (input): unreadable, not whole tokens, shorter than one sequence and a token; (usage):
  /// a token per byte for a vocabulary below 256.
  static Result<FileTokens> open(const std::string& path, TokenFormat format, const Batch& batch,
                                 int64_t vocabulary);
  /// Error (input): a number beyond the vocabulary, with its place.
  Status read(int64_t step, int64_t index, int64_t length, int32_t* tokens) const override;
  int64_t count() const { return count_; }

 private:
  int64_t at(int64_t place) const;

  std::string path_;
  TokenFormat format_ = TokenFormat::byte;
  std::shared_ptr<const unsigned char> map_;
  int64_t count_ = 0, sequences_per_step_ = 1, vocabulary_ = 0;
};

}  // namespace meshplan
