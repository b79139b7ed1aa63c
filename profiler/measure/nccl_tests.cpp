// SPDX-License-Identifier: Apache-2.0
#include "profiler/measure/nccl_tests.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <regex>
#include <sstream>

namespace meshplan {
namespace {

using Json = nlohmann::json;

Diagnostic bad(const std::string& what, const std::string& hint = "") {
  return {.kind = ErrorKind::input, .message = what, .rule = "nccl-tests.format", .hint = hint};
}

/// From the name of a program of nccl-tests, or of the collective in it.
std::optional<CollectiveOp> op_of(const std::string& name) {
  constexpr std::array<std::pair<const char*, CollectiveOp>, 5> kKnown = {
      {{"all_reduce", CollectiveOp::all_reduce},
       {"all_gather", CollectiveOp::all_gather},
       {"reduce_scatter", CollectiveOp::reduce_scatter},
       {"alltoall", CollectiveOp::all_to_all},
       {"sendrecv", CollectiveOp::ring_exchange}}};
  for (const auto& [known, op] : kKnown) {
    if (name == known) return op;
  }
  return std::nullopt;
}

/// Which program wrote the text, or was asked for.
Result<CollectiveOp> find_op(const std::string& text, const std::string& asked) {
  std::string name = asked;
  if (name.empty()) {
    static const std::regex program("([a-z0-9_]+)_perf");
    std::smatch found;
    if (!std::regex_search(text, found, program)) {
      return bad("the text does not tell which collective it is of",
                 "--collective all_reduce, all_gather, reduce_scatter, alltoall or sendrecv");
    }
    name = found[1];
  }
  const std::optional<CollectiveOp> op = op_of(name);
  if (op) return *op;
  return bad(fmt::format("no step program has the collective '{}'", name),
             "all_reduce, all_gather, reduce_scatter, alltoall, sendrecv");
}

/// Every object of the document that `wanted` takes, in order.
void collect(const Json& json, const std::function<bool(const Json&)>& wanted,
             std::vector<const Json*>& out) {
  if (json.is_object() && wanted(json)) {
    out.push_back(&json);
    return;
  }
  if (!json.is_structured()) return;
  for (const Json& item : json) collect(item, wanted, out);
}

Result<NcclTestsRun> from_json(const Json& document, const std::string& text,
                               const std::string& asked) {
  NcclTestsRun run;
  MESHPLAN_TRY(run.op, find_op(document.contains("args") ? document["args"].dump() : text, asked));
  std::vector<const Json*> ranks, rows;
  collect(
      document, [](const Json& j) { return j.contains("device_info"); }, ranks);
  collect(
      document,
      [](const Json& j) {
        return j.contains("size") && (j.contains("out_of_place") || j.contains("in_place"));
      },
      rows);
  run.ranks = static_cast<int>(ranks.size());
  if (!ranks.empty() && (*ranks[0])["device_info"].is_string()) {
    run.gpu = (*ranks[0])["device_info"].get<std::string>();
  }
  for (const Json* row : rows) {
    const auto size = row->value("size", 0.0);
    for (const char* place : {"out_of_place", "in_place"}) {
      if (!row->contains(place) || !(*row)[place].is_object()) continue;
      const Json& times = (*row)[place];
      if (!times.contains("time") || !times["time"].is_number()) continue;
      const double us = times["time"].get<double>();
      if (size > 0 && us > 0) run.seconds.emplace_back(size, us * 1e-6);
      break;
    }
  }
  return run;
}

Result<NcclTestsRun> from_log(const std::string& text, const std::string& asked) {
  NcclTestsRun run;
  MESHPLAN_TRY(run.op, find_op(text, asked));
  std::istringstream lines(text);
  size_t time_column = 0;  // of the rows; 0: no heading yet
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::vector<std::string> tokens;
    for (std::string word; words >> word;) tokens.push_back(word);
    if (tokens.size() < 2) continue;
    if (tokens[0] == "#" && tokens[1] == "Rank") {
      ++run.ranks;
      const size_t bracket = line.rfind(']');
      if (run.ranks == 1 && bracket != std::string::npos && bracket + 2 < line.size()) {
        run.gpu = line.substr(bracket + 2);
      }
      continue;
    }
    if (tokens[0] == "#") {
      const auto time = std::find(tokens.begin(), tokens.end(), "time");
      if (tokens[1] == "size" && time != tokens.end()) {
        time_column = static_cast<size_t>(time - tokens.begin()) - 1;  // without '#'
      }
      continue;
    }
    if (time_column == 0 || tokens.size() <= time_column) continue;
    char* end = nullptr;
    const double size = std::strtod(tokens[0].c_str(), &end);
    if (*end != '\0') continue;
    const double us = std::strtod(tokens[time_column].c_str(), &end);
    if (*end == '\0' && size > 0 && us > 0) run.seconds.emplace_back(size, us * 1e-6);
  }
  return run;
}

}  // namespace

Result<NcclTestsRun> read_nccl_tests(const std::string& text, const std::string& op) {
  const Json document = Json::parse(text, nullptr, false);
  Result<NcclTestsRun> read =
      document.is_object() ? from_json(document, text, op) : from_log(text, op);
  if (!read.ok()) return read;
  NcclTestsRun& run = *read;
  if (run.seconds.empty()) return bad("there are no rows with sizes and times");
  if (run.ranks < 2) return bad("the ranks of the run are not listed, or it had only one");
  std::sort(run.seconds.begin(), run.seconds.end());
  // several runs of a size: the shortest, which comes first
  const auto same = [](const auto& a, const auto& b) { return a.first == b.first; };
  run.seconds.erase(std::unique(run.seconds.begin(), run.seconds.end(), same), run.seconds.end());
  return read;
}

Status add_to_profile(const NcclTestsRun& run, CpuProfile& profile) {
  std::vector<double> sizes, values;
  for (const auto& [bytes, seconds] : run.seconds) {
    sizes.push_back(bytes);
    values.push_back(seconds / bytes);
  }
  MESHPLAN_TRY(const GridTable table, GridTable::make({sizes}, values));
  auto tables = std::find_if(profile.tables.begin(), profile.tables.end(),
                             [&](const CpuTables& one) { return one.ranks == run.ranks; });
  if (tables == profile.tables.end()) {
    CpuTables fresh;
    // kernels of a GPU do not depend on how many others there are
    if (profile.device == "cuda" && !profile.tables.empty()) fresh = profile.tables.front();
    fresh.ranks = run.ranks;
    const auto after = std::find_if(profile.tables.begin(), profile.tables.end(),
                                    [&](const CpuTables& one) { return one.ranks > run.ranks; });
    tables = profile.tables.insert(after, std::move(fresh));
  }
  tables->kernels[name_of(run.op)] = table;
  if (run.op == CollectiveOp::ring_exchange) tables->kernels["send"] = table;
  return Done{};
}

}  // namespace meshplan
