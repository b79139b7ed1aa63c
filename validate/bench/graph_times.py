#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Time and peak memory of training passes of generated graphs on this computer, predicted and measured:
settings of dimension, negatives, partitions, resident partitions, threads and ranks. The prediction
is made of times of kernels (meshplan profile --only-graphs --median), which are measured in turns with the
runs, some rounds of both, since what else a computer does slows both: a pass is long, and the shortest of three counts;
kernels are short, and the median of their timings counts; figures are means over the rounds. Bytes that are swapped and sent must be those of the plan.

usage: graph_times.py MESHPLAN [rounds]
"""
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile

NODES, RELATIONS, PASSES = 100_000, 50, 3
FEW, MANY = 60_000, 400_000  # edges, so that a pass takes about a second

# dimension, negatives of the batch, uniform ones, edges; then what is said to `validate run`
SETTINGS = [
    (50, 50, 50, MANY, ""),
    (100, 50, 50, MANY, ""),
    (200, 50, 50, MANY, ""),
    (400, 50, 50, MANY, ""),
    (50, 500, 500, MANY, ""),
    (100, 500, 500, FEW, ""),
    (200, 500, 500, FEW, ""),
    (400, 500, 500, FEW, ""),
    (200, 250, 250, FEW, ""),
    (400, 100, 300, FEW, ""),
    (100, 50, 1000, FEW, ""),
    (100, 50, 50, MANY, "--threads 2"),
    (200, 250, 250, FEW, "--threads 2"),
    (400, 500, 500, FEW, "--threads 2"),
    (100, 50, 50, MANY, "--partitions 4 --resident 2"),
    (400, 50, 50, MANY, "--partitions 4 --resident 2"),
    (400, 500, 500, FEW, "--partitions 4 --resident 2"),
    (100, 500, 500, FEW, "--partitions 8 --resident 2 --order inside_out"),
    (200, 250, 250, FEW, "--partitions 8 --resident 4"),
    (200, 50, 50, MANY, "--partitions 16 --resident 4"),
    (200, 500, 500, FEW, "--partitions 4 --resident 2 --no-prefetch"),
    (100, 50, 50, MANY, "--partitions 4 --ranks 2 --order halving"),
    (200, 250, 250, FEW, "--partitions 4 --ranks 2 --order halving"),
    (400, 500, 500, FEW, "--partitions 4 --ranks 2 --order halving"),
    (200, 500, 500, FEW, "--partitions 4 --ranks 2 --order cover"),
]
WORKLOAD = """
entities: {{node: {{}}}}
relations: [{{name: all, lhs: node, rhs: node, operator: complex_diagonal}}]
dynamic_relations: true
data: {{train: ["{0}"]}}
dimension: {1}
comparator: dot
loss: softmax
learning_rate: 0.1
batch: 1000
batch_negatives: {2}
uniform_negatives: {3}
epochs: {4}
"""


def write_graph(path, edges):
    draw = random.Random(1)
    with open(path, "w") as out:
        for i in range(edges):
            # Every node has an edge; the other ends are as uneven as those of real graphs.
            left = i % NODES if i < NODES else int(NODES * draw.random() ** 2)
            out.write(f"n{left}\tr{draw.randrange(RELATIONS)}\tn{int(NODES * draw.random() ** 2)}\n")


def meshplan(binary, arguments):
    done = subprocess.run([binary] + arguments, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"meshplan {' '.join(arguments)}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    binary = os.path.abspath(sys.argv[1])
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    best = [{} for _ in SETTINGS]
    with tempfile.TemporaryDirectory() as folder:
        for edges in (FEW, MANY):
            write_graph(f"{folder}/{edges}.tsv", edges)
        for turn in range(rounds):
            print(f"round {turn + 1} of {rounds}", file=sys.stderr)
            profile = f"{folder}/cpu.yaml"
            meshplan(binary, ["profile", "--device", "cpu", "--only-graphs", "--median", "--folder", folder, "--out", profile])
            for kept, (dimension, batch, uniform, edges, flags) in zip(best, SETTINGS):
                workload = f"{folder}/graph.yaml"
                with open(workload, "w") as out:
                    out.write(WORKLOAD.format(f"{folder}/{edges}.tsv", dimension, batch, uniform, PASSES))
                run = json.loads(meshplan(binary, ["validate", "run", workload, "--evaluate", "none", "--profile", profile,
                                                   "--checkpoints", f"{folder}/state", "--json"] + flags.split()))
                for name, part, key in (("time", "pass_time", "measured_s"), ("guess", "pass_time", "predicted_s"),
                                        ("bytes", "memory", "measured_bytes"), ("bytes_guess", "memory", "predicted_bytes")):
                    kept[name] = kept.get(name, 0) + (run[part][key] or float("nan")) / rounds
                kept["exact"] = kept.get("exact", True) and run["traffic_equal"]
                kept["moved"] = sum(run["expected_traffic"][k] for k in ("loaded_bytes", "stored_bytes", "sent_bytes"))
    print("   D  negatives  edges    plan                                                  "
          "measured  predicted   error     memory  predicted   error   moved, MB")
    times, memories = [], []
    for kept, (dimension, batch, uniform, edges, flags) in zip(best, SETTINGS):
        times.append(kept["guess"] / kept["time"] - 1)
        memories.append(kept["bytes_guess"] / kept["bytes"] - 1)
        print(f"{dimension:4}  {f'{batch}+{uniform}':9}  {edges:6}  {flags or 'all in memory':52}  "
              f"{kept['time']:7.3f} s  {kept['guess']:7.3f} s  {100 * times[-1]:+5.1f} %  "
              f"{kept['bytes'] / 1e6:6.1f} MB  {kept['bytes_guess'] / 1e6:6.1f} MB  {100 * memories[-1]:+5.1f} %  "
              f"{kept['moved'] / 1e6:8.1f} {'as planned' if kept['exact'] else 'DIFFERENT'}")
    mean = lambda errors: 100 * statistics.fmean(abs(e) for e in errors)
    print(f"\n{len(SETTINGS)} settings, {rounds} rounds: mean error of the time {mean(times):.1f} % (largest "
          f"{100 * max(map(abs, times)):.1f} %), of the memory {mean(memories):.1f} % (largest {100 * max(map(abs, memories)):.1f} %); "
          f"bytes {'as planned in all' if all(k['exact'] for k in best) else 'DIFFERENT'}")


if __name__ == "__main__":
    main()
