# A plan of meshplan for torchtitan 0.4: tp1 pp1 cp1 dp16 zero3 mb1 recompute selective
from torchtitan.config import CompileConfig, ParallelismConfig, TrainingConfig
from torchtitan.distributed.activation_checkpoint import SelectiveAC
from torchtitan.models.llama3 import model_registry
from torchtitan.models.llama3.config_registry import llama3_8b
from torchtitan.trainer import Trainer


def plan() -> Trainer.Config:
    config = llama3_8b()  # data, optimizer and checkpoints as there
    config.hf_assets_path = "./assets/hf/Llama-3.1-8B"
    config.model_spec = model_registry(
        flavor="8B",
        attn_backend="flex",
    )
    config.parallelism = ParallelismConfig(
        data_parallel_replicate_degree=1,
        data_parallel_shard_degree=16,
        fsdp_reshard_after_forward="always",
        tensor_parallel_degree=1,
        context_parallel_degree=1,
        pipeline_parallel_degree=1,
    )
    config.training = TrainingConfig(
        max_context_length=8192,
        num_tokens_per_microbatch_per_dp_rank=8192,
        num_tokens_per_train_step=524288,
        steps=1000,
    )
    config.activation_checkpoint = SelectiveAC.Config()
    config.compile = CompileConfig(enable=True, components=["model", "loss"])
    return config
