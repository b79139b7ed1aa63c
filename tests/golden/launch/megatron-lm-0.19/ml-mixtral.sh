# Flags of pretrain_gpt.py; read by torchrun.sh
export CUDA_DEVICE_MAX_CONNECTIONS=1
ARGS=(
  # model
  --num-layers 32 --hidden-size 4096 --ffn-hidden-size 14336 --num-attention-heads 32 --group-query-attention --num-query-groups 8 --kv-channels 128
  --seq-length 4096 --max-position-embeddings 32768 --position-embedding-type rope --rotary-base 1000000 --rotary-percent 1
  --normalization RMSNorm --norm-epsilon 1e-05 --swiglu --disable-bias-linear --untie-embeddings-and-output-weights --attention-dropout 0.0 --hidden-dropout 0.0
  # experts
  --num-experts 8 --moe-router-topk 2 --moe-ffn-hidden-size 14336 --moe-token-dispatcher-type alltoall --moe-grouped-gemm
  --moe-router-score-function softmax --moe-router-load-balancing-type aux_loss --moe-aux-loss-coeff 1e-2
  # parallelism
  --tensor-model-parallel-size 2 --sequence-parallel --pipeline-model-parallel-size 4 --num-virtual-stages-per-pipeline-rank 8
  --context-parallel-size 1 --expert-model-parallel-size 8 --expert-tensor-parallel-size 1
  # data parallelism
  --use-distributed-optimizer --overlap-grad-reduce --overlap-param-gather --accumulate-allreduce-grads-in-fp32
  # batch
  --micro-batch-size 1 --global-batch-size 256
  # number formats and kernels
  --bf16 --transformer-impl transformer_engine --attention-backend auto --cross-entropy-loss-fusion --cross-entropy-fusion-impl native
  # a run without data; put --data-path and a tokenizer in their place
  --mock-data --tokenizer-type NullTokenizer --vocab-size 32000 --eval-iters 0
  --train-iters 100 --lr 1.5e-4 --min-lr 1e-5 --lr-decay-style cosine --lr-warmup-iters 10 --log-interval 1 --log-throughput
)
