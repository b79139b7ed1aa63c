// SPDX-License-Identifier: Apache-2.0
#include "strategies/launch/start.hpp"

#include <fmt/format.h>

namespace meshplan::launch {
namespace {

constexpr const char* kHead = "#!/usr/bin/env bash\n";
constexpr const char* kHere = "set -euo pipefail\ncd \"$(dirname \"${BASH_SOURCE[0]}\")\"\n";

std::string variables(const Start& start) {
  std::string out;
  for (const auto& [name, value] : start.environment)
    out += fmt::format("export {}={}\n", name, value);
  for (const auto& name : start.unset) out += fmt::format("unset {}\n", name);
  return out;
}

/// One process per GPU of this node.
std::string node_script(const Job& job, const Start& start) {
  std::string out = fmt::format(
      "{}# Starts this node's processes. NODE_RANK: 0 to {}; MASTER_ADDR: the node of rank 0.\n{}",
      kHead, job.nodes - 1, kHere);
  out += ": \"${NODE_RANK:=0}\" \"${MASTER_ADDR:=localhost}\" \"${MASTER_PORT:=29500}\"\n";
  out += variables(start);
  if (!start.source.empty()) out += fmt::format(". ./{}\n", start.source);
  if (start.kind == Start::Kind::accelerate)
    out += fmt::format(
        "exec accelerate launch --config_file accelerate.yaml --num_machines {} --num_processes "
        "{} \\\n  --machine_rank \"$NODE_RANK\" --main_process_ip \"$MASTER_ADDR\" "
        "--main_process_port \"$MASTER_PORT\" \\\n  {}\n",
        job.nodes, job.gpus(), start.program);
  else
    out += fmt::format(
        "exec torchrun --nnodes {} --nproc-per-node {} --node-rank \"$NODE_RANK\" \\\n"
        "  --master-addr \"$MASTER_ADDR\" --master-port \"$MASTER_PORT\" \\\n  {}\n",
        job.nodes, job.gpus_per_node, start.program);
  return out;
}

std::string slurm_head(const Job& job, const char* what, int64_t tasks) {
  return fmt::format(
      "{}#SBATCH --job-name={}\n#SBATCH --nodes={}\n#SBATCH --ntasks-per-node={}\n"
      "#SBATCH --gpus-per-node={}\n#SBATCH --exclusive\n#SBATCH --output=%x-%j.log\n"
      "# {}\nset -euo pipefail\ncd \"$SLURM_SUBMIT_DIR\"\n",
      kHead, job.model.id, job.nodes, tasks, job.gpus_per_node, what);
}

}  // namespace

std::vector<LaunchFile> start_files(const Job& job, const Start& start) {
  if (start.kind == Start::Kind::mpi)
    return {{"slurm.sh",
             slurm_head(job, "One task a GPU; srun hands the ranks out node by node.",
                        job.gpus_per_node) +
                 variables(start) +
                 fmt::format("srun --kill-on-bad-exit=1 --distribution=block:block --mpi=pmix {}\n",
                             start.program),
             true},
            {"mpirun.sh",
             fmt::format("{}# HOSTFILE: one node a line, \"slots={}\" behind it.\n{}{}", kHead,
                         job.gpus_per_node, kHere, variables(start)) +
                 fmt::format("exec mpirun -n {} ${{1:+--hostfile \"$1\"}} --map-by slot {}\n",
                             job.gpus(), start.program),
             true}};
  return {{"torchrun.sh", node_script(job, start), true},
          {"slurm.sh",
           slurm_head(job, "One task a node, which starts the node's processes.", 1) +
               "MASTER_ADDR=$(scontrol show hostnames \"$SLURM_JOB_NODELIST\" | head -n 1)\n"
               "export MASTER_ADDR\n"
               "srun --kill-on-bad-exit=1 bash -c 'NODE_RANK=$SLURM_PROCID exec ./torchrun.sh'\n",
           true},
          {"shell.sh",
           fmt::format("{}# usage: ./shell.sh HOSTS, a file with {} nodes, one a line, in the "
                       "order of the fabric.\n{}",
                       kHead, job.nodes, kHere) +
               fmt::format(
                   "mapfile -t hosts < <(grep -v '^ *#' \"$1\" | awk 'NF {{print $1}}')\n"
                   "[ \"${{#hosts[@]}}\" = {} ] || {{ echo \"error: $1 has ${{#hosts[@]}} nodes, "
                   "the plan needs {}\" >&2; exit 2; }}\n",
                   job.nodes, job.nodes) +
               "trap 'kill $(jobs -p) 2>/dev/null' EXIT\n"
               "for i in \"${!hosts[@]}\"; do\n"
               "  ssh \"${hosts[$i]}\" \"cd $(printf %q \"$PWD\") && NODE_RANK=$i "
               "MASTER_ADDR=${hosts[0]} ./torchrun.sh\" &\n"
               "done\n"
               "for _ in \"${hosts[@]}\"; do wait -n; done\n",
           true}};
}

}  // namespace meshplan::launch
