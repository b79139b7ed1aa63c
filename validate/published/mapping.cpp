// SPDX-License-Identifier: Apache-2.0
#include "validate/published/mapping.hpp"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <utility>

#include "strategies/trainer/trainer.hpp"
#include "topologies/base/files.hpp"
#include "topologies/base/reader.hpp"

namespace meshplan {
namespace {

/// Does a word of `words` start so? "exploration" does not say "lora".
bool starts_word(const std::string& words, const std::string& start) {
  const auto letter = [](char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; };
  for (size_t at = words.find(start); at != std::string::npos; at = words.find(start, at + 1))
    if (at == 0 || !letter(words[at - 1])) return true;
  return false;
}

}  // namespace

std::string lower_case(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

std::string plain_name(std::string_view name) {
  std::string out;
  int depth = 0;
  for (const char c : name) {
    if (c == '(') ++depth;
    if (depth == 0 && std::isalnum(static_cast<unsigned char>(c)) != 0)
      out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (c == ')' && depth > 0) --depth;
  }
  return out;
}

bool Statement::holds(const std::string& text, const std::string& gpu,
                      const std::string& precision) const {
  const auto any = [](const std::vector<std::string>& list, const auto& of) {
    return std::any_of(list.begin(), list.end(), of);
  };
  const auto said = [&](const std::string& word) { return starts_word(text, word); };
  return any(words, said) && (also.empty() || any(also, said)) &&
         (gpus.empty() || any(gpus, [&](const auto& g) { return gpu.rfind(g, 0) == 0; })) &&
         (formats.empty() || any(formats, [&](const auto& f) { return precision == f; }));
}

Result<Mapping> Mapping::open() { return read(data_root() + "/validate/published/mapping.yaml"); }

Result<Mapping> Mapping::read(const std::string& path) {
  MESHPLAN_TRY(MapReader file, MapReader::open(path));
  Mapping out;
  file.text("source");
  for (MapReader& entry : file.maps("families")) {
    out.families_.push_back({entry.text("name"), entry.texts("contains")});
    MESHPLAN_CHECK(entry.finish());
  }
  for (MapReader& entry : file.maps("frameworks")) {
    out.frameworks_.push_back({entry.text("contains"), entry.text("trainer")});
    MESHPLAN_CHECK(entry.finish());
  }
  MapReader unknown = file.map("unknown");
  out.unknown_sharded_ = unknown.text("sharded");
  out.unknown_ = unknown.text("else");
  unknown.text("source");
  MESHPLAN_CHECK(unknown.finish());
  for (MapReader& entry : file.maps("generations")) {
    out.generations_.push_back({entry.text("trainer"), entry.text("framework", ""),
                                entry.text("detail", ""), entry.integer("before", 0),
                                entry.text("generation"), entry.numbers("numbers")});
    if (out.generations_.back().numbers.size() % 2 != 0)
      entry.problem("numbers", "expected pairs: first and last of each range");
    entry.text("source");
    MESHPLAN_CHECK(entry.finish());
  }
  for (MapReader& entry : file.maps("boards")) {
    out.boards_.push_back({entry.text("detail"), entry.text("gpu"), entry.text("board")});
    entry.text("source");
    MESHPLAN_CHECK(entry.finish());
  }
  for (MapReader& entry : file.maps("peaks_in_gib")) {
    out.peaks_in_gib_.push_back(entry.text("detail"));
    entry.text("source");
    MESHPLAN_CHECK(entry.finish());
  }
  for (MapReader& entry : file.maps("statements")) {
    Statement next;
    next.words = entry.texts("words");
    next.also = entry.texts("also");
    next.gpus = entry.texts("gpus");
    next.formats = entry.texts("formats");
    next.recompute = entry.text("recompute", "");
    next.says = entry.text("says");
    if (entry.has("adapters_only")) next.adapters_only = entry.boolean("adapters_only");
    next.of_experts = entry.boolean("of_experts", false);
    next.trainer = std::make_shared<MapReader>(entry.map("trainer"));
    Trainer any;
    MESHPLAN_CHECK(read_facts(*next.trainer, any));
    MESHPLAN_CHECK(next.trainer->finish());
    if (entry.has("sees_tokens")) next.sees_tokens = entry.integer("sees_tokens");
    if (entry.has("micro_batch")) next.micro_batch = entry.integer("micro_batch");
    if (entry.has("tied_head")) next.tied_head = entry.boolean("tied_head");
    if (entry.has("expert_tp")) next.expert_tp = entry.integer("expert_tp");
    MESHPLAN_CHECK(entry.finish());
    out.statements_.push_back(std::move(next));
  }
  for (MapReader& entry : file.maps("models")) {
    out.models_.push_back({entry.text("starts"), entry.text("like")});
    MESHPLAN_CHECK(entry.finish());
  }
  for (MapReader& entry : file.maps("trainers")) {
    TrainerDefaults next;
    next.id = entry.text("id");
    next.zero = static_cast<int>(entry.integer("zero"));
    if (next.zero < 0 || next.zero > 3) entry.problem("zero", "must be 0, 1, 2 or 3");
    next.fastest_vpp = entry.choice("vpp", {"one", "fastest"}) == "fastest";
    next.expert_tp = entry.text("expert_tp", "fastest") == "tp";
    next.recompute = entry.choice("recompute", {"none", "selective", "full"});
    const std::vector<std::string> words = {"core-attention", "per-operation", "activation"};
    const std::string word = entry.choice("selective", words);
    next.selective =
        static_cast<SelectiveMeaning>(std::find(words.begin(), words.end(), word) - words.begin());
    next.precision = entry.text("precision", "");
    next.saving = entry.texts("saving");
    next.vocabulary = entry.integer("vocabulary", 0);
    next.pipeline_micro_batch = entry.integer("pipeline_micro_batch", 0);
    next.flops = entry.text("flops", "");
    const std::vector<std::string> also = entry.texts("also");
    entry.text("source");
    MESHPLAN_CHECK(entry.finish());
    out.trainers_.push_back(next);
    for (const std::string& generation : also) {
      next.id = generation;
      out.trainers_.push_back(next);
    }
  }
  if (out.trainers_.empty()) file.problem("trainers", "at least one trainer is needed");
  MESHPLAN_CHECK(file.finish());
  return out;
}

std::string Mapping::family_of(const std::string& source) const {
  for (const Family& family : families_) {
    for (const std::string& word : family.contains) {
      if (source.find(word) != std::string::npos) return family.name;
    }
  }
  return source;
}

std::string Mapping::trainer_by_framework(std::string_view framework) const {
  const std::string words = lower_case(framework);
  for (const Pair& pair : frameworks_) {
    if (words.find(pair.word) != std::string::npos) return pair.value;
  }
  return "";
}

std::string Mapping::generation_of(const std::string& trainer, std::string_view framework,
                                   std::string_view detail, int64_t year) const {
  const auto has = [](std::string_view text, const std::string& word) {
    return lower_case(text).find(word) != std::string::npos;
  };
  // The number behind a word: "trial 97343".
  const auto numbered = [&](const Generation& entry) {
    if (entry.numbers.empty()) return true;
    const size_t at = lower_case(detail).find(entry.detail) + entry.detail.size();
    const double number = std::atof(std::string(detail.substr(at)).c_str());
    for (size_t i = 0; i < entry.numbers.size(); i += 2)
      if (number >= entry.numbers[i] && number <= entry.numbers[i + 1]) return true;
    return false;
  };
  for (const Generation& entry : generations_) {
    if (entry.trainer == trainer && has(framework, entry.word) && has(detail, entry.detail) &&
        numbered(entry) && (entry.before == 0 || (year > 0 && year < entry.before))) {
      return entry.id;
    }
  }
  return trainer;
}

bool Mapping::peaks_in_gib(std::string_view detail) const {
  const std::string words = lower_case(detail);
  return std::any_of(peaks_in_gib_.begin(), peaks_in_gib_.end(),
                     [&](const auto& word) { return words.find(word) != std::string::npos; });
}

std::string Mapping::board_of(const std::string& gpu, std::string_view detail) const {
  const std::string words = lower_case(detail);
  for (const Board& board : boards_) {
    if (board.gpu == gpu && words.find(board.detail) != std::string::npos) return board.id;
  }
  return gpu;
}

const TrainerDefaults& Mapping::defaults_of(const std::string& trainer) const {
  for (const TrainerDefaults& entry : trainers_) {
    if (entry.id == trainer) return entry;
  }
  return trainers_.front();
}

std::string Mapping::like(std::string_view model_name) const {
  const std::string name = plain_name(model_name);
  for (const Pair& pair : models_) {
    if (name.rfind(pair.word, 0) == 0) return pair.value;
  }
  return "";
}

}  // namespace meshplan
