#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Gives configurations to the parser and validator of their own trainer, without a GPU.

usage: validate.py TRAINER < list     a line of the list: FILE WORLD
Prints for each line FILE, a tab, and "accepted", "refused: why", or "absent: what" where the trainer is not there.
Environment: MEGATRON, BRIDGE, TORCHTITAN, NANOTRON: checkouts to use in the place of what is installed. The trainer is
imported once, each file is judged in a process of its own. Process groups are torch's fake ones; only what asks a GPU
or Transformer Engine for itself is replaced, by a Hopper with everything installed; packages that cannot be installed
without a GPU are replaced by inert ones (STUBS).
"""
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import logging
import os
import subprocess
import sys
import types
import warnings

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)


def use(variable, sub=""):
    if os.environ.get(variable):
        sys.path.insert(0, os.path.join(os.environ[variable], sub))


class Inert:
    """Stands for anything in a package that is not there: called, subscripted, used as a base or a decorator."""

    def __init__(self, name):
        self._name = name
        self.__name__ = self.__qualname__ = name.rsplit(".", 1)[-1]
        self.__module__ = name.rsplit(".", 1)[0]

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Inert(f"{self._name}.{name}")

    def __call__(self, *args, **kwargs):
        return args[0] if len(args) == 1 and callable(args[0]) and not kwargs else Inert(f"{self._name}()")

    def __mro_entries__(self, bases):
        return ()

    def __getitem__(self, key):
        return self

    def __iter__(self):
        return iter(())

    def __or__(self, other):
        return object

    __ror__ = __or__


def inert(name):
    if name.rsplit(".", 1)[-1].startswith("__"):
        raise AttributeError(name)
    return Inert(name)


class InertPackages(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def __init__(self, roots):
        self.roots = roots

    def find_spec(self, name, path=None, target=None):
        if any(name == root or name.startswith(root + ".") for root in self.roots):  # last of all finders
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        module = types.ModuleType(spec.name)
        module.__version__ = "99.0"
        module.__getattr__ = lambda name: inert(f"{spec.name}.{name}")
        return module

    def exec_module(self, module):
        pass


# What each trainer imports although it takes a GPU to install it; pkg_resources left setuptools.
STUBS = {"pbg": ["pkg_resources"],
         "nanotron": ["flash_attn", "grouped_gemm", "functorch"],
         "megatron-bridge": ["transformer_engine", "modelopt", "megatron_energon", "megatron.energon", "mamba_ssm", "causal_conv1d",
                             "nvidia_resiliency_ext", "flash_attn", "nemo_run", "diffusers", "qwen_vl_utils",
                             "open_clip", "transformers.modeling_attn_mask_utils", "wandb", "timm", "peft", "fla", "emerging_optimizers", "imageio",
                             "torchvision", "librosa", "soundfile", "easydict", "ftfy", "decord"]}

IMPORTS = {
    "megatron-lm": ["megatron.training.arguments", "megatron.core.parallel_state"],
    "torchtitan": ["torchtitan.config", "torchtitan.distributed", "torchtitan.models.llama3",
                   "torchtitan.models.deepseek_v3", "torchtitan.models.qwen3", "torch.distributed.pipelining.schedules"],
    "nanotron": ["nanotron.config"],
    "pbg": ["torchbiggraph.config"],
    "accelerate": ["accelerate.commands.launch", "accelerate.commands.config.config_args",
                   "accelerate.parallelism_config"],
    "deepspeed": ["deepspeed.runtime.config"],
    "megatron-bridge": ["megatron.bridge", "megatron.bridge.training.config", "run_recipe"],
}


def prepare(trainer):
    """Imports the trainer, of which one process serves all files."""
    sys.meta_path.append(InertPackages(STUBS.get(trainer, [])))
    if trainer in ("megatron-lm", "torchtitan", "megatron-bridge"):
        import torch
        import torch.testing._internal.distributed.fake_pg  # noqa: F401

        torch.cuda.get_device_capability = lambda *a, **k: (9, 0)
        torch.cuda.device_count = lambda: 8
        torch.cuda.get_device_properties = lambda *a: types.SimpleNamespace(
            major=9, minor=0, name="NVIDIA H100 80GB HBM3", total_memory=80 << 30)
    if trainer in ("megatron-lm", "megatron-bridge"):
        use("MEGATRON")
    if trainer == "megatron-bridge":
        use("BRIDGE", "src")
        use("BRIDGE", "scripts/training")
    if trainer == "torchtitan":
        use("TORCHTITAN")
    if trainer == "nanotron":
        use("NANOTRON", "src")
    if trainer == "deepspeed":
        sys.modules.setdefault("hjson", json)
    for name in IMPORTS[trainer]:
        importlib.import_module(name)


def form_groups(world):
    """Groups without anybody on the other side."""
    import torch
    from torch.testing._internal.distributed.fake_pg import FakeStore

    os.environ.update(WORLD_SIZE=str(world), RANK="0", LOCAL_RANK="0", LOCAL_WORLD_SIZE="8")
    torch.distributed.init_process_group("fake", rank=0, world_size=world, store=FakeStore())
    new_group = torch.distributed.new_group
    torch.distributed.new_group = lambda *a, **k: new_group(*a, **{**k, "backend": "fake"})


def shell_array(path, *variables):
    """ARGS of a shell file and the variables it exports."""
    names = " ".join(f'"${{{v}-}}"' for v in variables)
    out = subprocess.run(["bash", "-c", f'. "$1"; printf "%s\\0" {names} "${{ARGS[@]}}"', "sh", path],
                         capture_output=True, check=True).stdout.decode().split("\0")[:-1]
    return out[:len(variables)], out[len(variables):]


def megatron_lm(path, world):
    os.environ.pop("CUDA_DEVICE_MAX_CONNECTIONS", None)
    (connections,), flags = shell_array(path, "CUDA_DEVICE_MAX_CONNECTIONS")
    if connections:
        os.environ["CUDA_DEVICE_MAX_CONNECTIONS"] = connections
    form_groups(world)
    from megatron.core import parallel_state
    from megatron.core.models.common.embeddings import rope_utils
    from megatron.core.num_microbatches_calculator import init_num_microbatches_calculator
    from megatron.core.transformer import transformer_config
    from megatron.training import arguments

    arguments.get_device_arch_version = lambda: 9
    arguments.is_te_min_version = transformer_config.is_te_min_version = lambda *a, **k: True
    rope_utils.fused_apply_rotary_pos_emb = rope_utils.fused_apply_rotary_pos_emb_thd = object()
    sys.argv = ["pretrain_gpt.py", *flags]
    args = arguments.parse_args()
    arguments.validate_args(args)
    arguments.core_transformer_config_from_args(args)
    parallel_state.initialize_model_parallel(
        args.tensor_model_parallel_size, args.pipeline_model_parallel_size,
        args.virtual_pipeline_model_parallel_size, context_parallel_size=args.context_parallel_size,
        expert_model_parallel_size=args.expert_model_parallel_size,
        expert_tensor_parallel_size=args.expert_tensor_parallel_size,
        num_distributed_optimizer_instances=args.num_distributed_optimizer_instances)
    init_num_microbatches_calculator(0, args.rampup_batch_size, args.global_batch_size,
                                     args.micro_batch_size, args.data_parallel_size)


def torchtitan(path, world):
    form_groups(world)
    if path.endswith(".toml"):
        from torchtitan.config import ConfigManager

        config = ConfigManager().parse_args(["--job.config_file", path])
        check_titan_02(config, world)
        return
    import dataclasses

    spec = importlib.util.spec_from_file_location("plan_module", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.plan()
    config = dataclasses.replace(config)  # its checks run when it is built
    from torchtitan.distributed.parallel_dims import ParallelDims
    from torchtitan.distributed.pipeline_parallel import _get_pipeline_metadata

    dims = ParallelDims.from_config(config.parallelism, world)
    config.model_spec.model.update_from_config(config=config)
    check_titan_stages(config.parallelism, dims.pp, _get_pipeline_metadata, dims, config.model_spec.model)
    check_titan_batch(config, dims)


def check_titan_stages(parallelism, pp, metadata, dims, model):
    if pp == 1:
        return
    from torch.distributed.pipelining.schedules import PipelineScheduleSingle, get_schedule_class

    schedule = get_schedule_class(parallelism.pipeline_parallel_schedule)
    parts = parallelism.module_fqns_per_model_part
    stages = len(parts) if parts else metadata(dims, parallelism, model)[0]
    # pipeline_parallel.py raises the same after building the stages.
    single = issubclass(schedule, PipelineScheduleSingle)
    if stages % pp:
        raise ValueError(f"{stages} stages on {pp} ranks")
    if single != (stages == pp):
        raise ValueError(f"{stages // pp} stages a rank under {parallelism.pipeline_parallel_schedule}")


def check_titan_batch(config, dims):
    """The arithmetic of Trainer.__init__, which cannot be built without a GPU."""
    training, parallelism = config.training, config.parallelism
    dp = dims.dp_replicate * dims.dp_shard
    if hasattr(training, "local_batch_size"):
        local, step = training.local_batch_size, training.global_batch_size
        micro = parallelism.pipeline_parallel_microbatch_size
        if dims.pp > 1 and local % micro:
            raise ValueError(f"local batch {local} by micro-batches of {micro}")
        inside = local // micro
    else:
        inside = parallelism.num_pp_microbatches
        local = training.num_tokens_per_microbatch_per_dp_rank * (inside if dims.pp > 1 else 1)
        step = training.num_tokens_per_train_step
    if step > 0 and step % (local * dp):
        raise ValueError(f"step {step} by {local} x {dp}")
    if dims.pp > 1 and parallelism.pipeline_parallel_schedule.lower() == "interleaved1f1b":
        rounds = max(1, inside // dims.pp)
        if inside % rounds:  # torch: ScheduleInterleaved1F1B.__init__
            raise ValueError(f"{inside} micro-batches in {rounds} rounds")


def check_titan_02(config, world):
    from torchtitan.distributed import ParallelDims
    from torchtitan.distributed.pipeline_parallel import get_schedule_class  # noqa: F401
    from torchtitan.protocols.train_spec import get_train_spec

    p = config.parallelism
    dims = ParallelDims(dp_shard=p.data_parallel_shard_degree, dp_replicate=p.data_parallel_replicate_degree,
                        cp=p.context_parallel_degree, tp=p.tensor_parallel_degree,
                        pp=p.pipeline_parallel_degree, ep=p.expert_parallel_degree,
                        etp=p.expert_tensor_parallel_degree, world_size=world)
    spec = get_train_spec(config.model.name)
    arguments = spec.model_args[config.model.flavor]
    arguments.update_from_config(config)
    if dims.pp > 1 and not spec.pipelining_fn:  # train.py raises the same
        raise ValueError(f"{config.model.name} does not support pipelining")
    if dims.pp > 1:
        check_titan_stages(p, dims.pp, titan_02_stages, dims, arguments)
    check_titan_batch(config, dims)


def titan_02_stages(dims, parallelism, model):
    import math

    from torch.distributed.pipelining.schedules import PipelineScheduleSingle, get_schedule_class

    each = parallelism.pipeline_parallel_layers_per_stage
    single = issubclass(get_schedule_class(parallelism.pipeline_parallel_schedule), PipelineScheduleSingle)
    if each is None:
        return (dims.pp * (1 if single else 2),)
    weights = (parallelism.pipeline_parallel_first_stage_less_layers
               + parallelism.pipeline_parallel_last_stage_less_layers)
    return (math.ceil((model.n_layers + weights) / each),)


def nanotron(path, world):
    from nanotron.config import get_config_from_file

    config = get_config_from_file(path)
    p = config.parallelism
    product = p.dp * p.pp * p.tp * p.context_parallel_size  # parallel/context.py asserts it
    if product != world:
        raise ValueError(f"{product} ranks of a world of {world}")


def accelerate(path, world):
    import yaml
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.parallelism_config import ParallelismConfig
    from accelerate.utils import DistributedType

    load_config_from_file(path)
    args = launch_command_parser().parse_args(["--config_file", path, "train.py"])
    args, _, _ = _validate_launch_command(args)
    sizes = {key.removeprefix("parallelism_config_"): value
             for key, value in (yaml.safe_load(open(path)).get("parallelism_config") or {}).items()
             if key.endswith("_size")}
    if not sizes:
        return
    fsdp2 = args.use_fsdp and args.fsdp_version == 2
    if not fsdp2:
        raise ValueError("parallelism_config without FSDP2")
    mesh = ParallelismConfig(**sizes)
    mesh._validate_accelerator(types.SimpleNamespace(
        multi_device=False, num_processes=args.num_processes, is_fsdp2=True, is_main_process=True,
        distributed_type=DistributedType.FSDP))
    if args.num_processes != world:
        raise ValueError(f"{args.num_processes} processes of a world of {world}")


def deepspeed(path, world):
    from deepspeed.runtime import config as module

    data = json.load(open(path))
    tp = (data.get("tensor_parallel") or {}).get("autotp_size", 0) or 1
    # The engine gives the batch check the data-parallel size; groups.py cuts the world first.
    if world % tp:
        raise ValueError(f"{world} ranks by tensor parallelism {tp}")
    module.dist = types.SimpleNamespace(get_rank=lambda *a: 0, get_world_size=lambda *a: world // tp,
                                        is_initialized=lambda: False)
    config = module.DeepSpeedConfig(data)
    size = config.zero_config.zero_hpz_partition_size
    if size > 1 and world // tp % size:  # utils/groups.py
        raise ValueError(f"{world // tp} ranks in groups of {size}")


def pbg(path, world):
    from torchbiggraph.config import ConfigFileLoader

    ConfigFileLoader().load_config(path)


def hf_config(name):
    """The model's config.json, as meshplan has it, for a Hugging Face name."""
    import yaml
    from transformers import AutoConfig

    known = {"Meta-Llama-3-8B": "llama3-8b", "Meta-Llama-3-70B": "llama3-70b", "Meta-Llama-3.1-405B": "llama3-405b",
             "DeepSeek-V3": "deepseek-v3", "DeepSeek-V3-Base": "deepseek-v3"}
    data = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../strategies/data/models")
    with open(os.path.join(data, known[name.rsplit("/", 1)[-1]] + ".yaml"), encoding="utf-8") as file:
        values = yaml.safe_load(file)["config"]
    for key, value in values.items():  # PyYAML takes 1e-05 for a text
        if isinstance(value, str) and value[0].isdigit():
            values[key] = float(value)
    kind = values.pop("model_type", "llama")
    config = AutoConfig.for_model(kind, **values)
    config.architectures = [{"llama": "LlamaForCausalLM", "deepseek_v3": "DeepseekV3ForCausalLM"}[kind]]
    return config


def nested(model, override):
    """At this commit the recipes of some families (Llama) hold a TransformerConfig inside the model, which the runner's
    own flags (-tp 8 stands for model.tensor_model_parallel_size=8) do not reach yet: Hydra refuses them. They are
    handed on to where the model's own attributes of these names lead."""
    name = override.split("=", 1)[0].removeprefix("model.")
    inner = getattr(model, "transformer", None)
    if override.startswith("model.") and inner is not None and name not in type(model).__dataclass_fields__ \
            and name in type(inner).__dataclass_fields__:
        return override.replace("model.", "model.transformer.", 1)
    return override


def megatron_bridge(path, world):
    os.environ.pop("CUDA_DEVICE_MAX_CONNECTIONS", None)
    (connections,), words = shell_array(path, "CUDA_DEVICE_MAX_CONNECTIONS")
    if connections:
        os.environ["CUDA_DEVICE_MAX_CONNECTIONS"] = connections
    form_groups(world)
    import run_recipe
    from megatron.bridge import AutoBridge
    from megatron.bridge.training.config import runtime_config_update

    from megatron.core.optimizer import optimizer_config
    from megatron.core.transformer import transformer_config

    class FusedAdam:  # of a present Transformer Engine: the arguments that are asked for
        def __init__(self, master_weight_dtype, exp_avg_dtype, exp_avg_sq_dtype, use_decoupled_grad):
            pass

    importlib.import_module("transformer_engine.pytorch.optimizers").FusedAdam = FusedAdam
    optimizer_config.is_te_min_version = transformer_config.is_te_min_version = lambda *a, **k: True
    AutoBridge.from_hf_pretrained = lambda name, *a, **k: AutoBridge.from_hf_config(hf_config(name))
    args, overrides = run_recipe.parse_args(words)
    recipe = run_recipe._apply_dataset(run_recipe._load_selected_recipe(args), args)
    overrides = [nested(recipe.model, override) for override in overrides]
    recipe = run_recipe.apply_cli_overrides(recipe, overrides)
    recipe = run_recipe.sync_model_pipeline_layout(recipe, cli_overrides=overrides)
    recipe = run_recipe.sync_model_dataset_sequence_length(recipe)
    runtime_config_update(recipe)
    recipe.validate()


def verdict(trainer, path, world):
    try:
        globals()[trainer.replace("-", "_")](os.path.abspath(path), world)
    except (Exception, SystemExit) as error:  # argparse leaves by SystemExit
        words = " ".join(f"{type(error).__name__}: {error}".split())
        return f"refused: {words[:160]}"
    return "accepted"


def main():
    trainer = sys.argv[1]
    out = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the trainers are talkative
    absent = ""
    try:
        prepare(trainer)
    except ImportError as error:
        absent = f"absent: {error}"
    for line in sys.stdin:
        path, world = line.split()
        if absent:
            os.write(out, f"{path}\t{absent}\n".encode())
            continue
        child = os.fork()
        if child == 0:
            os.write(out, f"{path}\t{verdict(trainer, path, int(world))}\n".encode())
            os._exit(0)
        os.waitpid(child, 0)


main()
