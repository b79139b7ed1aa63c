// SPDX-License-Identifier: Apache-2.0
// What the readers of several trainers do alike.
#pragma once
#include <string>
#include <vector>

#include "strategies/launch/trainer_files.hpp"

namespace meshplan::launch {

/// The model that the file describes; the given one in its place when the shapes agree, so that it
/// keeps its name. A difference is noted in the config.
void adopt_model(Config& config, Model described, const Given& given);

/// For files that hold no model: the given one, else "model" is unknown.
void take_given_model(Config& config, const Given& given);

/// 0 where neither the file nor the user says it, and noted as unknown.
void set_sequence(Config& config, int64_t stated, const Given& given);
void set_global_batch(Config& config, int64_t stated, const Given& given);

/// Nodes and GPUs: the user's, else the file's (0: it has none).
void set_machine(Config& config, int64_t nodes, int64_t gpus_per_node, const Given& given);

/// The file sets (or leaves) this key so that it runs as another entry of the known trainers does:
/// the plan is that one's, and a note says why.
Status take_trainer(Config& config, const char* id, const std::string& key, const char* why);

/// The file sets (or leaves) this key so that a fact of the trainer is another than in recipes: it
/// is set, and a note says so. Nothing happens where it is so anyway.
Status take_setting(Config& config, const std::string& key, const TrainerSetting& setting);

/// A key of a trainer's file that turns a fact of the trainer on or off.
struct Switch {
  const char* name;  ///< of the key
  const char* section;
  const char* fact;                 ///< as in the trainer's file
  bool Trainer::*member;            ///< the same fact
  bool on;                          ///< what the key's truth makes of it
  bool (*matters)(const Job& job);  ///< null: in every plan
};
/// Takes what the file says of those that matter. Where it says nothing: of a flag, that it is off
/// (absent_is_off); of others, nothing.
Status take_switches(Config& config, const std::vector<Switch>& switches, bool absent_is_off);

/// "true" or "false": a truth as a value of TrainerSetting.
inline const char* truth(bool value) { return value ? "true" : "false"; }

/// dp_shard and dp_replicate from what the other degrees leave of the GPUs. `copies`: HSDP.
void set_data_parallel(Config& config, int64_t copies);

bool same_shape(const Model& a, const Model& b);

/// "2 x 2 ..." flat list of virtual stages as Megatron's layout string: E, t, L, m, |.
std::string layout_text(const std::vector<int>& split);
/// Layers of each virtual stage; empty with a message when it is malformed.
std::vector<int> layout_split(const std::string& text, std::string& problem);

/// Layers of equal virtual stages where the embedding, the loss or both count as a layer; empty if
/// they do not divide.
std::vector<int> split_with_ends(int64_t layers, int64_t stages, bool embedding, bool loss);

/// Divisors of `whole` next to `value`: "4 or 8".
std::string nearest_divisors(int64_t whole, int64_t value);
std::string nearest_multiples(int64_t step, int64_t value);

}  // namespace meshplan::launch
