// SPDX-License-Identifier: Apache-2.0
// Which features does every entity have?
#pragma once
#include "validate/embedding/graph.hpp"

namespace meshplan::graph {

/// Lines "entity <tab> feature feature ...". Features are numbered in the order in which they are
/// first seen. Errors (input): a broken line, an entity without features, unreadable.
Result<Features> read_features(const std::string& path, const Names& entities);

}  // namespace meshplan::graph
