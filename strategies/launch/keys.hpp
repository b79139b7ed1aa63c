// SPDX-License-Identifier: Apache-2.0
// Which keys does a release of a trainer know, of which type, with which choices?
//
// One data file a trainer and release, strategies/data/launch/<trainer>-<release>.keys: a key, its
// type (int, float, bool, text, list, flag, any), and what it may be, on each line; taken from the
// trainer's own parser by tests/trainers/keys.py. "prefix.*" stands for anything below.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "strategies/launch/job.hpp"
#include "strategies/launch/settings.hpp"
#include "topologies/base/result.hpp"

namespace meshplan::launch {

struct KeyType {
  std::string type;
  std::vector<std::string> choices;  ///< empty: any value of the type
};
using KeyTable = std::map<std::string, KeyType>;

/// Error (input): the data file is missing or malformed.
Result<KeyTable> load_keys(const std::string& trainer, Version version);

/// Is the key known, itself or by a prefix?
const KeyType* find_key(const KeyTable& keys, const std::string& key);

/// "" if the value is of the type and among the choices, else what was expected.
std::string mismatch(const KeyType& type, const Json& value);

}  // namespace meshplan::launch
