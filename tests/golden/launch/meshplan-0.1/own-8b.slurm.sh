#!/usr/bin/env bash
#SBATCH --job-name=llama3-8b
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --exclusive
#SBATCH --output=%x-%j.log
# One task a GPU; srun hands the ranks out node by node.
set -euo pipefail
cd "$SLURM_SUBMIT_DIR"
export OPENBLAS_NUM_THREADS=1
srun --kill-on-bad-exit=1 --distribution=block:block --mpi=pmix meshplan-rank plan.yaml --steps 10
