"""Replicas on one machine, and parts of a batch side by side, beside one device."""

import contextlib
import dataclasses
import json
import socket
import tempfile
from collections.abc import Sequence

from benchmarks.harness.command import Run, run_command, started
from benchmarks.harness.comparisons import compare_commands
from benchmarks.harness.environment import THREADS, THREADS_VARIABLE
from benchmarks.harness.images import image_folder
from benchmarks.harness.topic import Findings, Topic

ONE_DEVICE = "one device"
STEPS = 60

MODEL = [
    "--experiment=cifar10",
    "--scale=small",
    "--batch_size=32",
    "--set=init_batch_size=32",
    "--set=evaluate_every=0",
]

NOTES = (
    "By the true command at global batch 32 (cifar10 at scale small: K=4, L=3, width 64), on the same two cores: one device, the "
    "CPU split into two (`--virtual_devices=2`), and two processes (`--strategy=multi_worker`) of one thread each. What is over "
    "1 is what replication costs: half batches, the sum of gradients, for two processes the network stack. Peak memory of two "
    "processes is that of both. *--side_by_side=2*: one device, halves of the batch at a time, each operation on one thread.",
)


def two_processes(flags: Sequence[str], num_steps: int) -> Run:
    """Runs two workers; the result has the chief's steps and the memory of both."""
    with contextlib.ExitStack() as stack:
        addresses = [f"localhost:{port}" for port in free_ports(2)]
        workdir, waits = stack.enter_context(tempfile.TemporaryDirectory()), []
        for index in range(2):
            task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            variables = {"TF_CONFIG": json.dumps(task), THREADS_VARIABLE: str(THREADS // 2)}
            worker = started([*flags, "--strategy=multi_worker"], num_steps, environment=variables, workdir=workdir)
            waits.append(stack.enter_context(worker))
        runs = [wait(limit=300) for wait in waits]
    return dataclasses.replace(runs[0], peak_memory_mib=sum(run.peak_memory_mib for run in runs))


def free_ports(number: int) -> list[int]:
    """Ports of this machine that nothing listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("localhost", 0))
        return [one.getsockname()[1] for one in sockets]


def measure(findings: Findings) -> None:
    """Measures and adds the rows."""
    with image_folder(32, num_images=64) as dataset:
        flags = [f"--dataset={dataset}", *MODEL, *findings.choose((), ("--set=depth=1", "--set=width=4"))]

        def run(*own):
            return lambda num_steps: run_command([*flags, *own], num_steps)

        runs = {
            ONE_DEVICE: run(),
            "two virtual devices": run("--virtual_devices=2"),
            "two processes": lambda num_steps: two_processes(flags, num_steps),
            "--side_by_side=2": run("--side_by_side=2"),
        }
        compare_commands(findings, "batch 32", runs, STEPS, block=10, reference=ONE_DEVICE)


TOPIC = Topic("data_parallel", "Data parallelism", NOTES, measure)
