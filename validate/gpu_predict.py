#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the cost model expects of the runs of gpu_check.sh, as one JSON document: gpu_predict.py FOLDER MESHPLAN

Of every run of stage 3 and rank of stage 5: by the tables that come with meshplan (costmodel/data), and by FOLDER/profile.yaml.
Of every setting of stage 7: by the tables.
No GPU is needed: so the prediction can be repeated wherever there is a build.
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

folder, meshplan = pathlib.Path(sys.argv[1]), sys.argv[2]
gpu = (folder / "gpu").read_text().strip()  # as meshplan calls it
profile = folder / "profile.yaml"


def answer(*arguments):
    return json.loads(subprocess.run([meshplan, *map(str, arguments), "--json"], check=True, capture_output=True).stdout)


def step(name, *more):
    model, seq, micro, recompute = re.fullmatch(r"(.*)-s(\d+)-mb(\d+)-(\w+)", name).groups()
    out = answer("simulate", model, f"1x1x{gpu}", "--trainer", "meshplan-gpu", "--gradients", "bf16" if "8b" in model else "fp32",
                 "--seq", seq, "--global-batch", 2 * int(micro), "--micro-batch", micro, "--recompute", recompute, *more)
    return {"seconds": out["step_time_s"], "low_s": out["step_time_low_s"], "high_s": out["step_time_high_s"],
            "bytes": out["peak_memory_bytes"]}


def graph(name, *more):
    cols, own, uniform, batch, compute, _ = re.fullmatch(r"time-d(\d+)-n(\d+)\+(\d+)-b(\d+)-(\w+)-p(\d+)", name).groups()
    workload = f"""entities: {{node: {{count: 1000000}}}}
relations: [{{name: all, lhs: node, rhs: node, operator: complex_diagonal}}]
dynamic_relations: true
dynamic_relation_count: 20
edges: 5000000
comparator: dot
loss: softmax
dimension: {cols}
batch: {batch}
batch_negatives: {own}
uniform_negatives: {uniform}
"""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(workload)
        file.flush()
        out = answer("plan", file.name, f"1x{gpu}", "--precision", compute, "--partitions", 1, *more)["plans"][0]
    return {"seconds": out["epoch_time_s"], "bytes": out["peak_memory_bytes"]}


def rank(name, *more):
    out = answer("validate", "run", folder / "stage-5/plan.yaml", "--compute", "bf16", "--emulate-rank", name + ",tp=0", "--predict-only",
                 *more)["predicted"]
    return {"seconds": out["compute_s"], "bytes": out["peak_memory_bytes"], "from": out["compute_from"]}


def both(of, name, flag):
    found = {"tables": of(name)}
    if profile.exists():
        found["profile"] = of(name, flag, profile)
    return found


def main():
    runs = {p.stem: both(step, p.stem, "--gpu-profile") for p in sorted((folder / "stage-3").glob("*.json"))
            if "measured_step_time_s" in p.read_text()}
    ranks = {p.stem[5:]: both(rank, p.stem[5:], "--profile") for p in sorted((folder / "stage-5").glob("rank-*.json"))}
    graphs = {p.stem: {"tables": graph(p.stem)} for p in sorted((folder / "stage-7").glob("time-*.json")) if "pass_time" in p.read_text()}
    print(json.dumps({"schema": "meshplan.gpu-predictions/1", "runs": runs, "ranks": ranks, "graphs": graphs}, indent=1))


if __name__ == "__main__":
    main()
