# Arguments of scripts/training/run_recipe.py; read by torchrun.sh
export CUDA_DEVICE_MAX_CONNECTIONS=1
ARGS=(
  --recipe deepseek_v3_pretrain_1024gpu_h100_bf16_config --mode pretrain --dataset mock
  model.tensor_model_parallel_size=2
  model.sequence_parallel=true
  model.pipeline_model_parallel_size=16
  model.virtual_pipeline_model_parallel_size=null
  model.pipeline_model_parallel_layout="'Et*4|t*4|t*4|t*4|t*4|t*4|t*4|t*4|t*4|t*4|t*4|t*4|t*4|t*3|t*3|t*3L'"
  model.mtp_num_layers=null
  model.account_for_embedding_in_pipeline_split=false
  model.account_for_loss_in_pipeline_split=false
  model.context_parallel_size=1
  model.expert_model_parallel_size=32
  model.expert_tensor_parallel_size=1
  model.recompute_granularity=null
  model.recompute_method=null
  model.recompute_num_layers=null
  ddp.use_distributed_optimizer=true
  ddp.overlap_grad_reduce=true
  ddp.overlap_param_gather=true
  ddp.grad_reduce_in_fp32=false
  comm_overlap.tp_comm_overlap=true
  comm_overlap.tp_comm_overlap_cfg=null
  mixed_precision=bf16_mixed
  dataset.seq_length=4096
  model.seq_length=4096
  train.micro_batch_size=1
  train.global_batch_size=2048
)
