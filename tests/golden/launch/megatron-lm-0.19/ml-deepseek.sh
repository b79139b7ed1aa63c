# Flags of pretrain_gpt.py; read by torchrun.sh
export CUDA_DEVICE_MAX_CONNECTIONS=1
ARGS=(
  # model
  --num-layers 61 --hidden-size 7168 --ffn-hidden-size 18432 --num-attention-heads 128
  --seq-length 4096 --max-position-embeddings 163840 --position-embedding-type rope --rotary-base 10000 --rotary-percent 1
  --normalization RMSNorm --norm-epsilon 1e-06 --swiglu --disable-bias-linear --untie-embeddings-and-output-weights --attention-dropout 0.0 --hidden-dropout 0.0
  # latent attention
  --multi-latent-attention --q-lora-rank 1536 --kv-lora-rank 512 --qk-head-dim 128 --qk-pos-emb-head-dim 64 --v-head-dim 128 --rope-type rope --no-rope-fusion
  # experts
  --num-experts 256 --moe-router-topk 8 --moe-ffn-hidden-size 2048 --moe-token-dispatcher-type alltoall --moe-grouped-gemm --moe-layer-freq '([0]*3+[1]*58)'
  --moe-router-score-function sigmoid --moe-router-enable-expert-bias --moe-router-load-balancing-type seq_aux_loss --moe-aux-loss-coeff 1e-4 --moe-router-num-groups 8 --moe-router-group-topk 4 --moe-shared-expert-intermediate-size 2048
  # parallelism
  --tensor-model-parallel-size 2 --sequence-parallel --pipeline-model-parallel-size 16 --pipeline-model-parallel-layout 'Et*4|t*4|t*4|t*4|t*4|t*4|t*4|t*4|t*4|t*4|t*4|t*4|t*4|t*3|t*3|t*3L'
  --context-parallel-size 1 --expert-model-parallel-size 32 --expert-tensor-parallel-size 1
  # data parallelism
  --use-distributed-optimizer --overlap-grad-reduce --overlap-param-gather --accumulate-allreduce-grads-in-fp32
  # batch
  --micro-batch-size 1 --global-batch-size 2048
  # number formats and kernels
  --bf16 --transformer-impl transformer_engine --attention-backend auto --cross-entropy-loss-fusion --cross-entropy-fusion-impl native
  # a run without data; put --data-path and a tokenizer in their place
  --mock-data --tokenizer-type NullTokenizer --vocab-size 129280 --eval-iters 0
  --train-iters 100 --lr 1.5e-4 --min-lr 1e-5 --lr-decay-style cosine --lr-warmup-iters 10 --log-interval 1 --log-throughput
)
