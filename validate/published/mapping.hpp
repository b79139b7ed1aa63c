// SPDX-License-Identifier: Apache-2.0
// What do the words of a published table mean, and what is taken where a row says nothing? Reads
// mapping.yaml; one file of rules, so that every choice can be looked up and none hides in code.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "topologies/base/result.hpp"

namespace meshplan {

class MapReader;

enum class SelectiveMeaning { core_attention, per_operation, activation };

struct TrainerDefaults {
  std::string id;
  std::string precision;  ///< empty: 16 bit
  int zero = 1;
  bool fastest_vpp = false;
  bool expert_tp = false;  ///< experts are cut by tp where nothing is stated; else what is fastest
  std::string recompute = "none";
  int64_t pipeline_micro_batch = 0;  ///< of pipelines where a row states none; 0: the fastest
  int64_t vocabulary =
      0;  ///< of a row that states none and names no bundled model; 0: the model's kind
  std::vector<std::string> saving;  ///< trainers that save memory where nothing else fits
  SelectiveMeaning selective = SelectiveMeaning::core_attention;
  std::string flops;  ///< how its TFLOP/s count where a row does not say; empty: full square
};

/// What any of some words in a row's id, source, model or framework says of a run.
struct Statement {
  std::vector<std::string> words;    ///< how they start, lower case
  std::vector<std::string> also;     ///< one of these as well; empty: nothing else
  std::vector<std::string> gpus;     ///< how the GPU's id starts; empty: any
  std::vector<std::string> formats;  ///< of `precision`; empty: any
  std::string says;
  std::optional<bool> adapters_only;   ///< see Trainer
  std::shared_ptr<MapReader> trainer;  ///< sections of a trainer's file, over what that file says
  bool of_experts = false;             ///< nothing to a dense model
  std::optional<int64_t> sees_tokens;  ///< most tokens that one attends to: several documents share
                                       ///< a sequence; 0: all before it
  std::optional<bool> tied_head;       ///< the head multiplies by the embedding's weights
  std::optional<int64_t> expert_tp;    ///< tensor parallelism of the experts
  std::string recompute;               ///< how much, where the row leaves it open; "": not told
  std::optional<int64_t> micro_batch;  ///< where the row states none

  /// `text` and `precision` in lower case.
  bool holds(const std::string& text, const std::string& gpu, const std::string& precision) const;
};

class Mapping {
 public:
  /// The bundled file. Error (input) with file, line and key.
  static Result<Mapping> open();
  static Result<Mapping> read(const std::string& path);

  /// Family of a source: the sources that README.md of the table counts as one, else itself.
  std::string family_of(const std::string& source) const;
  /// Trainer id by the words of `framework`; "" when nothing matches.
  std::string trainer_by_framework(std::string_view framework) const;
  /// Trainer id where no word tells it; `sharded`: gradients or weights (ZeRO 2 and 3).
  const std::string& unknown_trainer(bool sharded) const {
    return sharded ? unknown_sharded_ : unknown_;
  }
  /// Generation of `trainer` that the words of `framework` and `source_detail` and the year of the
  /// source mean (0: not stated); `trainer` when they name none.
  std::string generation_of(const std::string& trainer, std::string_view framework,
                            std::string_view detail, int64_t year) const;
  /// Board that a source's machines have where the GPU's name alone would mean another: its id, or
  /// `gpu` itself.
  std::string board_of(const std::string& gpu, std::string_view detail) const;
  /// Are this source's peaks in GiB, though neither its column nor its notes say so?
  bool peaks_in_gib(std::string_view detail) const;
  /// Defaults of a trainer; those of megatron-core for a trainer without an entry.
  const TrainerDefaults& defaults_of(const std::string& trainer) const;
  const std::vector<Statement>& statements() const { return statements_; }
  /// Bundled model of the kind of this name; "" when nothing matches.
  std::string like(std::string_view model_name) const;

 private:
  struct Family {
    std::string name;
    std::vector<std::string> contains;
  };
  struct Pair {
    std::string word, value;
  };
  struct Generation {
    std::string trainer, word, detail;
    int64_t before;  ///< year; 0: any
    std::string id;
    std::vector<double> numbers;  ///< pairs, first and last, of what follows `detail`; empty: any
  };
  struct Board {
    std::string detail, gpu, id;
  };
  std::vector<Board> boards_;
  std::vector<std::string> peaks_in_gib_;  ///< words of `source_detail`
  std::vector<Family> families_;
  std::vector<Generation> generations_;
  std::vector<Pair> frameworks_;
  std::string unknown_, unknown_sharded_;
  std::vector<Pair> models_;
  std::vector<Statement> statements_;
  std::vector<TrainerDefaults> trainers_;
};

/// Lower case, letters and digits only, nothing in parentheses: "Llama 3.1 8B (L4)" -> "llama318b".
std::string plain_name(std::string_view name);
std::string lower_case(std::string_view text);

}  // namespace meshplan
