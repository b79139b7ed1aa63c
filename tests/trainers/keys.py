#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the keys that a release of a trainer knows, as strategies/data/launch/*.keys holds them.

usage: keys.py TRAINER VERSION SOURCE, SOURCE: folder of the package (site-packages or a checkout's)
Megatron-LM's options come from its own parser (torch is imported); the other trainers' keys are
read from the text of their classes, nothing is run.
"""
import ast
import pathlib
import re
import sys

PLAIN = {"int": "int", "float": "float", "bool": "bool", "str": "text", "Path": "text"}


def type_of(annotation):
    """Type word and choices of an annotation; Optional and None are left out, null always passes."""
    text = ast.unparse(annotation)
    literal = re.fullmatch(r"(?:Optional\[)?Literal\[(.*?)\]\]?(?: \| None)?", text)
    if literal:
        return "text", [str(word) for word in ast.literal_eval(f"[{literal[1]}]")]
    text = re.sub(r"Optional\[(.*)\]", r"\1", text).replace(" | None", "").strip()
    if text in ("float | int", "Union[float, int]"):
        text = "float"
    if text.lower().startswith(("list[", "list")):
        return "list", []
    return PLAIN.get(text, "any"), []


def fields(source, path, name, seen=()):
    """Annotated fields of a class, those of bases in the same file first."""
    tree = ast.parse((source / path).read_text())
    classes = {c.name: c for c in ast.walk(tree) if isinstance(c, ast.ClassDef)}
    out = {}
    for base in classes[name].bases:
        base = ast.unparse(base)
        if base in classes and base not in seen:
            out |= fields(source, path, base, (*seen, name))
    for item in classes[name].body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            alias = re.search(r"alias=['\"](\w+)['\"]", ast.unparse(item.value) if item.value else "")
            out[alias[1] if alias else item.target.id] = type_of(item.annotation)
    return out


def section(source, prefix, path, *names):
    rows = {}
    for name in names:
        for key, (kind, choices) in fields(source, path, name).items():
            rows[f"{prefix}.{key}" if prefix else key] = " ".join([kind, *choices])
    return rows


def megatron_lm(source):
    sys.path.insert(0, str(source))
    import argparse

    from megatron.training import arguments

    parser = argparse.ArgumentParser(allow_abbrev=False)
    arguments.add_megatron_arguments(parser)
    rows = {}
    for action in parser._actions:
        choices = [str(getattr(c, "name", c)) for c in action.choices or []]
        kind = {int: "int", float: "float", str: "text", None: "text"}.get(action.type, "any")
        if action.nargs == 0:
            kind = "flag"
        elif action.nargs not in (None, "?"):
            kind = "list"
        elif choices:
            kind = "text"
        for option in action.option_strings:
            if option.startswith("--"):
                rows[option] = " ".join([kind, *choices])
    return rows


def torchtitan(source):
    if (source / "torchtitan/config/job_config.py").exists():  # 0.2
        path, rows = "torchtitan/config/job_config.py", {}
        tree = ast.parse((source / path).read_text())
        job = next(c for c in tree.body if isinstance(c, ast.ClassDef) and c.name == "JobConfig")
        for item in job.body:
            if isinstance(item, ast.AnnAssign):
                rows |= section(source, item.target.id, path, ast.unparse(item.annotation))
        nested = {"quantize.linear.float8": "Float8Linear", "quantize.linear.mx": "MXLinear",
                  "quantize.grouped_mm.float8": "Float8GroupedMM", "quantize.grouped_mm.mx": "MXGroupedMM",
                  "training.dataloader": "DataLoader", "validation.dataloader": "DataLoader"}
        for prefix, name in nested.items():
            rows |= section(source, prefix, path, name)
        return {k: v for k, v in rows.items() if v != "any" or k.count(".") != 1}
    rows = {}
    for name, parts in {"training": "TrainingConfig", "parallelism": "ParallelismConfig",
                        "compile": "CompileConfig", "comm": "CommConfig", "debug": "DebugConfig"}.items():
        rows |= section(source, name, "torchtitan/config/configs.py", parts)
        rows[name] = "any"
    rows |= section(source, "", "torchtitan/trainer.py", "Config")
    for key in list(rows):
        if "." not in key and rows[key] == "any" and not any(k.startswith(key + ".") for k in rows):
            rows[f"{key}.*"] = "any"
    rows["()"] = "any"
    return rows


def nanotron(source):
    base, rows = "nanotron/config/", {}
    config = base + "config.py"
    for prefix, path, name in (
            ("general", config, "GeneralArgs"), ("parallelism", base + "parallelism_config.py", "ParallelismArgs"),
            ("model", config, "ModelArgs"), ("tokenizer", config, "TokenizerArgs"),
            ("checkpoints", config, "CheckpointsArgs"), ("logging", config, "LoggingArgs"),
            ("metrics_logging", config, "MetricsLoggingArgs"), ("tokens", config, "TokensArgs"),
            ("optimizer", config, "OptimizerArgs"), ("profiler", config, "ProfilerArgs"),
            ("optimizer.learning_rate_scheduler", config, "LRSchedulerArgs"),
            ("optimizer.optimizer_factory", config, "AdamWOptimizerArgs"),
            ("model.model_config", base + "models_config.py", "LlamaConfig"),
            ("model.model_config", base + "models_config.py", "Qwen2Config")):
        rows |= section(source, prefix, path, name)
        rows[prefix] = "any"
    rows |= section(source, "", config, "Config")
    rows |= {"model.init_method.*": "any", "lighteval.*": "any", "s3_upload.*": "any",
             "model.dtype": "text float16 bfloat16 float32 float64",
             "parallelism.pp_engine": "text 1f1b afab", "parallelism.tp_mode": "text ALL_REDUCE REDUCE_SCATTER",
             "model.model_config.is_llama_config": "bool", "model.model_config.is_qwen2_config": "bool",
             "model.model_config.rope_scaling.*": "any"}
    return rows


def accelerate(source):
    path = "accelerate/commands/config/config_args.py"
    rows = section(source, "", path, "BaseConfig") | section(source, "", path, "ClusterConfig")
    launch = (source / "accelerate/commands/launch.py").read_text()
    for name in sorted(set(re.findall(r"\"--(fsdp_\w+|parallelism_config_\w+)\"", launch))):
        kind = "int" if name.endswith("_size") or name == "fsdp_version" else "any"
        rows[f"{'fsdp_config' if name.startswith('fsdp') else 'parallelism_config'}.{name}"] = kind
    rows |= {f"{part}.*": "any" for part in ("deepspeed_config", "megatron_lm_config", "mpirun_config",
                                             "dynamo_config", "fp8_config", "tpu_env")}
    rows |= {"fsdp_config": "any", "parallelism_config": "any",
             "mixed_precision": "text no fp16 bf16 fp8", "same_network": "any", "downcast_bf16": "any",
             "parallelism_config.parallelism_config_cp_comm_strategy": "text allgather alltoall"}
    return rows


def deepspeed(source):
    zero = "deepspeed/runtime/zero/"
    rows = section(source, "zero_optimization", zero + "config.py", "DeepSpeedZeroConfig")
    offload = zero + "offload_config.py"
    rows |= section(source, "zero_optimization.offload_param", offload, "DeepSpeedZeroOffloadParamConfig")
    rows |= section(source, "zero_optimization.offload_optimizer", offload,
                    "DeepSpeedZeroOffloadOptimizerConfig")
    device = "text none cpu nvme"
    rows |= {"zero_optimization.offload_param.device": device,
             "zero_optimization.offload_optimizer.device": device,
             "zero_optimization.stage": "int"}
    constants = (source / "deepspeed/runtime/constants.py").read_text()
    names = set(re.findall(r"^[A-Z_0-9]+ = \"([a-z_0-9]+)\"", constants, re.M))
    used = (source / "deepspeed/runtime/config.py").read_text()
    top = {"train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps",
           "sequence_parallel_size", "data_parallel_size", "vocabulary_size", "memory_breakdown", "wall_clock_breakdown", "dump_state",
           "gradient_clipping", "graph_harvesting", "zero_allow_untested_optimizer",
           "zero_force_ds_cpu_optimizer", "steps_per_print", "sparse_gradients", "managed_gradient_accumulation",
           "communication_data_type", "seq_parallel_communication_data_type", "prescale_gradients",
           "gradient_predivide_factor", "gradient_allreduce_op", "disable_allgather", "dataloader_drop_last",
           "log_level", "use_data_before_expert_parallelism", "keep_module_on_host"}
    kinds = {"train_batch_size": "int", "train_micro_batch_size_per_gpu": "int",
             "gradient_accumulation_steps": "int", "sequence_parallel_size": "int", "gradient_clipping": "float"}
    rows |= {key: kinds.get(key, "any") for key in top}
    parts = {"optimizer", "scheduler", "bf16", "bfloat16", "fp16", "amp", "torch_autocast", "eigenvalue",
             "progressive_layer_drop", "checkpoint", "data_types", "activation_checkpointing", "flops_profiler",
             "tensorboard", "wandb", "comet", "csv_monitor", "comms_logger", "aio", "autotuning", "elasticity",
             "compression_training", "data_efficiency", "curriculum_learning", "sparse_attention", "nebula",
             "hybrid_engine", "quantize_training", "weight_quantization", "compile", "pipeline", "tensor_parallel",
             "expert_parallel", "sequence_parallel", "zero_optimization", "datastates_ckpt", "monitor_config"}
    assert {"optimizer", "scheduler", "checkpoint"} <= names and "weight_quantization" in used
    for part in parts:
        rows[part] = "any"
        if part != "zero_optimization":
            rows[f"{part}.*"] = "any"
    rows["bf16.enabled"] = rows["fp16.enabled"] = "any"
    rows["tensor_parallel.autotp_size"] = rows["expert_parallel.autoep_size"] = "int"
    for key, kind in list(rows.items()):  # the HF Trainer fills "auto" in
        if kind in ("int", "float", "bool"):
            rows[key] = f"{kind}-or-auto"
    return rows


def megatron_bridge(source):
    """SOURCE: folder with megatron/core (of megatron-core) and megatron/bridge."""
    core, bridge = "megatron/core/", "megatron/bridge/training/config.py"
    rows = {}
    parts = [("model", core + "model_parallel_config.py", "ModelParallelConfig"),
             ("model", core + "transformer/transformer_config.py", "TransformerConfig"),
             ("model", core + "transformer/transformer_config.py", "MLATransformerConfig"),
             ("ddp", core + "distributed/distributed_data_parallel_config.py", "DistributedDataParallelConfig"),
             ("optimizer", core + "optimizer/optimizer_config.py", "OptimizerConfig"),
             ("comm_overlap", "megatron/bridge/training/comm_overlap.py", "CommOverlapConfig")]
    for prefix, path, name in parts:
        rows |= section(source, prefix, path, name)
    rows = {key: kind if kind in ("int", "bool", "float") else "any" for key, kind in rows.items()}
    tree = ast.parse((source / bridge).read_text())
    container = next(c for c in tree.body if isinstance(c, ast.ClassDef) and c.name == "ConfigContainer")
    for item in container.body:
        if isinstance(item, ast.AnnAssign):
            rows[item.target.id] = "any"
            if not any(key.startswith(item.target.id + ".") for key in rows):
                rows[f"{item.target.id}.*"] = "any"
    provider = section(source, "model", "megatron/bridge/models/gpt_provider.py", "GPTModelProvider")
    rows |= {key: "any" for key in provider if key not in rows}
    # The model is built by another class for each family, with fields of its own.
    rows |= {"model.(0)": "any", "model.self.*": "any", "model.self": "any", "model.pipeline_model_parallel_layout": "any",
             "train.micro_batch_size": "int", "train.global_batch_size": "int", "train.train_iters": "int",
             "dataset.seq_length": "int", "()": "any"}
    for flag in ("--recipe", "--mode", "--dataset", "--step_func", "--peft_scheme", "--packed_sequence",
                 "--seq_length", "--hf_path", "--dry-run"):
        rows[flag] = "any"
    return rows


def main():
    name, version, source = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
    rows = globals()[name.replace("-", "_")](source)
    print(f"# SPDX-License-Identifier: Apache-2.0\n# Keys of {name} {version}, by tests/trainers/keys.py")
    for key in sorted(rows):
        print(key, rows[key])


main()
