// SPDX-License-Identifier: Apache-2.0
// meshplan import: a trainer's configuration as a plan file, a machine's own description as a
// cluster file.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "planner/cli/slurm.hpp"
#include "planner/cli/trainer_file.hpp"
#include "planner/planfile/planfile.hpp"
#include "topologies/base/files.hpp"
#include "topologies/import/import.hpp"

namespace meshplan::cli {
namespace {

struct TopologyFlags {
  std::string gpu, nodes, gpus_per_node, nic;
  bool from_slurm = false;
};

/// To the file, or to standard output.
int deliver(const std::string& out, const std::string& text) {
  if (out.empty()) {
    print(text);
    return 0;
  }
  const Status status = write_file(out, text);
  return status.ok() ? 0 : fail(status.error(), false);
}

int import_trainer(const TrainerFileFlags& flags, const std::string& out) {
  MESHPLAN_CLI_TRY(const TrainerFile file, read_trainer_file(flags), flags.json);
  const launch::Config& config = file.checked.config;
  std::vector<std::string> unknown = config.unknown;
  if (!file.cluster) unknown.emplace_back("the machine (--cluster)");
  if (!unknown.empty())
    return fail({.kind = ErrorKind::usage,
                 .message = "the file does not say everything that a plan needs",
                 .where = flags.file,
                 .hint = fmt::format("give {}", fmt::join(unknown, ", "))},
                flags.json);
  for (const auto& note : config.notes) cli::note(note);
  for (const Diagnostic& finding : file.checked.findings)
    warn(fmt::format("{}: {} [{}]", finding.where, finding.message, finding.rule));
  const planfile::PlanFile plan{config.job.model, *file.cluster, config.job.trainer,
                                launch::canonical(config.job.model, config.job.plan),
                                config.job.batch};
  const std::string text = planfile::to_yaml(plan);
  if (!flags.json) return deliver(out, text);
  if (!out.empty()) {
    const Status status = write_file(out, text);
    if (!status.ok()) return fail(status.error(), true);
  }
  print(Json{{"schema", "meshplan.import/1"},
             {"inputs", {{"file", flags.file}, {"trainer", file.trainer->id}}},
             {"provenance", {{"tool", "meshplan"}, {"version", MESHPLAN_VERSION}}},
             {"plan", to_text(plan.plan)},
             {"plan_file", text},
             {"notes", config.notes}});
  return 0;
}

Result<Imported> topology(const std::string& file, const TopologyFlags& flags) {
  ImportHints hints;
  hints.gpu = flags.gpu;
  if (!flags.nodes.empty()) {
    MESHPLAN_TRY(hints.nodes, whole_number(flags.nodes, "--nodes"));
  }
  if (!flags.gpus_per_node.empty()) {
    MESHPLAN_TRY(hints.gpus_per_node, whole_number(flags.gpus_per_node, "--gpus-per-node"));
  }
  if (!flags.nic.empty()) {
    MESHPLAN_TRY(const int64_t gigabits, whole_number(flags.nic, "--nic-gbit"));
    hints.nic_bytes_per_s = static_cast<double>(gigabits) * 1e9 / 8;
  }
  if (flags.from_slurm) {
    MESHPLAN_TRY(const std::string text, slurm_topology(hints));
    return import_topology(text, "slurm", hints);
  }
  if (file.empty())
    return Diagnostic{.kind = ErrorKind::usage,
                      .message = "import what?",
                      .hint = "a topology file, --from-slurm, or --trainer T FILE"};
  MESHPLAN_TRY(const std::string text, read_file(file));
  return import_topology(text, file, hints);
}

int import_machine(const std::string& file, const TopologyFlags& flags, bool json,
                   const std::string& out) {
  MESHPLAN_CLI_TRY(const Imported imported, topology(file, flags), json);
  const std::string text = to_yaml(imported.cluster);
  if (!json) {
    note(fmt::format("{}: {}", imported.kind, fmt::join(imported.found, ", ")));
    for (const auto& assumed : imported.cluster.assumed) note("assumed " + assumed);
    return deliver(out, text);
  }
  if (!out.empty()) {
    const Status status = write_file(out, text);
    if (!status.ok()) return fail(status.error(), true);
  }
  print(Json{{"schema", "meshplan.import/1"},
             {"inputs", {{"file", file}, {"from_slurm", flags.from_slurm}}},
             {"provenance", {{"tool", "meshplan"}, {"version", MESHPLAN_VERSION}}},
             {"kind", imported.kind},
             {"found", imported.found},
             {"assumed", imported.cluster.assumed},
             {"cluster_file", text}});
  return 0;
}

}  // namespace

int run_import(const Arguments& arguments) {
  if (!arguments.empty() && arguments.front() == "pbg")
    return run_import_pbg({arguments.begin() + 1, arguments.end()});
  CLI::App app(
      "Reads what others wrote: a trainer's configuration as a plan file that simulate, explain,\n"
      "compare and plan take, a machine's description as a cluster file, or PyTorch-BigGraph's\n"
      "configuration as a graph workload.\n\n"
      "  meshplan import --trainer megatron-lm train.sh --cluster 64x8xH100 -o plan.yaml\n"
      "  nvidia-smi topo -m > node.txt; meshplan import node.txt --gpu H100 --nodes 64 -o c.yaml\n"
      "  meshplan import /etc/slurm/topology.conf --gpu H100 --gpus-per-node 8 -o c.yaml\n"
      "  meshplan import --from-slurm -o c.yaml\n"
      "  meshplan import pbg config.py -o graph.yaml\n",
      "meshplan import");
  TrainerFileFlags flags;
  TopologyFlags machine;
  std::string out;
  add_trainer_file_flags(app, flags);
  app.add_option("-o,--out", out, "file to write; else standard output");
  const char* group = "Topologies: nvidia-smi topo -m, NCCL topology XML, Slurm topology.conf";
  app.add_option("--gpu", machine.gpu, "GPU, where the file does not name it")->group(group);
  app.add_option("--nodes", machine.nodes, "nodes, where the file describes one")->group(group);
  app.add_option("--gpus-per-node", machine.gpus_per_node, "for Slurm")->group(group);
  app.add_option("--nic-gbit", machine.nic, "rate of one NIC in Gb/s")->group(group);
  app.add_flag("--from-slurm", machine.from_slurm, "ask scontrol on this node")->group(group);
  MESHPLAN_CLI_PARSE(app, arguments);
  if (!flags.trainer.empty()) return import_trainer(flags, out);
  return import_machine(flags.file, machine, flags.json, out);
}

}  // namespace meshplan::cli
