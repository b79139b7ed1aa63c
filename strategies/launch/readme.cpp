// SPDX-License-Identifier: Apache-2.0
#include "strategies/launch/readme.hpp"

#include <fmt/format.h>

namespace meshplan::launch {

std::string readme(const TrainerFiles& trainer, const Job& job, Version version, const Start& start,
                   const Written& written) {
  const bool mpi = start.kind == Start::Kind::mpi;
  const char* by_hand = mpi ? "mpirun.sh" : "torchrun.sh";
  std::string out = fmt::format(
      "# {} on {} GPUs with {} {}\n\n"
      "Plan: `{}`, {} sequences of {} tokens a step.\n\n"
      "## Needed\n\n",
      job.model.id, job.gpus(), trainer.id, to_text(version), to_text(job.plan),
      job.batch.global_sequences, job.batch.sequence);
  for (const auto& need : start.needs) out += fmt::format("* {}\n", need);
  out += job.nodes == 1
             ? fmt::format("* a node with {} GPUs\n", job.gpus_per_node)
             : fmt::format("* {} nodes with {} GPUs each, their clocks and paths alike\n",
                           job.nodes, job.gpus_per_node);
  out += "\n## Start\n\nIn this folder, one of\n\n";
  out += fmt::format("* Slurm: `sbatch slurm.sh` (add `--account`, `--partition`)\n");
  if (mpi)
    out += fmt::format("* MPI: `./{} HOSTFILE`\n", by_hand);
  else
    out += fmt::format(
        "* by hand, on every node: `NODE_RANK=0 MASTER_ADDR=first-node ./{}`, with ranks from 0 to "
        "{}\n",
        by_hand, job.nodes - 1);
  if (!mpi)
    out +=
        "* from a shell that reaches the nodes by ssh: `./shell.sh HOSTS`, a file with one node a "
        "line\n";
  out += fmt::format(
      "\nRanks are numbered `{}`, innermost first, {} to a node: the plan relies on consecutive "
      "nodes being near each other, so keep the nodes in the order of the fabric.\n",
      job.trainer.rank_order, job.gpus_per_node);
  if (trainer.write == nullptr)  // the plan file is the configuration
    return out + "\n`meshplan simulate plan.yaml` says what to expect.\n";
  out += "\n## Which key says what\n\n| of the plan | key |\n|---|---|\n";
  for (const auto& [knob, key] : trainer.knobs) out += fmt::format("| `{}` | `{}` |\n", knob, key);
  out += "\n## Not said\n\n";
  if (written.losses.empty()) out += "Nothing: the files say the whole plan.\n";
  for (const Loss& loss : written.losses)
    out += fmt::format("* `{}`: the plan has {}, the trainer will take {}{}\n", loss.knob,
                       loss.wanted.empty() ? "none" : loss.wanted,
                       loss.written.empty() ? "its own" : loss.written,
                       loss.why.empty() ? "" : ": " + loss.why);
  out += fmt::format(
      "\n`meshplan check --trainer {} {}` checks this folder's file again after a change;\n"
      "`meshplan import --trainer {} {}` makes a plan of it.\n",
      trainer.id, trainer.file_name(version), trainer.id, trainer.file_name(version));
  return out;
}

}  // namespace meshplan::launch
