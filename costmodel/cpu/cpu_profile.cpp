// SPDX-License-Identifier: Apache-2.0
#include "costmodel/cpu/cpu_profile.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "topologies/base/reader.hpp"

namespace meshplan {
namespace {

constexpr const char* kSchema = "meshplan.cpu-profile/1";
constexpr const char* kGpuSchema = "meshplan.gpu-profile/1";

const char* name_of(Pass pass) { return pass == Pass::forward ? "forward" : "backward"; }

CpuWork stream(const std::string& kernel, double elements) {
  return {kernel, {elements}, elements};
}

struct Works {
  CpuWork operator()(const Gemm& gemm) const {
    const auto m = static_cast<double>(gemm.m), n = static_cast<double>(gemm.n),
               k = static_cast<double>(gemm.k);
    const char* name = gemm.layout == Layout::tn   ? "product-tn"
                       : gemm.layout == Layout::nn ? "product-nn"
                                                   : "product-nt";
    return {name, {m, n, k}, 2 * m * n * k * static_cast<double>(gemm.groups)};
  }
  CpuWork operator()(const Attention& a) const {
    const auto q = static_cast<double>(a.q_len), kv = static_cast<double>(a.kv_len),
               d = static_cast<double>(a.head_dim);
    const double products = a.pass == Pass::forward ? 2 : 5;
    return {fmt::format("attention-{}", name_of(a.pass)),
            {std::sqrt(q * kv), d},
            products * 2 * q * kv * d * a.work * static_cast<double>(a.batch * a.heads)};
  }
  CpuWork operator()(const Norm& n) const {
    return stream(fmt::format("norm-{}", name_of(n.pass)), static_cast<double>(n.rows * n.cols));
  }
  CpuWork operator()(const Rope& r) const {
    return stream("rope", static_cast<double>(r.tokens * (r.heads + 2 * r.kv_heads) * r.head_dim));
  }
  CpuWork operator()(const Activate& a) const {
    return stream(fmt::format("activation-{}", name_of(a.pass)),
                  static_cast<double>(a.rows * a.cols));
  }
  CpuWork operator()(const Elementwise& e) const {
    return stream("add", static_cast<double>(e.elements));
  }
  CpuWork operator()(const Embedding& e) const {
    return stream(fmt::format("embedding-{}", name_of(e.pass)),
                  static_cast<double>(e.tokens * e.hidden));
  }
  CpuWork operator()(const CrossEntropy& c) const {
    const auto elements = static_cast<double>(c.tokens * c.vocab);
    switch (c.part) {
      case CrossEntropy::Part::maximum:
        return stream("loss-maximum", elements);
      case CrossEntropy::Part::sum:
        return stream("loss-sum", elements);
      case CrossEntropy::Part::gradient:
        return stream("loss-gradient", elements);
      case CrossEntropy::Part::loss:
        return {};
    }
    return {};
  }
  CpuWork operator()(const Permute& p) const {
    return stream("add", static_cast<double>(p.rows * p.hidden));
  }
  CpuWork operator()(const Collective& c) const {
    return cpu_work(c.op, static_cast<double>(c.bytes));
  }
  CpuWork operator()(const Softmax&) const { return {}; }
  CpuWork operator()(const BatchedGemm&) const { return {}; }
  CpuWork operator()(const Route&) const { return {}; }
  CpuWork operator()(const GradientNorm&) const { return {}; }   // see cpu_update
  CpuWork operator()(const OptimizerStep&) const { return {}; }  // see cpu_update
  CpuWork operator()(const PartitionMove& p) const {
    const auto bytes = static_cast<double>(p.bytes);
    if (p.tier == Tier::peer) return cpu_message(bytes);
    return stream(p.load ? "partition-load" : "partition-store", bytes);
  }
  CpuWork operator()(const BucketStep&) const { return {}; }  // see cpu_bucket
};

std::string list(const std::vector<double>& values) {
  std::string out;
  for (const double value : values) out += fmt::format("{}{:.4g}", out.empty() ? "" : ", ", value);
  return "[" + out + "]";
}

}  // namespace

CpuWork cpu_work(const Body& body) { return std::visit(Works{}, body); }
CpuWork cpu_work(CollectiveOp op, double bytes) { return stream(meshplan::name_of(op), bytes); }
CpuWork cpu_message(double bytes) { return stream("send", bytes); }
std::vector<CpuWork> cpu_update(double elements) {
  return {stream("zero", elements), stream("squared-norm", elements), stream("adamw", elements)};
}

std::vector<CpuWork> cpu_bucket(const BucketStep& b, const GraphScale& scale) {
  const auto edges = static_cast<double>(b.edges), d = static_cast<double>(b.dimension),
             sides = static_cast<double>(b.sides), n = static_cast<double>(b.negatives());
  const auto c = static_cast<double>(std::max<int64_t>(1, std::min(b.chunk, b.batch)));
  const double rows = edges * (2 + sides * static_cast<double>(b.uniform) / c);
  const char* chunks = b.in == DType::bf16 ? "edge-chunk-bf16" : "edge-chunk";
  std::vector<CpuWork> out = {{chunks, {c, n / c, d}, 6 * n * d * sides * edges},
                              {"edge-draw", {scale.edges}, edges},
                              {"row-gather", {scale.table_bytes, d}, rows * d * 4},
                              {"row-step", {scale.table_bytes, d}, rows * d * 4}};
  const auto parameters = static_cast<double>(b.parameters);
  if (b.parameters > 0)
    out.push_back({"operator-step", {std::min(parameters, d)}, parameters * edges});
  return out;
}

Result<double> CpuTables::seconds(const CpuWork& work) const {
  if (work.kernel.empty() || work.work == 0) return 0.0;
  const auto found = kernels.find(work.kernel);
  if (found == kernels.end()) {
    return Diagnostic{.kind = ErrorKind::input,
                      .message = "the CPU profile lacks a kernel",
                      .value = work.kernel,
                      .hint = "measure again: meshplan profile"};
  }
  return work.work * found->second.seconds_per_work(work.sizes);
}

const CpuTables& CpuProfile::of(int ranks) const {
  const CpuTables* best = &tables.front();
  for (const CpuTables& one : tables) {
    if (one.nodes == 1 && one.ranks <= ranks) best = &one;
  }
  return *best;
}

const CpuTables* CpuProfile::find(int ranks, int nodes) const {
  for (const CpuTables& one : tables) {
    if (one.ranks == ranks && one.nodes == nodes) return &one;
  }
  return nullptr;
}

std::string to_yaml(const CpuProfile& profile) {
  std::string out = fmt::format(
      "# SPDX-License-Identifier: Apache-2.0\n"
      "# Times of kernels and of collectives between threads, measured on this computer.\n"
      "# per_work: nanoseconds per FLOP (products, attention), per element (kernels), per byte\n"
      "# (collectives); 0: not measured.\n"
      "schema: {}\nprocessor: \"{}\"\ncores: {}\nmemory_bytes: {}\nsource: \"{}\"\n",
      profile.device == "cuda" ? kGpuSchema : kSchema, profile.processor, profile.cores,
      profile.memory_bytes, profile.source);
  if (!profile.facts.empty()) out += "facts:\n";
  for (const auto& [name, value] : profile.facts) {
    out += fmt::format("  - name: {}\n    value: \"{}\"\n", name, value);
  }
  out += "tables:\n";
  for (const CpuTables& tables : profile.tables) {
    out += fmt::format("  - ranks: {}\n", tables.ranks);
    if (tables.nodes > 1) out += fmt::format("    nodes: {}\n", tables.nodes);
    out += "    kernels:\n";
    for (const auto& [name, table] : tables.kernels) {
      out += fmt::format("      - kernel: {}\n", name);
      for (size_t d = 0; d < table.axes().size(); ++d) {
        out += fmt::format("        sizes_{}: {}\n", d, list(table.axes()[d]));
      }
      std::vector<double> nanoseconds;
      for (const double value : table.values()) nanoseconds.push_back(value * 1e9);
      out += fmt::format("        per_work_ns: {}\n", list(nanoseconds));
    }
  }
  return out;
}

bool is_cpu_profile(const std::string& path) {
  if (!path.ends_with(".yaml") && !path.ends_with(".yml")) return false;
  auto reader = MapReader::open(path);
  return reader.ok() && reader->has("schema") && reader->text("schema") == kSchema;
}

Result<CpuProfile> read_cpu_profile(const std::string& path) {
  MESHPLAN_TRY(MapReader reader, MapReader::open(path));
  CpuProfile profile;
  if (reader.choice("schema", {kSchema, kGpuSchema}) == kGpuSchema) profile.device = "cuda";
  profile.processor = reader.text("processor");
  profile.cores = static_cast<int>(reader.integer("cores"));
  profile.memory_bytes = reader.integer("memory_bytes", 0);
  profile.source = reader.text("source");
  if (reader.has("facts")) {
    for (MapReader& fact : reader.maps("facts")) {
      const std::string name = fact.text("name");
      profile.facts[name] = fact.text("value");
      MESHPLAN_CHECK(fact.finish());
    }
  }
  for (MapReader& tables : reader.maps("tables")) {
    CpuTables one;
    one.ranks = static_cast<int>(tables.integer("ranks"));
    one.nodes = static_cast<int>(tables.integer("nodes", 1));
    for (MapReader& kernel : tables.maps("kernels")) {
      const std::string name = kernel.text("kernel");
      std::vector<std::vector<double>> axes;
      for (const char* key : {"sizes_0", "sizes_1", "sizes_2"}) {
        if (kernel.has(key)) axes.push_back(kernel.numbers(key));
      }
      std::vector<double> values = kernel.numbers("per_work_ns");
      for (double& value : values) value *= 1e-9;
      Result<GridTable> table = GridTable::make(std::move(axes), std::move(values));
      if (!table.ok()) kernel.problem("per_work_ns", table.error().message);
      MESHPLAN_CHECK(kernel.finish());
      one.kernels[name] = std::move(table).value();
    }
    MESHPLAN_CHECK(tables.finish());
    profile.tables.push_back(std::move(one));
  }
  if (profile.tables.empty()) reader.problem("tables", "there is no table");
  MESHPLAN_CHECK(reader.finish());
  return profile;
}

}  // namespace meshplan
