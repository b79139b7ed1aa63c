// SPDX-License-Identifier: Apache-2.0
#include <charconv>
#include <sstream>

#include "validate/emulate/emulate.hpp"

namespace meshplan {

Result<RankChoice> rank_choice_from(const std::string& text) {
  RankChoice out;
  const auto wrong = [&](const std::string& part) {
    return Diagnostic{.kind = ErrorKind::usage,
                      .message = "no coordinate of a rank",
                      .where = "--emulate-rank",
                      .value = part,
                      .hint = "stage=3,tp=0 with stage, tp, cp, ep, data"};
  };
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, ',');) {
    const size_t equals = part.find('=');
    if (equals == std::string::npos) return wrong(part);
    int* target = nullptr;
    const std::string name = part.substr(0, equals);
    if (name == "stage" || name == "pp") target = &out.stage;
    if (name == "tp") target = &out.tp;
    if (name == "cp") target = &out.cp;
    if (name == "ep") target = &out.ep;
    if (name == "data" || name == "dp") target = &out.data;
    if (target == nullptr) return wrong(part);
    const char* const end = part.data() + part.size();
    const auto [stop, error] = std::from_chars(part.data() + equals + 1, end, *target);
    if (error != std::errc() || stop != end || *target < 0) return wrong(part);
  }
  return out;
}

}  // namespace meshplan
