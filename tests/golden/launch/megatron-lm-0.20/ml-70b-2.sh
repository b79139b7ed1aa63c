# Flags of pretrain_gpt.py; read by torchrun.sh
export CUDA_DEVICE_MAX_CONNECTIONS=1
ARGS=(
  # model
  --num-layers 80 --hidden-size 8192 --ffn-hidden-size 28672 --num-attention-heads 64 --group-query-attention --num-query-groups 8 --kv-channels 128
  --seq-length 32768 --max-position-embeddings 32768 --position-embedding-type rope --rotary-base 500000 --rotary-percent 1
  --normalization RMSNorm --norm-epsilon 1e-05 --swiglu --disable-bias-linear --untie-embeddings-and-output-weights --attention-dropout 0.0 --hidden-dropout 0.0
  # parallelism
  --tensor-model-parallel-size 8 --sequence-parallel --pipeline-model-parallel-size 2 --pipeline-model-parallel-layout 'Et*41|t*39L'
  --context-parallel-size 4 --cp-comm-type p2p
  # data parallelism
  --use-distributed-optimizer --overlap-grad-reduce --overlap-param-gather --accumulate-allreduce-grads-in-fp32
  # batch
  --micro-batch-size 1 --global-batch-size 64
  # number formats and kernels
  --bf16 --transformer-impl transformer_engine --attention-backend auto --cross-entropy-loss-fusion --cross-entropy-fusion-impl native
  # a run without data; put --data-path and a tokenizer in their place
  --mock-data --tokenizer-type NullTokenizer --vocab-size 128256 --eval-iters 0
  --train-iters 100 --lr 1.5e-4 --min-lr 1e-5 --lr-decay-style cosine --lr-warmup-iters 10 --log-interval 1 --log-throughput
)
