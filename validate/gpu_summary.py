#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the stages of gpu_check.sh found, as one JSON document: gpu_summary.py FOLDER

Stages that have not run are "unmeasured". Exit code 5 where a figure misses its goal.
"""
import json
import pathlib
import statistics
import sys

folder = pathlib.Path(sys.argv[1])
# what gpu_predict.py expected of the runs
PREDICTIONS = json.loads((folder / "predictions.json").read_text()) if (folder / "predictions.json").exists() else {}


def read(stage, name):
    path = folder / f"stage-{stage}" / f"{name}.json"
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def losses(run):
    return [step["loss"] for step in run["steps"]]


def apart(a, b):
    return max(abs(x - y) / abs(y) for x, y in zip(losses(a), losses(b)))


def stage1():
    kernels, out = read(1, "kernels"), {}
    if kernels:
        checks = kernels["checks"]
        out["kernels"] = {"checks": len(checks), "within": sum(c["within"] for c in checks),
                          "beyond": [f'{c["kernel"]} {c["type"]} {c["relative_error"]:.1e}' for c in checks if not c["within"]],
                          "met": kernels["all_within"]}
    for name in ("memcheck", "communicators-shared", "communicators-nccl"):
        if (found := read(1, name)) is not None:
            out[name] = {"exit": found["exit"], "met": found["exit"] == 0}
    return out


def stage2():
    out = {}
    gpu, cpu, one = read(2, "gpu-bf16"), read(2, "cpu-fp32"), read(2, "ranks-1")
    if gpu and cpu:
        worst = apart(gpu, cpu)
        out["bf16 against fp32, 100 steps"] = {"largest_difference": worst, "met": worst < 0.005}
    if (eight := read(2, "gpu-fp8")) and cpu and "steps" in eight:
        out["fp8 against fp32, 100 steps"] = {"largest_difference": apart(eight, cpu)}
    for name in ("tp2", "pp2", "fsdp2", "cp2", "tp2-pp2-fsdp2-cp2"):
        many = read(2, "ranks-" + name)
        if many and "steps" not in many:
            out[name] = {"outcome": many.get("message", "failed"), "met": False}
        elif one and many:
            first = abs(losses(many)[0] / losses(one)[0] - 1)
            out[name] = {"first_loss": first, "later_losses": apart(many, one),
                         "ledger_equal": many["ledger_equal"], "memory_equal": many["memory_equal"],
                         "met": first < 1e-5 and many["ledger_equal"] and many["memory_equal"]}
    return out


def errors_of(row, predicted, measured, which):
    for source, of in predicted.items():
        row[f"{which}_error_by_{source}"] = of["seconds"] / measured - 1


def mean_of(rows, key, goal, least):
    errors = [abs(row[key]) for row in rows if key in row]
    if not errors:
        return {}
    mean = statistics.mean(errors)
    return {"mean_" + key: {"value": mean, "of": len(errors), "goal": goal, "met": len(errors) >= least and mean <= goal}}


def stage3():
    rows = []
    for path in sorted((folder / "stage-3").glob("*.json")):
        run = read(3, path.stem)
        if not run or "measured_step_time_s" not in run:
            rows.append({"configuration": path.stem, "outcome": (run or {}).get("outcome", "failed")})
            continue
        row = {"configuration": path.stem, "measured_s": run["measured_step_time_s"], "buffers_equal": run["memory_equal"],
               "measured_bytes": run.get("device_memory_bytes")}
        expected = PREDICTIONS.get("runs", {}).get(path.stem, {})
        errors_of(row, expected, row["measured_s"], "time")
        if row["measured_bytes"] and expected:
            row["memory_error"] = expected["tables"]["bytes"] / row["measured_bytes"] - 1
        rows.append(row)
    if not rows:
        return {}
    return {"configurations": rows} | mean_of(rows, "time_error_by_tables", 0.04, 20) | \
        mean_of(rows, "time_error_by_profile", 0.04, 20) | mean_of(rows, "memory_error", 0.02, 20)


def stage4():
    out = {}
    for model in ("llama3.2-1b", "llama3-8b"):
        ours, torch = read(4, model), read(4, model + "-torch")
        if not ours or "measured_step_time_s" not in ours:
            continue
        tokens = 4 * 8192 / ours["measured_step_time_s"]
        out[model] = {"tokens_per_s": tokens}
        if torch and "tokens_per_s" in torch:
            out[model] |= {"torch_tokens_per_s": torch["tokens_per_s"], "torch_states": torch["states"],
                           "ratio": tokens / torch["tokens_per_s"], "met": tokens >= torch["tokens_per_s"]}
        # 6 FLOPs a parameter and token without the input embedding, causal attention as half of the square; dense bf16 peak
        layers, hidden, active = (16, 2048, 1235814400) if "1b" in model else (32, 4096, 8030261248 - 128256 * 4096)
        flops = 6 * active + 6 * layers * 8192 * hidden
        out[model]["mfu_of_989"] = tokens * flops / 989e12
    return out


def stage5():
    out = {}
    for rank in ("stage=0", "stage=7", "stage=15"):
        run = read(5, "rank-" + rank)
        if run and "measured" in run:
            out[rank] = {"measured_compute_s": run["measured"]["compute_s"], "with_stand_ins_s": run["measured"].get("with_stand_ins_s"),
                         "modelled_communication_s": run["modelled"]["communication_s"]}
            errors_of(out[rank], PREDICTIONS.get("ranks", {}).get(rank, {}), run["measured"]["compute_s"], "compute")
            if "compute_error_by_tables" in out[rank]:
                out[rank]["met"] = abs(out[rank]["compute_error_by_tables"]) <= 0.04
    return out


def stage6():
    shares = read(6, "shares")
    if not shares:
        return {}
    rows = [{"of": f'{r["kind"]}, {r["name"]}, {r["pass"]}', "tflops": r["tflops"], "library_tflops": r["library_tflops"],
             "share": r.get("share")} for r in shares["rates"]]
    return {"rates": rows}


def stage7():
    out = {}
    if parity := read(7, "parity"):
        out["batches beside the CPU's"] = {"checks": len(parity["checks"]), "within": sum(c["within"] for c in parity["checks"]),
                                          "met": parity["all_within"]}
    if (found := read(7, "memcheck")) is not None:
        out["memcheck"] = {"exit": found["exit"], "met": found["exit"] == 0}
    cpu = read(7, "ranked-cpu")
    for name in ("ranked-gpu", "ranked-gpu-bf16"):
        gpu = read(7, name)
        if cpu and gpu and "evaluation" in gpu:
            ours, theirs = gpu["evaluation"]["filtered"]["mrr"], cpu["evaluation"]["filtered"]["mrr"]
            out[name] = {"mrr": ours, "cpu_mrr": theirs, "apart": ours / theirs - 1, "met": abs(ours / theirs - 1) <= 0.01}
    rows = []
    for path in sorted((folder / "stage-7").glob("time-*.json")):
        run = read(7, path.stem)
        if not run or "pass_time" not in run:
            rows.append({"configuration": path.stem, "outcome": (run or {}).get("outcome", "failed")})
            continue
        device, measured = run["device"], run["pass_time"]["measured_s"]
        rows.append({"configuration": path.stem, "measured_s": measured, "edges_per_s": run["edges"] / measured,
                     "memory_error": device["predicted_bytes"] / device["allocated_bytes"] - 1})
        errors_of(rows[-1], PREDICTIONS.get("graphs", {}).get(path.stem, {}), measured, "time")
    if rows:
        out["configurations"] = rows
    out |= mean_of(rows, "time_error_by_tables", 0.10, 10) | mean_of(rows, "memory_error", 0.05, 10)
    fast = [row["edges_per_s"] for row in rows if row["configuration"].startswith("time-d400-n500+500") and "edges_per_s" in row]
    if fast:
        out["edges_per_s, D 400, 1,000 negatives"] = {"value": max(fast), "goal_on_h200": 25e6}
    return out


def missed(item):
    if isinstance(item, dict):
        return item.get("met") is False or any(missed(v) for v in item.values())
    return isinstance(item, list) and any(missed(v) for v in item)


def main():
    stages = {str(i): stage() or "unmeasured"
              for i, stage in enumerate((stage1, stage2, stage3, stage4, stage5, stage6, stage7), 1)}
    dates = {p.parent.name: p.read_text().strip() for p in sorted(folder.glob("stage-*/date"))}
    print(json.dumps({"schema": "meshplan.gpu-check/1", "device": folder.name, "dates": dates, "stages": stages}, indent=1))
    return 5 if missed(stages) else 0


if __name__ == "__main__":
    sys.exit(main())
