"""What a GPU can be expected to do with each paper's training step: a roofline on paper, without a GPU.

python -m benchmarks.gpu.roofline            # write results/roofline.md again from the stored counts
python -m benchmarks.gpu.roofline --count    # build and trace the models of published size and count first (minutes)
"""

import argparse
import dataclasses
import functools
import json
import pathlib
import sys
from collections.abc import Iterable, Mapping, Sequence

from reproductions.checkout import results_directory
from reproductions.driver.start_up import start_up
from reproductions.reporting.expected import load_expected
from reproductions.reporting.markdown import lines_table
from tfflows.files import atomic_write
from tfflows.papers import load_paper

COUNTS, PAGE = "roofline.json", "roofline.md"
# The experiments that yield the papers' own numbers on CIFAR-10, and the one whose images take the longest to decode.
EXPERIMENTS = {
    "realnvp": ("cifar10",),
    "glow": ("cifar10", "celeba_hq"),
    "flowpp": ("cifar10",),
    "macow": ("cifar10_var",),
    "vflow": ("cifar10",),
    "agave": ("cifar10",),
}
# The time that a host needs to start a kernel.
KERNEL_SECONDS = 5e-6


@dataclasses.dataclass(frozen=True)
class Gpu:
    """Peak figures of a data sheet, dense, per second.

    Attributes:
      name: Its name.
      flops: Floating-point operations by precision of the factors of products.
      bytes: Bytes of memory traffic.
      source: The data sheet.
    """

    name: str
    flops: Mapping[str, float]
    bytes: float
    source: str


GPUS = (
    Gpu(
        "H100 SXM",
        {"float32": 67e12, "TF32": 494.5e12},
        3.35e12,
        "NVIDIA H100 Tensor Core GPU data sheet: FP32 67 teraFLOPS, TF32 989 with sparsity (half of it without), 3.35 TB/s",
    ),
    Gpu(
        "A100 SXM 80 GB",
        {"float32": 19.5e12, "TF32": 156e12},
        2.039e12,
        "NVIDIA A100 Tensor Core GPU data sheet: FP32 19.5 teraFLOPS, TF32 156 without sparsity, 2,039 GB/s",
    ),
)


@dataclasses.dataclass(frozen=True)
class Step:
    """A training step of published size, counted in its graph.

    Attributes:
      paper: Short name of the paper.
      stage: Stage of the training; empty if there is one alone.
      experiment: Name of the experiment.
      batch_size: Images.
      num_steps: Steps of the published run.
      products: Kernels, flops and bytes of convolutions and matrix products.
      others: The same of all other kernels.
      synchronizations: How often the host waits for the device.
      float64: Kernels that take or give float64.
    """

    paper: str
    stage: str
    experiment: str
    batch_size: int
    num_steps: int
    products: Mapping[str, int]
    others: Mapping[str, int]
    synchronizations: int
    float64: int

    @property
    def kernels(self) -> int:
        """Number of kernels."""
        return self.products["kernels"] + self.others["kernels"]

    def bounds(self, gpu: Gpu, precision: str) -> dict[str, float]:
        """Seconds that a step takes at least: what the device needs, split by what limits it, and what the host needs.

        Args:
          gpu: The device.
          precision: One of its `flops`.
        """
        arithmetic, traffic = self.products["flops"] / gpu.flops[precision], self.products["bytes"] / gpu.bytes
        rest = self.others["bytes"] / gpu.bytes
        return {
            "arithmetic": arithmetic if arithmetic >= traffic else 0.0,
            "memory": rest + (traffic if traffic > arithmetic else 0.0),
            "launching": KERNEL_SECONDS * self.kernels,
        }

    def expected(self, gpu: Gpu, precision: str) -> tuple[float, str]:
        """Seconds of a step, and what bounds it; the arguments are as for `bounds`."""
        bounds = self.bounds(gpu, precision)
        device = bounds["arithmetic"] + bounds["memory"]
        if bounds["launching"] > device:
            return bounds["launching"], "launching"
        return device, "arithmetic" if bounds["arithmetic"] > bounds["memory"] else "memory"


def count(paper: str) -> list[Step]:
    """Builds and traces the training steps of a paper's experiments, each stage of them, and counts; takes minutes.

    Args:
      paper: Short name of the paper.
    """
    reproduction = load_paper(paper)
    steps = []
    for name in EXPERIMENTS[paper]:
        stages = reproduction.stages(reproduction.experiments[name])
        steps += [
            _counted_step(paper, stage if len(stages) > 1 else "", reproduction, experiment)
            for stage, experiment in stages.items()
        ]
    return steps


def _counted_step(paper, stage, reproduction, experiment):
    from benchmarks.gpu.graphs import Operations
    from benchmarks.gpu.kernels import report_of
    from benchmarks.gpu.traces import TRAINING_STEP, Traced
    from benchmarks.gpu.work import work_of

    operations = Operations(Traced(reproduction, experiment, experiment.batch_size).function(TRAINING_STEP))
    report, work = report_of(operations), work_of(operations)
    return Step(
        paper,
        stage,
        experiment.name,
        experiment.batch_size,
        experiment.num_steps,
        dataclasses.asdict(work["products"]),
        dataclasses.asdict(work["others"]),
        report.num_synchronizations,
        report.float64.total(),
    )


def page(steps: Sequence[Step]) -> str:
    """Returns the page.

    Args:
      steps: Of all papers, as counted.
    """
    sections = [_INTRO, lines_table([_counted(step) for step in steps])]
    for gpu in GPUS:
        sections += [f"## {gpu.name}", f"{gpu.source}.", lines_table(list(_expectations(steps, gpu)))]
    return "\n\n".join(["# What a GPU can be expected to do", *sections]) + "\n"


_INTRO = f"""<!-- Generated by `python -m benchmarks.gpu.roofline`: do not edit. -->

No GPU was at hand. These are bounds on paper: the graphs of the training steps of published size on CIFAR-10, and of
the largest Glow, at the published batch on one device, counted operation by operation, and set against the peaks of data sheets.
Nothing here was measured, and no program reaches such peaks.

- *Bits/dim*: the number that the paper prints, which the hours lead to; empty where its tables have none.
- *TFLOP*: floating-point operations of convolutions and matrix products, 2 for each multiplication with its sum.
- *GB*: sizes of all tensors that kernels take and give, as if each were read from memory and written to it. Caches, and the graph
  optimizer, which fuses some kernels on a GPU, make it less.
- *Kernels*: each takes the host {1e6 * KERNEL_SECONDS:.0f} microseconds to start.
- *Waits*: how often the host waits for the device: for decompositions of the matrices of all 1x1 convolutions of a size, and for
  whether the step is finite. Metrics are read every 20 steps, logs and checkpoints apart.
- *Expected*: the device needs the time of the products' arithmetic or of their traffic, whichever is longer, and of the other
  kernels' traffic; the host needs that of starting the kernels. The longer one is the time of a step, and *bound* is its largest
  part. *Hours* are those of the published number of steps on one device, all stages together in the last one.

float32 is what parity with the authors' code needs; `--tf32` lets products round their factors."""


@functools.cache
def _published(paper, experiment):
    """What the paper prints of an experiment: the name of the model, the data set, and bits/dim if they are printed."""
    # The experiment of an earlier stage has the name of the last one's and its own.
    name = next(name for name in EXPERIMENTS[paper] if experiment.startswith(name))
    rows = [row for row in load_expected() if row.own and (row.paper, row.experiment) == (paper, name)]
    printed = next((row for row in rows if row.metric == "bits_per_dim"), None)
    known = printed or rows[0]
    return known.model, known.dataset, printed and printed.printed


def _named(step):
    model, dataset, _ = _published(step.paper, step.experiment)
    return {"Model": model, "Data set": dataset, "Stage": step.stage}


def _counted(step):
    return {
        **_named(step),
        "Bits/dim": _published(step.paper, step.experiment)[-1],
        "Batch": step.batch_size,
        "Kernels": step.kernels,
        "In float64": step.float64,
        "Waits": step.synchronizations,
        "TFLOP": f"{step.products['flops'] / 1e12:.2f}",
        "GB": f"{(step.products['bytes'] + step.others['bytes']) / 1e9:.1f}",
        "Steps": step.num_steps,
    }


def _expectations(steps: Iterable[Step], gpu: Gpu):
    hours = {}
    for step in steps:
        line = _named(step)
        for precision in gpu.flops:
            seconds, bound = step.expected(gpu, precision)
            key = step.paper, line["Data set"], precision
            hours[key] = hours.get(key, 0.0) + step.num_steps * seconds / 3600
            line |= {
                f"Images/s, {precision}": f"{step.batch_size / seconds:,.0f}",
                f"Bound, {precision}": bound,
                f"Hours, {precision}": f"{hours[key]:,.0f}",
            }
        yield line


def load_counts(path: pathlib.Path) -> list[Step]:
    """Reads what `--count` wrote."""
    return [Step(**content) for content in json.loads(path.read_text(encoding="utf-8"))]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command, and returns the exit status."""
    parser = argparse.ArgumentParser(prog="benchmarks.gpu.roofline", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--count", nargs="*", metavar="PAPER", help="count the steps of these papers first; none: of all"
    )
    parsed = parser.parse_args(arguments)
    path = results_directory() / COUNTS
    steps = {step.paper: [] for step in load_counts(path)} if path.exists() else {}
    for step in load_counts(path) if path.exists() else ():
        steps[step.paper].append(step)
    for paper in [] if parsed.count is None else parsed.count or EXPERIMENTS:
        steps[paper] = count(paper)
        ordered = [dataclasses.asdict(step) for paper in EXPERIMENTS for step in steps.get(paper, ())]
        atomic_write(path, json.dumps(ordered, indent=1) + "\n")
    atomic_write(results_directory() / PAGE, page([step for paper in EXPERIMENTS for step in steps.get(paper, ())]))
    return 0


if __name__ == "__main__":
    start_up()
    sys.exit(main())
