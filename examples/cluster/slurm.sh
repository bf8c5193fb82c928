#!/bin/bash
# Trains on all nodes of a SLURM job, and goes on by itself when its time is up or it is preempted.
#
#     sbatch examples/cluster/slurm.sh glow --dataset=cifar10 --workdir=/shared/glow
#
#SBATCH --job-name=tfflows
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
# Sixty seconds before the end all workers are told to save and stop.
#SBATCH --signal=TERM@60
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=tfflows-%j.log

# SIGTERM is for the workers: this script lives on to see how they end.
trap : TERM

# A worker that fails ends the others within half a minute, each with a line that says why; SLURM is not to kill them before.
srun --kill-on-bad-exit=0 tfflows "$@" --cluster=slurm
status=$?

# 75: everything is saved, and the same command goes on. Any other status but 0 is an error that another start would repeat.
if [ "$status" -eq 75 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
