// SPDX-License-Identifier: Apache-2.0
#include "validate/published/graph/row.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "topologies/base/nearest.hpp"

namespace meshplan::graph {
namespace {

bool holds(const std::string& text, const std::string& word) {
  return text.find(word) != std::string::npos;
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

template <class Words>
const Words* first_match(const std::vector<Words>& words, const std::string& text) {
  for (const Words& one : words)
    if (holds(text, one.contains)) return &one;
  return nullptr;
}

/// The number behind a word: "buffer capacity 8", "(buffer 16 partitions)".
int64_t number_after(const std::string& text, const std::string& word) {
  const size_t at = text.find(word);
  if (at == std::string::npos) return 0;
  const size_t digit = text.find_first_of("0123456789", at + word.size());
  return digit == std::string::npos ? 0 : std::atoll(text.c_str() + digit);
}

/// What the measured columns say, as edges a second of the whole run.
std::optional<double> measured_rate(const CsvTable& table, const CsvRecord& record, double edges) {
  const auto number = [&](const char* column) { return count_from(table.cell(record, column)); };
  if (const auto epoch = number("epoch_time_s"); epoch && *epoch > 0 && edges > 0)
    return edges / *epoch;
  if (const auto rate = number("edges_per_s"); rate && *rate > 0) return rate;
  const auto hours = number("train_time_h"), epochs = number("epochs");
  if (hours && epochs && *hours > 0 && *epochs > 0 && edges > 0)
    return edges * *epochs / (*hours * 3600);
  return std::nullopt;
}

}  // namespace

bool is_graph_table(const CsvTable& table) {
  const std::vector<std::string>& header = table.header();
  return std::find(header.begin(), header.end(), "edges") != header.end() &&
         std::find(header.begin(), header.end(), "negatives") != header.end();
}

std::optional<double> count_from(std::string_view text) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || !std::isfinite(value) || value < 0) return std::nullopt;
  if (stop == end) return value;
  if (stop + 1 != end) return std::nullopt;
  switch (*stop) {
    case 'K':
      return value * 1e3;
    case 'M':
      return value * 1e6;
    case 'B':
      return value * 1e9;
    default:
      return std::nullopt;
  }
}

GraphRow read_graph_row(const CsvTable& table, const CsvRecord& record, const Systems& systems) {
  GraphRow out;
  const auto cell = [&](const char* column) { return std::string(table.cell(record, column)); };
  const auto number = [&](const char* column) { return count_from(table.cell(record, column)); };
  out.line = record.line;
  out.id = cell("id");
  out.source = cell("source");
  out.system = cell("system");
  out.dataset = cell("dataset");
  const auto refuse = [&](std::string why) {
    out.refusal = std::move(why);
    return out;
  };
  if (!record.problem.empty()) return refuse(record.problem);
  for (const char* column : {"nodes", "edges", "relations", "dim", "partitions", "machines",
                             "workers_or_threads", "batch", "negatives", "epochs", "train_time_h",
                             "epoch_time_s", "edges_per_s", "peak_mem_gb"})
    if (!cell(column).empty() && !number(column) && std::string(column) != "workers_or_threads")
      return refuse(fmt::format("{} is no number: '{}'", column, cell(column)));
  const std::string notes = lower(cell("notes")), system = lower(out.system);
  double edges = number("edges").value_or(0);
  for (const auto& [dataset, trained] : systems.training_edges)
    if (dataset == out.dataset) edges = static_cast<double>(trained);
  out.measured_edges_per_s = measured_rate(table, record, edges);
  if (const auto memory = number("peak_mem_gb"); memory && holds(notes, "size of the parameters"))
    out.measured_bytes = *memory * 1e9;
  if (!out.measured_edges_per_s) return refuse("no time was measured");
  if (holds(notes, "edges/s left empty")) return refuse("the number of workers is not stated");
  const std::string gpu = lower(cell("gpu"));
  if (gpu.empty()) return refuse("the machine is not stated");
  const MachineWords* machine = first_match(systems.machines, gpu);
  if (machine == nullptr) return refuse("no rates of the machine are known");
  const System* known = first_match(systems.systems, system);
  if (known == nullptr) return refuse("what the system does with a batch is not known");
  const ModelWords* model = first_match(systems.models, system);
  if (model == nullptr || !model->expressible)
    return refuse("the model is none of a graph workload's");
  for (const char* column : {"nodes", "edges", "dim"})
    if (number(column).value_or(0) <= 0) return refuse(fmt::format("{} is not stated", column));
  const auto fact =
      std::find_if(systems.facts.begin(), systems.facts.end(), [&](const SourceFact& one) {
        return one.source == out.source && one.dataset == out.dataset;
      });
  const SourceFact silent;
  const SourceFact& said = fact == systems.facts.end() ? silent : *fact;
  const auto whole = [&](const char* column, int64_t otherwise) {
    const auto value = number(column);
    return value ? static_cast<int64_t>(*value) : otherwise;
  };
  const int64_t batch = whole("batch", said.batch), negatives = whole("negatives", said.negatives);
  if (batch <= 0) return refuse("batch is not stated");
  if (negatives <= 0) return refuse("negatives is not stated");

  GraphQuestionRow q;
  q.system = *known;
  Workload& w = q.workload;
  w.name = out.id;
  w.entities = {{.name = "node", .count = static_cast<int64_t>(*number("nodes"))}};
  w.relations = {{.name = "all", .op = model->op}};
  w.dynamic_relations = model->op != Operator::none;
  w.dynamic_count = std::max<int64_t>(1, whole("relations", 1));
  w.edges = static_cast<int64_t>(edges);
  w.dimension = static_cast<int64_t>(*number("dim"));
  w.comparator = model->comparator;
  w.loss = Loss::softmax;
  w.batch = batch;
  w.negatives.batch = w.negatives.uniform = std::max<int64_t>(1, std::min(negatives, batch) / 2);
  w.negatives.lhs = known->sides > 1;
  const int64_t gpus = std::max<int64_t>(1, number_after(" " + gpu, ""));
  q.cluster = fmt::format("1x{}x{}", gpus, machine->gpu);
  q.workers = std::max<int64_t>(gpus, whole("workers_or_threads", 1));
  q.rows_on_host = holds(notes, "cpu memory") || (known->workers_share && q.workers > 1);
  q.pbg_order = holds(system, "pbg");
  q.partitions = whole("partitions", 0);
  q.resident = number_after(notes, "buffer capacity");
  if (q.resident == 0) q.resident = number_after(system, "(buffer");
  q.storage_bytes_per_s = said.storage_bytes_per_s;
  if (q.partitions == 0 && (q.resident > 0 || q.pbg_order)) q.partitions = said.partitions;
  q.partitions = std::max<int64_t>(1, q.partitions);
  if (q.resident == 0) q.resident = std::min<int64_t>(2, q.partitions);
  if (q.partitions > 1 && q.storage_bytes_per_s <= 0)
    return refuse("the rate of the disk is not stated");
  out.question = std::move(q);
  return out;
}

}  // namespace meshplan::graph
