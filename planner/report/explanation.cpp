// SPDX-License-Identifier: Apache-2.0
#include "planner/report/explanation.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "planner/report/format.hpp"
#include "planner/report/table.hpp"

namespace meshplan::report {
namespace {

std::string signed_percent(double share) { return fmt::format("{:+.1f} %", 100 * share); }

std::string reason(const Diagnostic& refusal) {
  return refusal.rule.empty() ? refusal.message : refusal.rule;
}

std::string neighbours_table(const Explanation& x) {
  Table table({{"change", Align::left},
               {"step", Align::right},
               {"", Align::right},
               {"memory", Align::right},
               {"", Align::left}});
  std::string refused;
  for (const Alternative& other : x.neighbours) {
    if (!other.estimate) {
      refused += "  refused: " + wrapped(other.change + ": " + reason(*other.refusal), 11) + '\n';
      continue;
    }
    const StepEstimate& e = *other.estimate;
    table.add({other.change, seconds(e.step_s), signed_percent(e.step_s / x.estimate.step_s - 1),
               gib(static_cast<double>(e.peak_memory_bytes)), e.fits ? "" : "does not fit"});
  }
  return table.text() + refused;
}

std::string words_of(Provenance provenance) {
  switch (provenance) {
    case Provenance::measured:
      return "a measured point of this GPU";
    case Provenance::interpolated:
      return "between measured points, or a fit of them";
    case Provenance::scaled:
      return "another GPU's measurements, by datasheet peaks";
    case Provenance::datasheet:
      return "datasheet peaks alone";
    case Provenance::assumed:
      return "an assumption, see the data file";
  }
  return "?";
}

std::string why_not_text(const Alternative& other, const StepEstimate& base) {
  std::string out = fmt::format("why not {}?\n  ", other.change.empty() ? "that" : other.change);
  if (other.change.empty()) return out + "this is what the plan has\n";
  if (other.refusal) {
    std::string text = render(*other.refusal);
    const std::string prefix = "error: ";
    if (text.rfind(prefix, 0) == 0) text.erase(0, prefix.size());
    return out + text;
  }
  const StepEstimate& e = *other.estimate;
  if (!e.fits) {
    if (e.peak_memory_bytes <= e.capacity_bytes)
      return out + fmt::format("out of host memory: {} a GPU needed, {} there\n",
                               gib(static_cast<double>(e.host_memory_bytes)),
                               gib(static_cast<double>(e.host_capacity_bytes)));
    const auto most = grown(base.memory, e.memory);
    out += fmt::format("out of memory on stage {}: {} needed, {} too much", e.peak_stage + 1,
                       gib(static_cast<double>(e.peak_memory_bytes)),
                       gib(static_cast<double>(e.peak_memory_bytes - e.capacity_bytes)));
    if (!most.empty()) out += fmt::format("; {} +{}", most.front().name, gib(most.front().value));
    return out + '\n';
  }
  if (e.step_s < base.step_s)
    return out + fmt::format("it is faster: {}, {}\n", seconds(e.step_s),
                             signed_percent(e.step_s / base.step_s - 1));
  out +=
      fmt::format("slower: {}, {}", seconds(e.step_s), signed_percent(e.step_s / base.step_s - 1));
  const auto most = grown(base.time, e.time);
  for (size_t i = 0; i < std::min<size_t>(2, most.size()); ++i)
    out += fmt::format("; {} +{}", most[i].name, seconds(most[i].value));
  return out + '\n';
}

Json json_of(const Alternative& other, const Question& q) {
  Json out = {{"change", other.change}, {"strategy", to_json(other.plan, q.batch)}};
  if (other.refusal)
    out["refused"] = {{"rule", other.refusal->rule},
                      {"message", other.refusal->message},
                      {"hint", other.refusal->hint}};
  else
    out["estimate"] = to_json(*other.estimate, q);
  return out;
}

void rows(Table& table, const std::vector<Part>& a, const std::vector<Part>& b,
          std::string (*text)(double)) {
  std::vector<std::string> names;
  for (const auto* parts : {&a, &b})
    for (const Part& part : *parts)
      if (std::find(names.begin(), names.end(), part.name) == names.end())
        names.push_back(part.name);
  const auto value = [](const std::vector<Part>& parts, const std::string& name) {
    for (const Part& part : parts)
      if (part.name == name) return part.value;
    return 0.0;
  };
  for (const auto& name : names) {
    const double left = value(a, name), right = value(b, name), more = right - left;
    const std::string sign = more > 0 ? "+" : more < 0 ? "-" : "";
    table.add({name, text(left), text(right), sign + text(std::abs(more))});
  }
}

}  // namespace

std::vector<Part> top_down(const StepEstimate& e) {
  const double ideal = e.mfu * e.step_s;
  double math = 0, network = 0, bubble = 0, other = 0;
  for (const Part& part : e.time) {
    if (part.name == "matrix products" || part.name == "attention")
      math += part.value;
    else if (part.name.find("exposed") != std::string::npos ||
             part.name.find("tied") != std::string::npos)
      network += part.value;
    else if (part.name.find("bubble") != std::string::npos)
      bubble += part.value;
    else
      other += part.value;
  }
  return {{"model FLOPs at the GPU's peak", ideal},
          {"products and attention below peak, recompute", math - ideal},
          {"communication that is waited for", network},
          {"pipeline bubble", bubble},
          {"everything else", other}};
}

std::string to_text(const Explanation& x, const Question& q) {
  std::string out = to_text(q) + '\n' + to_text(x.estimate, q) + '\n';
  Table top({{"from the top", Align::left}, {"", Align::right}, {"", Align::right}});
  for (const Part& part : top_down(x.estimate))
    top.add({part.name, seconds(part.value), percent(part.value / x.estimate.step_s)});
  Table more({{"10 % more of", Align::left}, {"changes the step by", Align::right}});
  for (const Elasticity& each : x.elasticities)
    more.add({each.resource, signed_percent(each.change)});
  Table from({{"times come from", Align::left}, {"", Align::right}, {"each within", Align::right}});
  for (const TimeSource& source : x.sources)
    from.add({words_of(source.provenance), percent(source.share),
              source.relative_error > 0 ? fmt::format("+-{:.0f} %", 100 * source.relative_error)
                                        : std::string("not known")});
  out += top.text() + '\n' + more.text() + '\n' + from.text();
  if (!x.neighbours.empty()) out += "\none knob changed\n" + neighbours_table(x);
  for (const Alternative& other : x.why_not) out += '\n' + why_not_text(other, x.estimate);
  return out;
}

Json to_json(const Explanation& x, const Question& q) {
  Json out = {{"schema", "meshplan.explain/1"},
              {"inputs", to_json(q)},
              {"provenance", provenance_of(q)},
              {"estimate", to_json(x.estimate, q)}};
  for (const Part& part : top_down(x.estimate))
    out["top_down"][key_of(part.name, "s")] = part.value;
  out["elasticities"] = Json::array();
  for (const Elasticity& each : x.elasticities)
    out["elasticities"].push_back({{"resource", each.resource},
                                   {"more_fraction", 0.1},
                                   {"step_change_fraction", each.change}});
  out["time_sources"] = Json::array();
  for (const TimeSource& source : x.sources)
    out["time_sources"].push_back({{"provenance", name_of(source.provenance)},
                                   {"time_fraction", source.share},
                                   {"relative_error_fraction", source.relative_error}});
  for (const auto& [key, all] :
       {std::pair{"neighbours", &x.neighbours}, std::pair{"why_not", &x.why_not}}) {
    out[key] = Json::array();
    for (const Alternative& other : *all) out[key].push_back(json_of(other, q));
  }
  return out;
}

std::string compared(const StepEstimate& a, const StepEstimate& b) {
  std::string out = fmt::format("A  {}\nB  {}\n\n", brief(a.plan), brief(b.plan));
  const auto time = [](double value) { return seconds(value); };
  const auto bytes = [](double value) { return gib(value); };
  Table table(
      {{"", Align::left}, {"A", Align::right}, {"B", Align::right}, {"B - A", Align::right}});
  rows(table, a.time, b.time, time);
  rows(table, {{"step", a.step_s}}, {{"step", b.step_s}}, time);
  out += table.text() + '\n';
  Table memory(
      {{"", Align::left}, {"A", Align::right}, {"B", Align::right}, {"B - A", Align::right}});
  rows(memory, a.memory, b.memory, bytes);
  rows(memory, {{"peak memory", static_cast<double>(a.peak_memory_bytes)}},
       {{"peak memory", static_cast<double>(b.peak_memory_bytes)}}, bytes);
  out += memory.text() + '\n';
  Table rates({{"", Align::left}, {"A", Align::right}, {"B", Align::right}});
  rates.add({"TFLOP/s per GPU", significant(a.tflops_per_gpu), significant(b.tflops_per_gpu)});
  rates.add({"MFU", percent(a.mfu), percent(b.mfu)});
  rates.add({"tokens/s per GPU", significant(a.tokens_per_s_per_gpu),
             significant(b.tokens_per_s_per_gpu)});
  rates.add({"GPUs", grouped(a.plan.world()), grouped(b.plan.world())});
  rates.add({"fits", a.fits ? "yes" : "no", b.fits ? "yes" : "no"});
  out += rates.text() + '\n';
  const bool apart = a.step_high_s < b.step_s || b.step_high_s < a.step_s;
  const bool band = a.step_low_s < a.step_high_s;
  if (a.step_s == b.step_s) return out + "the same step time\n";
  out += fmt::format("{} is {} faster a step", a.step_s < b.step_s ? "A" : "B",
                     percent(1 - std::min(a.step_s, b.step_s) / std::max(a.step_s, b.step_s)));
  if (band && !apart) out += "; a tie: nearer than predictions are to reality";
  return out + '\n';
}

}  // namespace meshplan::report
