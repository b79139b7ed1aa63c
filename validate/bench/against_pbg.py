#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""meshplan beside PyTorch-BigGraph on this computer: the same graph, model, negatives and batches, two
threads each, epochs of both in turns. Prints edges a second of wall time and of CPU time (the second
stands where other work disturbs the first) and their ratios. Epoch costs are differences between a
run of one epoch and one of more, so that start, import and end count for neither. The last columns:
FLOP of the products (12 N D an edge) per CPU-second, as a share of the best single-precision product
that `meshplan profile` meets on one thread; edges per CPU-second with bf16 products.

usage: against_pbg.py MESHPLAN TORCHBIGGRAPH_TRAIN TORCHBIGGRAPH_IMPORT_FROM_TSV train.tsv [epochs]
"""
import json
import os
import resource
import subprocess
import sys
import tempfile
import time

SETTINGS = [(400, 500), (400, 50), (100, 500), (100, 50)]  # dimension, negatives of each kind
THREADS = 2

PBG = """
def get_torchbiggraph_config():
    return dict(entity_path="{0}/data", edge_paths=["{0}/edges"], checkpoint_path="{0}/model",
                entities={{"all": {{"num_partitions": 1}}}},
                relations=[{{"name": "all", "lhs": "all", "rhs": "all", "operator": "complex_diagonal"}}],
                dynamic_relations=True, dimension={1}, global_emb=False, comparator="dot",
                num_epochs={3}, batch_size=1000, num_batch_negs={2}, num_uniform_negs={2},
                loss_fn="softmax", lr=0.1, eval_fraction=0, hogwild_delay=0, workers={4})
"""
OWN = """
entities: {{all: {{}}}}
relations: [{{name: all, lhs: all, rhs: all, operator: complex_diagonal}}]
dynamic_relations: true
data: {{train: ["{0}"]}}
dimension: {1}
comparator: dot
loss: softmax
learning_rate: 0.1
batch: 1000
batch_negatives: {2}
uniform_negatives: {2}
epochs: {3}
"""


def timed(command, environment):
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}:\n{done.stderr[-2000:]}")
    wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def best_product(profile):
    best, inside = 0, False
    for line in open(profile):
        if "kernel:" in line:
            inside = "product-" in line
        elif inside and "per_work_ns:" in line:
            times = [float(value) for value in line.split("[")[1].split("]")[0].split(",")]
            best = max([best] + [1e9 / time for time in times if time > 0])
    return best


def main():
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    meshplan, train, importer, tsv = sys.argv[1:5]
    epochs = int(sys.argv[5]) if len(sys.argv) > 5 else 2
    tsv = os.path.abspath(tsv)
    edges = sum(1 for _ in open(tsv))
    environment = dict(os.environ, OMP_NUM_THREADS="1", MKL_NUM_THREADS="1",
                       MALLOC_MMAP_THRESHOLD_="4294967296", MALLOC_TRIM_THRESHOLD_="8589934592",
                       MALLOC_TOP_PAD_="268435456")  # PBG's temporaries else cost it half of its time
    print("   D  negatives |  PBG edges/s  per CPU-s | meshplan edges/s  per CPU-s |  ratio  per CPU-s | of BLAS | bf16 per CPU-s")
    with tempfile.TemporaryDirectory() as folder:
        config, own = f"{folder}/config.py", f"{folder}/graph.yaml"

        def pbg_config(dimension, negatives, count):
            with open(config, "w") as out:
                out.write(PBG.format(folder, dimension, negatives, count, THREADS))
            subprocess.run(["rm", "-rf", f"{folder}/model"], check=True)

        timed([meshplan, "profile", "--device", "cpu", "--ranks", "1", "--out", f"{folder}/cpu.yaml"], os.environ)
        peak = best_product(f"{folder}/cpu.yaml")
        print(f"best product: {peak / 1e9:.1f} GFLOP/s on one thread", flush=True)
        pbg_config(400, 50, 1)
        timed([importer, "--lhs-col=0", "--rel-col=1", "--rhs-col=2", config, tsv], environment)
        for dimension, negatives in SETTINGS:
            cost = {}
            for count in (1, 1 + epochs):
                pbg_config(dimension, negatives, count)
                cost["pbg", count] = timed([train, config], environment)
                with open(own, "w") as out:
                    out.write(OWN.format(tsv, dimension, negatives, count))
                for who, precision in (("own", "fp32"), ("bf16", "bf16")):
                    cost[who, count] = timed([meshplan, "validate", "run", own, "--threads", str(THREADS),
                                              "--save-every", "0", "--evaluate", "none", "--json",
                                              "--precision", precision], os.environ)
            rate = {}
            for who in ("pbg", "own", "bf16"):
                one, more = cost[who, 1], cost[who, 1 + epochs]
                rate[who] = [edges * epochs / max(1e-9, more[k] - one[k]) for k in (0, 1)]
            # The passes themselves state their seconds.
            passes = json.loads(cost["own", 1 + epochs][2])["passes"][1:]
            rate["own"][0] = sum(p["edges"] for p in passes) / sum(p["seconds"] for p in passes)
            print(f"{dimension:4}  {negatives:3} + {negatives:<3}  | {rate['pbg'][0]:12,.0f} {rate['pbg'][1]:10,.0f} |"
                  f" {rate['own'][0]:16,.0f} {rate['own'][1]:10,.0f} | {rate['own'][0] / rate['pbg'][0]:6.2f}"
                  f" {rate['own'][1] / rate['pbg'][1]:10.2f} |"
                  f" {rate['own'][1] * 24 * negatives * dimension / peak:7.0%} | {rate['bf16'][1]:14,.0f}", flush=True)


if __name__ == "__main__":
    main()
