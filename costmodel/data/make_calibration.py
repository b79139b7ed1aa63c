#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the compact kernel and collective tables of this folder from raw measured tables.

usage: make_calibration.py FOLDER   (the folder with gemm_bf16.csv.gz, nccl_single_node.csv, ...)

Writes gemm/, attention/, collectives/ beside this script. Constants (*.yaml) are written by hand.
Sources, licences and what was changed: NOTICE.md.
"""
import csv
import gzip
import pathlib
import statistics
import sys
from collections import defaultdict

HERE = pathlib.Path(__file__).resolve().parent
# Memory rate in byte/s, for taking the paged-cache write out of inference attention.
MEMORY = {
    "a100_sxm": 2.039e12, "h100_sxm": 3.352e12, "h200_sxm": 4.8e12, "b200_sxm": 8e12,
    "b300_sxm": 8e12, "gb200": 8e12, "gb300": 8e12, "l40s": 0.864e12,
}
ACHIEVED = 0.85  # share of that rate which the copy reaches
SEQUENCES = (512, 1024, 2048, 4096, 8192, 16384)
FLOOR_US = 8.0  # of a flash attention kernel by itself (assumed)
MAX_BATCH = 8  # larger batches of one-head shards are decoding shapes


def rows(path):
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", newline="") as text:
        yield from csv.DictReader(text)


def short(value):
    """Four significant digits, no exponent, no trailing zeros."""
    text = f"{value:.4g}"
    if "e" in text:
        text = f"{float(text):.0f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def write(path, comments, header, lines):
    path.parent.mkdir(exist_ok=True)
    with open(path, "w") as out:
        out.writelines(f"# {line}\n" for line in ("SPDX-License-Identifier: Apache-2.0", *comments))
        out.write(",".join(header) + "\n")
        out.writelines(",".join(line) + "\n" for line in lines)


def name(gpu):
    return gpu.replace("_", "-")


def write_grid(path, comments, cells):
    """One line per (m, n), one column per k; an empty field was not measured."""
    ks = sorted({k for _, _, k in cells})
    lines = []
    for m, n in sorted({(m, n) for m, n, _ in cells}):
        values = [short(cells[m, n, k]) if (m, n, k) in cells else "" for k in ks]
        lines.append([str(m), str(n), *values])
    write(path, comments, ["m", "n", *map(str, ks)], lines)


def gemm(folder):
    tables = defaultdict(dict)
    for row in rows(folder / "gemm_bf16.csv.gz"):
        if row["power_mode"] == "burst":
            tables[row["gpu"]][int(row["m"]), int(row["n"]), int(row["k"])] = float(row["latency_us"])
    for gpu, cells in tables.items():
        write_grid(HERE / "gemm" / f"{name(gpu)}-bf16.csv",
                   ["microseconds of y[m,n] = x[m,k] w[n,k]^T, bf16 in and out, burst clocks; columns: k",
                    "ai-dynamo/aiconfigurator 095f58a5, Apache-2.0, (c) NVIDIA CORPORATION & AFFILIATES"],
                   cells)
    tables = defaultdict(dict)
    for row in rows(folder / "gemm_fp8.csv.gz"):
        total, quantise = float(row["latency_us"]), float(row["quant_us"])
        if total - quantise >= 0.2 * total:  # else the difference of two measurements is noise
            tables[row["gpu"]][int(row["m"]), int(row["n"]), int(row["k"])] = total - quantise
    for gpu, cells in tables.items():
        write_grid(HERE / "gemm" / f"{name(gpu)}-fp8.csv",
                   ["microseconds of y[m,n] = x[m,k] w[n,k]^T, e4m3 in, bf16 out, without quantisation; columns: k",
                    "ai-dynamo/aiconfigurator 095f58a5, Apache-2.0, (c) NVIDIA CORPORATION & AFFILIATES"],
                   cells)


def attention(folder):
    """Median over how batch x heads is made up, after the write of the paged cache is taken off."""
    tables = defaultdict(lambda: defaultdict(list))
    for row in rows(folder / "attention_fwd.csv.gz"):
        gpu, batch, seq = row["gpu"], int(row["batch"]), int(row["seq"])
        heads, kv, dim = int(row["heads"]), int(row["kv_heads"]), int(row["head_dim"])
        if batch > MAX_BATCH:
            continue
        cache = 2 * (2 * batch * seq * kv * dim * 2) / (MEMORY[gpu] * ACHIEVED) * 1e6
        time = max(float(row["latency_us"]) - cache, 0.5 * float(row["latency_us"]))
        tables[gpu][dim, batch * heads, seq].append(time)
    for gpu, cells in tables.items():
        # The floor of the smallest shapes holds the launch of the kernel that writes the cache.
        launch = max(0.0, min(min(times) for times in cells.values()) - FLOOR_US)
        cells = {key: [time - launch for time in times] for key, times in cells.items()}
        lines = []
        for dim, parallel in sorted({(d, p) for d, p, _ in cells}):
            values = [cells.get((dim, parallel, seq)) for seq in SEQUENCES]
            lines.append([str(dim), str(parallel),
                          *(short(statistics.median(v)) if v else "" for v in values)])
        write(HERE / "attention" / f"{name(gpu)}.csv",
              ["microseconds of causal attention forward, bf16; columns: sequence length;",
               "batch_heads = batch x heads; median over their split, less the paged-cache write and its launch",
               "ai-dynamo/aiconfigurator 095f58a5, Apache-2.0, (c) NVIDIA CORPORATION & AFFILIATES"],
              ["head_dim", "batch_heads", *map(str, SEQUENCES)], lines)


def collectives(folder):
    tables = defaultdict(lambda: defaultdict(dict))
    operations = {"alltoall": "all_to_all"}
    for row in rows(folder / "nccl_single_node.csv"):
        op = operations.get(row["op"], row["op"])
        if row["nvls"] == "off":
            continue  # int8, which NVLS cannot reduce; training reduces 16 and 32 bits
        tables[row["gpu"]][op, int(row["ranks"])][int(row["bytes"])] = float(row["latency_us"])
    for row in rows(folder / "allreduce_a100_v100_luts.csv"):
        if row["gpu"] == "v100_sxm":  # the A100 rows are of an NCCL twice as slow at 1 MiB
            tables["v100_sxm"]["all_reduce", int(row["ranks"])][int(row["bytes"])] = float(row["latency_us"])
    for gpu, curves in tables.items():
        lines = [[op, str(ranks), str(size), short(time)]
                 for (op, ranks), curve in sorted(curves.items()) for size, time in sorted(curve.items())]
        write(HERE / "collectives" / f"{name(gpu)}.csv",
              ["microseconds of NCCL inside one node; bytes as nccl-tests counts them",
               "VIA-Research/vTrain f8dda847, MIT, (c) VIA Research Group at KAIST" if gpu == "v100_sxm" else
               "ai-dynamo/aiconfigurator 095f58a5, Apache-2.0, (c) NVIDIA CORPORATION & AFFILIATES"],
              ["op", "ranks", "bytes", "us"], lines)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[1])
    gemm(folder)
    attention(folder)
    collectives(folder)


if __name__ == "__main__":
    main()
