# A plan of meshplan for torchtitan 0.3: tp8 pp1 cp1 dp64 (shard 8) zero3 mb2 recompute full
from torchtitan.config import CompileConfig, ParallelismConfig, TrainingConfig
from torchtitan.distributed.activation_checkpoint import FullAC
from torchtitan.models.llama3 import model_registry
from torchtitan.models.llama3.config_registry import llama3_70b
from torchtitan.trainer import Trainer


def plan() -> Trainer.Config:
    config = llama3_70b()  # data, optimizer and checkpoints as there
    config.hf_assets_path = "./assets/hf/Llama-3.1-70B"
    config.model_spec = model_registry(
        flavor="70B",
        attn_backend="flex",
    )
    config.parallelism = ParallelismConfig(
        data_parallel_replicate_degree=8,
        data_parallel_shard_degree=8,
        fsdp_reshard_after_forward="always",
        tensor_parallel_degree=8,
        context_parallel_degree=1,
        pipeline_parallel_degree=1,
    )
    config.training = TrainingConfig(
        local_batch_size=2,
        global_batch_size=512,
        seq_len=8192,
        steps=1000,
    )
    config.activation_checkpoint = FullAC.Config()
    config.compile = CompileConfig(enable=True, components=["model", "loss"])
    return config
