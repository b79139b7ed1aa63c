// SPDX-License-Identifier: Apache-2.0
// Which known name did the user probably mean? One function for flags, keys, models, GPUs, rules.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace meshplan {

/// Number of single-character edits (insert, delete, substitute, swap neighbours) from a to b.
int edit_distance(std::string_view a, std::string_view b);

/// The candidate with the smallest distance (case ignored), or "" when none is near enough
/// (more than a third of the letters differ). Ties go to the first.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

/// "did you mean 'x'?" or, when nothing is near, "known: a, b, c".
std::string suggest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace meshplan
