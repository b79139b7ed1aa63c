# SPDX-License-Identifier: Apache-2.0
"""The experiments of Fernandez et al. (arXiv 2411.13055), asked of meshplan. Called by run.sh."""
import csv
import io
import json
import re
import subprocess
import sys

meshplan, root, folder = sys.argv[1:4]
FSDP = ["--trainer", "fair-fsdp", "--zero", "3", "--tp", "1", "--pp", "1", "--cp", "1", "--forbid", "hsdp"]
lines = []
table_csv = []


def say(text=""):
    lines.append(text)


def shown(arguments):
    say("```")
    say("meshplan " + " ".join(arguments))
    say("```")


def run(arguments):
    # In the folder of the results, so that no page holds a path of the machine that made it.
    done = subprocess.run([meshplan] + arguments, capture_output=True, text=True, cwd=folder)
    if done.returncode not in (0, 3):
        sys.exit(f"meshplan {' '.join(arguments)}: {done.stderr}")
    return done.stdout


def ask(arguments, section):
    """Curves of `scale`, and their points for scaling.csv."""
    answer = json.loads(run(["scale"] + arguments + ["--json"]))
    for curve in answer["curves"]:
        for point in curve["points"]:
            for way, plan in [("best", point["best"])] + list(point["baselines"].items()):
                if plan:
                    step = plan["plan"]
                    table_csv.append([section, curve["label"], curve["sequence_tokens"], point["gpus"],
                                      point["global_batch_sequences"], way, step["plan"],
                                      f"{step['step_time_s']:.6g}", f"{plan['tokens_per_s']:.6g}",
                                      f"{step['mfu']:.4f}", f"{plan['power']['gpu_w']:.1f}"])
    return answer["curves"]


def rows(header, body):
    say("| " + " | ".join(str(h) for h in header) + " |")
    say("|" + "---|" * len(header))
    for row in body:
        say("| " + " | ".join(str(cell) for cell in row) + " |")
    say()


def per_gpu(point):
    return point["best"]["tokens_per_s"] / point["gpus"]


def exposed(plan):
    return sum(axis["exposed_s"] for axis in plan["communication"].values()) / plan["plan"]["step_time_s"]


def network(plan):
    return sum(axis["exposed_s"] + axis["hidden_s"] for axis in plan["communication"].values())


def compute(plan):
    time = plan["plan"]["time"]
    return sum(time.get(key, 0) for key in ("matrix_products_s", "attention_s", "memory_bound_kernels_s"))


def weak(model, gpu, gpus, micro, sequence, section, more=()):
    first = gpus[0]
    arguments = [model, gpu, "--gpus", ",".join(map(str, gpus)), "--weak", "--seq", str(sequence), "--global-batch",
                 str(first * micro), "--micro-batch", str(micro), "--no-baselines"] + FSDP + list(more)
    if gpu == "V100":
        arguments += ["--precision", "fp16"]
    return arguments, ask(arguments, section)[0]["points"]


def first(points, holds):
    """GPUs of the first point for which `holds`; None: none of them."""
    return next((p["gpus"] for p in points if p["best"] and holds(p)), None)


def percent(value, sign=False):
    return f"{100 * value:+.2f} %" if sign else f"{100 * value:.1f} %"


say("# What the next GPU buys: the experiments of Fernandez et al., asked of meshplan")
say()
say("Written by `examples/scaling-study/run.sh`; every number below is printed by the command beside it or by the grid "
    "that is stated. The paper (arXiv 2411.13055) does not print the set-up of its headline figures, so a set-up is "
    "stated for each and the range over a grid stands beside it. All points: `scaling.csv`.")
say()

# 1 ------------------------------------------------------------------------------------------------
say("## Weak scaling of FSDP, 128 to 2,048 H100")
say()
arguments, points = weak("llama2-7b", "H100", [128, 256, 512, 1024, 2048], 2, 4096, "weak")
shown(["scale"] + arguments)
COUNTS = [8, 16, 32, 64, 128, 256, 512, 1024, 2048]
drops, powers, grid, bounds = [], [], [], []
for model in ("llama3.2-1b", "llama2-7b", "llama2-13b"):
    for sequence in (2048, 4096):
        for micro in (1, 2, 4):
            _, line = weak(model, "H100", COUNTS, micro, sequence, "weak-grid")
            pair = [p for p in line if p["gpus"] in (128, 2048)]
            if not all(p["best"] for p in pair):
                continue
            bounds.append([model, sequence, micro, first(line, lambda p: exposed(p["best"]) > 0.05),
                           first(line, lambda p: network(p["best"]) > compute(p["best"]))])
            drop = per_gpu(pair[1]) / per_gpu(pair[0]) - 1
            power = pair[1]["best"]["power"]["gpu_w"] / pair[0]["best"]["power"]["gpu_w"] - 1
            drops.append(drop)
            powers.append(power)
            grid.append([model, sequence, micro, percent(drop, True), percent(power, True)])
            if abs(drop + 0.3722) == min(abs(d + 0.3722) for d in drops):
                nearest = (f"{model}, sequence {sequence:,}, {micro} sequences a GPU", drop, power)
stated = per_gpu(points[-1]) / per_gpu(points[0]) - 1
watts = points[-1]["best"]["power"]["gpu_w"] / points[0]["best"]["power"]["gpu_w"] - 1
rows(["", "paper", "Llama 2 7B, sequence 4,096, 2 sequences a GPU", "nearest set-up of the grid: " + nearest[0],
      "range over the grid"],
     [["tokens/s per GPU", "-37.22 %", percent(stated, True), percent(nearest[1], True),
       f"{percent(min(drops), True)} to {percent(max(drops), True)}"],
      ["power per GPU", "-5.87 %", percent(watts, True), percent(nearest[2], True),
       f"{percent(min(powers), True)} to {percent(max(powers), True)}"],
      ["tokens per joule of the GPU", "-33.3 %", percent((1 + stated) / (1 + watts) - 1, True),
       percent((1 + nearest[1]) / (1 + nearest[2]) - 1, True), ""]])
say("The power of a GPU that waits for a collective is fitted on the second figure in the set-up nearest to the first one "
    "(`costmodel/data/power.yaml`), so that row is no independent check.")
say()
rows(["model", "sequence", "sequences a GPU", "tokens/s per GPU", "power per GPU"], grid)
rows(["GPUs", "tokens/s per GPU", "MFU", "exposed communication", "collectives over kernels", "W per GPU"],
     [[p["gpus"], f"{per_gpu(p):,.0f}", percent(p["best"]["plan"]["mfu"]), percent(exposed(p["best"])),
       f"{network(p['best']) / compute(p['best']):.2f}", f"{p['best']['power']['gpu_w']:.0f}"] for p in points])

# 2 ------------------------------------------------------------------------------------------------
say("## Communication-bound from about 128 H100")
say()
arguments, points = weak("llama2-7b", "H100", [8, 16, 32, 64, 128, 256, 512, 1024, 2048], 2, 4096, "bound")
shown(["scale"] + arguments)
bound = first(points, lambda p: network(p["best"]) > compute(p["best"]))
five = first(points, lambda p: exposed(p["best"]) > 0.05)
near = sum(1 for b in bounds if b[3] and b[3] <= 128)
say(f"Paper: from roughly 128 GPUs on. meshplan, in this set-up: collectives take longer than kernels from {bound} GPUs on, "
    f"and more than 5 % of the step waits for them from {five} GPUs on. What decides is the work between two gathers: of the "
    f"{len(bounds)} set-ups of the grid above, {near} wait for more than 5 % of the step at 128 GPUs or fewer, the others "
    f"from the counts of the second table on.")
say()
rows(["GPUs", "tokens/s per GPU", "exposed", "collectives over kernels"],
     [[p["gpus"], f"{per_gpu(p):,.0f}", percent(exposed(p["best"])), f"{network(p['best']) / compute(p['best']):.2f}"]
      for p in points])
rows(["model", "sequence", "sequences a GPU", "5 % exposed from", "collectives over kernels from"],
     [[m, q, n, a or f"beyond {COUNTS[-1]}", b or f"beyond {COUNTS[-1]}"] for m, q, n, a, b in bounds])

# 3 ------------------------------------------------------------------------------------------------
say("## Model parallelism of 2 to 4 beats pure FSDP beyond the knee")
say()
arguments = ["llama2-7b", "H100", "--gpus", "128..2048", "--weak", "--seq", "4096", "--global-batch", "256", "--trainer",
             "fair-fsdp"]
shown(["scale"] + arguments)
points = ask(arguments, "model-parallel")[0]["points"]
ways = list(points[0]["baselines"])


def rate(point, way):
    plan = point["best"] if way == "best" else point["baselines"][way]
    return f"{plan['tokens_per_s'] / point['gpus']:,.0f}" if plan else "-"


rows(["GPUs", "best"] + ways + ["best plan"],
     [[p["gpus"]] + [rate(p, way) for way in ["best"] + ways] + [p["best"]["plan"]["plan"]] for p in points])
gains = []
for p in points:
    fsdp = p["baselines"]["fsdp"]["tokens_per_s"]
    best = max((p["baselines"][w]["tokens_per_s"], w) for w in ("fsdp+tp2", "fsdp+tp4") if p["baselines"][w])
    gains.append(f"{p['gpus']}: {best[1]} {percent(best[0] / fsdp - 1, True)}")
say("Tokens/s of the better of TP 2 and 4 over pure FSDP: " + "; ".join(gains) + ".")
say()

# 4 ------------------------------------------------------------------------------------------------
say("## Hardware generations: MFU of A100 and H100 in the same set-up")
say()
say("Paper: A100 59.67 %, H100 40.77 %; model, count and batch of the comparison are not known. Grid: "
    "1B, 7B, 13B; 8, 32, 128, 512, 2,048 GPUs; sequence 2,048 and 4,096; 1, 2, 4 sequences a GPU; pure FSDP.")
say()
pairs = []
for model in ("llama3.2-1b", "llama2-7b", "llama2-13b"):
    for sequence in (2048, 4096):
        for micro in (1, 2, 4):
            by_gpu = {}
            for gpu in ("A100", "H100"):
                _, points = weak(model, gpu, [8, 32, 128, 512, 2048], micro, sequence, "generations")
                by_gpu[gpu] = {p["gpus"]: p["best"]["plan"]["mfu"] for p in points if p["best"]}
            for gpus in by_gpu["A100"]:
                if gpus in by_gpu["H100"]:
                    pairs.append((model, sequence, micro, gpus, by_gpu["A100"][gpus], by_gpu["H100"][gpus]))
above = sum(1 for p in pairs if p[4] > p[5])
a, h = [p[4] for p in pairs], [p[5] for p in pairs]
nearest = min(pairs, key=lambda p: abs(p[4] - 0.5967) + abs(p[5] - 0.4077))
rows(["", "paper", "range over the grid", "inside"],
     [["MFU A100", "59.67 %", f"{percent(min(a))} to {percent(max(a))}", "yes" if min(a) <= 0.5967 <= max(a) else "no"],
      ["MFU H100", "40.77 %", f"{percent(min(h))} to {percent(max(h))}", "yes" if min(h) <= 0.4077 <= max(h) else "no"]])
say(f"A100 above H100 in {above} of {len(pairs)} set-ups. Nearest to both figures: {nearest[0]}, sequence {nearest[1]}, "
    f"{nearest[2]} sequences a GPU, {nearest[3]} GPUs: {percent(nearest[4])} and {percent(nearest[5])}.")
say()
arguments, _ = weak("llama2-7b", "V100", [8], 1, 4096, "generations")
say("Three generations, Llama 2 7B, sequence 2,048, one sequence a GPU:")
say()
body = []
for gpu in ("V100", "A100", "H100"):
    _, points = weak("llama2-7b", gpu, [32, 128, 512], 1, 2048, "generations-7b")
    body.append([gpu] + [f"{per_gpu(p):,.0f} ({percent(p['best']['plan']['mfu'])}, {percent(exposed(p['best']))} exposed)"
                         if p["best"] else "no plan: " + p["why_none"] for p in points])
rows(["", "32", "128", "512"], body)

# 5 ------------------------------------------------------------------------------------------------
say("## Bus bandwidth of collectives on H100 nodes")
say()
paper = {4: [18, 47, 68, 115, 167, 217, 255, 275, 317, 338], 8: [12, 34, 51, 88, 136, 189, 233, 280, 311, 328],
         16: [9, 27, 42, 72, 112, 162, 219, 265, 303, 322], 32: [None, 22, 34, 58, 88, 152, 206, 253, 290, 314],
         64: [None, 18, 28, 45, 88, 137, 181, 246, 290, 303], 128: [None, None, None, 45, 78, 123, 180, 235, 250, 305],
         256: [None, None, None, 43, 67, 118, 172, 222, 263, 303], 512: [5, 14, 22, 40, 65, 112, 164, 220, 261, 287]}
sizes = [1, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
shown(["show", "H100", "--collectives", "--gpus", "4096"])
errors, body, gather = [], [], []
for nodes, published in paper.items():
    answer = json.loads(run(["show", "H100", "--collectives", "--gpus", str(nodes * 8), "--json"]))
    by_size = {round(row["bytes"] / 2**20): row for row in answer["collectives"]}
    cells = []
    for size, value in zip(sizes, published):
        predicted = by_size[size]["all_reduce"]["bus_gb_per_s"]
        if value:
            errors.append(abs(predicted / value - 1))
        cells.append(f"{value if value else '-'} / {predicted:.0f}")
    body.append([nodes] + cells)
    gather.append([nodes * 8] + [f"{by_size[size]['all_gather']['bus_gb_per_s']:.0f} / "
                                 f"{by_size[size]['all_reduce']['bus_gb_per_s']:.0f}" for size in (16, 64, 256, 1024)])
say("All-reduce, GB/s, read off the paper's figure / meshplan, by nodes of 8 and MiB:")
say()
rows(["nodes"] + sizes, body)
say(f"Mean error {percent(sum(errors) / len(errors))} over {len(errors)} values, largest {percent(max(errors))}.")
say()
say("All-gather / all-reduce, GB/s, by GPUs and MiB: the ring's latency grows with the ranks, the tree's with their "
    "logarithm.")
say()
rows(["GPUs", 16, 64, 256, 1024], gather)

# 6 ------------------------------------------------------------------------------------------------
say("## Strong scaling")
say()
for model in ("llama2-7b", "llama2-70b"):
    arguments = [model, "H100", "--gpus", "64..4096", "--seq", "4096", "--global-batch", "1024", "--trainer", "fair-fsdp"]
    shown(["scale"] + arguments)
    curve = ask(arguments, "strong")[0]
    rows(["GPUs", "tokens/s per GPU", "next GPU", "tokens/J", "pure FSDP", "best plan"],
         [[p["gpus"], f"{per_gpu(p):,.0f}", percent(p["marginal"]["share"]) if p["marginal"] else "",
           f"{p['best']['power']['tokens_per_joule']:.2f}", rate(p, "fsdp"), p["best"]["plan"]["plan"]]
          if p["best"] else [p["gpus"], "-", "", "", rate(p, "fsdp"), p["why_none"]] for p in curve["points"]])
    for finding in curve["findings"]:
        say("- " + finding)
    say()

# 7 ------------------------------------------------------------------------------------------------
say("## Sequence length and model size")
say()
body = []
for sequence, micro in ((1024, 8), (2048, 4), (4096, 2), (8192, 1)):
    _, points = weak("llama2-7b", "H100", [128, 512, 2048], micro, sequence, "sequence")
    body.append([f"{sequence} x {micro}"] + [f"{per_gpu(p):,.0f} ({percent(p['best']['plan']['mfu'])})" if p["best"] else "-"
                                             for p in points])
say("Llama 2 7B under pure FSDP, 8,192 tokens a GPU, tokens/s per GPU and MFU by GPUs:")
say()
rows(["sequence x sequences", 128, 512, 2048], body)
body = []
for model in ("llama3.2-1b", "llama2-7b", "llama2-13b", "llama2-70b"):
    _, points = weak(model, "H100", [128, 512, 2048], 1, 4096, "sizes")
    body.append([model] + [f"{per_gpu(p):,.0f} ({percent(p['best']['plan']['mfu'])}, {percent(exposed(p['best']))} exposed)"
                           if p["best"] else "no plan: " + p["why_none"] for p in points])
say("One sequence of 4,096 a GPU, pure FSDP:")
say()
rows(["model", 128, 512, 2048], body)

# 8 ------------------------------------------------------------------------------------------------
say("## Llama 3 405B to 131,072 GPUs")
say()
for name, cluster, gpus in (("llama3-405b-roce", "llama3-roce", "1024..131072"),
                            ("llama3-405b-gb200", "gb200-nvl72", "1152..147456")):
    batch = "2048" if "roce" in name else "2304"
    arguments = ["llama3-405b", cluster, "--gpus", gpus, "--seq", "8192", "--global-batch", batch, "--tokens", "15.6e12"]
    shown(["scale"] + arguments + ["--html", name + ".html"])
    curve = ask(arguments, name)[0]
    run(["scale"] + arguments + ["--html", name + ".html"])
    rows(["GPUs", "step", "tokens/s per GPU", "next GPU", "MFU", "effective", "days", "plan"],
         [[p["gpus"], f"{p['best']['plan']['step_time_s']:.3g} s", f"{per_gpu(p):,.0f}",
           percent(p["marginal"]["share"]) if p["marginal"] else "", percent(p["best"]["plan"]["mfu"]),
           percent(p["best"]["goodput"]["effective_ratio"]), f"{p['best']['training']['time_s'] / 86400:,.0f}",
           p["best"]["plan"]["plan"]] if p["best"] else [p["gpus"], "-", "", "", "", "", "", p["why_none"]]
          for p in curve["points"]])
    for finding in curve["findings"]:
        say("- " + finding)
    say()
answer = json.loads(run(["scale", "llama3-405b", "llama3-roce", "--gpus", "16384", "--seq", "8192", "--global-batch", "2048",
                         "--no-baselines", "--json"]))
good = answer["curves"][0]["points"][0]["best"]["goodput"]
say(f"Goodput at 16,384 GPUs: an interruption every {good['interruption_every_s'] / 3600:.2f} h, checkpoints of "
    f"{good['checkpoint_bytes'] / 1e12:.2f} TB every {good['interval_s'] / 60:.1f} min, "
    f"{percent(good['effective_ratio'])} of the time effective. The paper (arXiv 2407.21783): 466 interruptions in 54 days "
    "(one every 2.78 h), more than 90 %.")
say()

# 9 ------------------------------------------------------------------------------------------------
say("## Published scaling series")
say()
patterns = []
for line in open(f"{root}/validate/published/series.yaml"):
    match = re.search(r"factor: \"GPUs.*pattern: '([^']*)'", line)
    if match:
        patterns.append(re.compile(match.group(1)))
source = list(csv.reader(open(f"{root}/validate/published/runs.csv", newline="")))
chosen = [source[0]] + [row for row in source[1:] if any(p.fullmatch(row[0]) for p in patterns)]
with open(f"{folder}/series.csv", "w", newline="") as out:
    csv.writer(out, lineterminator="\n").writerows(chosen)
shown(["validate", "published", "series.csv", "--html", "series.html"])
text = run(["validate", "published", "series.csv", "--html", "series.html"])
answer = json.loads(run(["validate", "published", f"{folder}/series.csv", "--json"]))
say(f"The {len(chosen) - 1} runs of the weak- and strong-scaling series (`series.csv`), measured and predicted, as charts in "
    "`series.html`.")
say()
if "series" in answer:
    rows(["series", "factor", "measured change", "predicted change"],
         [[s["what"], s["factor"], percent(s["measured_change"], True), percent(s["predicted_change"], True)]
          for s in answer["series"] if s["factor"].startswith("GPUs") and s.get("measured_change") is not None])

with open(f"{folder}/README.md", "w") as out:
    out.write("\n".join(lines).rstrip() + "\n")
text = io.StringIO()
writer = csv.writer(text, lineterminator="\n")
writer.writerow(["section", "curve", "sequence", "gpus", "global_batch_sequences", "way", "plan", "step_s", "tokens_per_s",
                 "mfu", "gpu_w"])
writer.writerows(table_csv)
open(f"{folder}/scaling.csv", "w").write(text.getvalue())
