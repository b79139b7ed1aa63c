# A plan of meshplan for torchtitan 0.4: tp1 pp1 cp1 ep8 dp32 zero3 mb2 recompute full
from torchtitan.config import CompileConfig, ParallelismConfig, TrainingConfig
from torchtitan.distributed.activation_checkpoint import FullAC
from torchtitan.models.qwen3 import model_registry
from torchtitan.models.qwen3.config_registry import qwen3_30b_a3b
from torchtitan.trainer import Trainer


def plan() -> Trainer.Config:
    config = qwen3_30b_a3b()  # data, optimizer and checkpoints as there
    config.hf_assets_path = "./assets/hf/Qwen3-30B-A3B"
    config.model_spec = model_registry(
        flavor="30B-A3B",
        attn_backend="flex",
    )
    config.parallelism = ParallelismConfig(
        data_parallel_replicate_degree=1,
        data_parallel_shard_degree=32,
        fsdp_reshard_after_forward="always",
        tensor_parallel_degree=1,
        context_parallel_degree=1,
        pipeline_parallel_degree=1,
        expert_parallel_degree=8,
    )
    config.training = TrainingConfig(
        max_context_length=4096,
        num_tokens_per_microbatch_per_dp_rank=8192,
        num_tokens_per_train_step=1048576,
        steps=1000,
        disable_cuda_graphs=True,
    )
    config.activation_checkpoint = FullAC.Config()
    config.compile = CompileConfig(enable=True, components=["model", "loss"])
    return config
