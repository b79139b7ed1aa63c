# A plan of meshplan for torchtitan 0.4: tp1 pp8 vpp2 cp1 ep32 dp128 zero3 mb1 recompute full interleaved
from torchtitan.config import CompileConfig, ParallelismConfig, TrainingConfig
from torchtitan.distributed.activation_checkpoint import FullAC
from torchtitan.models.deepseek_v3 import model_registry
from torchtitan.models.deepseek_v3.config_registry import deepseek_v3_671b
from torchtitan.trainer import Trainer


def plan() -> Trainer.Config:
    config = deepseek_v3_671b()  # data, optimizer and checkpoints as there
    config.hf_assets_path = "./assets/hf/DeepSeek-V3.1-Base"
    config.model_spec = model_registry(
        flavor="671B",
        attn_backend="flex",
    )
    config.parallelism = ParallelismConfig(
        data_parallel_replicate_degree=1,
        data_parallel_shard_degree=128,
        fsdp_reshard_after_forward="always",
        tensor_parallel_degree=1,
        context_parallel_degree=1,
        pipeline_parallel_degree=8,
        expert_parallel_degree=32,
        pipeline_parallel_schedule="Interleaved1F1B",
        num_pp_microbatches=8,
        module_fqns_per_model_part=[
            ["tok_embeddings", "layers.0", "layers.1", "layers.2", "layers.3"],
            ["layers.4", "layers.5", "layers.6", "layers.7"],
            ["layers.8", "layers.9", "layers.10", "layers.11"],
            ["layers.12", "layers.13", "layers.14", "layers.15"],
            ["layers.16", "layers.17", "layers.18", "layers.19"],
            ["layers.20", "layers.21", "layers.22", "layers.23"],
            ["layers.24", "layers.25", "layers.26", "layers.27"],
            ["layers.28", "layers.29", "layers.30", "layers.31"],
            ["layers.32", "layers.33", "layers.34", "layers.35"],
            ["layers.36", "layers.37", "layers.38", "layers.39"],
            ["layers.40", "layers.41", "layers.42", "layers.43"],
            ["layers.44", "layers.45", "layers.46", "layers.47"],
            ["layers.48", "layers.49", "layers.50", "layers.51"],
            ["layers.52", "layers.53", "layers.54"],
            ["layers.55", "layers.56", "layers.57"],
            ["layers.58", "layers.59", "layers.60", "norm", "lm_head"],
        ],
    )
    config.training = TrainingConfig(
        max_context_length=4096,
        num_tokens_per_microbatch_per_dp_rank=4096,
        num_tokens_per_train_step=4194304,
        steps=1000,
        disable_cuda_graphs=True,
    )
    config.activation_checkpoint = FullAC.Config()
    config.compile = CompileConfig(enable=True, components=["model", "loss"])
    return config
