"""The golden runs: the command lines that made the workdirs, and how each is continued.

Nothing here imports the project. A run is a command `python reproductions/PAPER/run.py ARGUMENTS`, from the repository's root.
"""

import contextlib
import dataclasses
import os
import pathlib
import runpy
import shutil
import signal
import sys

GOLDEN = pathlib.Path(__file__).resolve().parent
ROOT = GOLDEN.parents[1]
WORKDIRS = GOLDEN / "stored"
STORED_STEPS = 3
CONTINUED_STEPS = 5
IMPORTANCE = ("--mode=evaluate", "--importance_samples=40")

_COMMON = (
    "--dataset=folder:images",
    "--batch_size=4",
    "--side_by_side=1",
    "--log_every=1",
    "--samples=2",
    "--temperature=0.7",
    "--set=image_size=16",
    "--set=init_batch_size=16",
    "--set=evaluation_batch_size=8",
    "--set=evaluate_every=0",
    # Far from the published rates, so that five steps move every parameter.
    "--set=learning_rate=0.003",
    "--set=warmup_steps=1",
)


def _set(**fields):
    return tuple(f"--set={name}={value}" for name, value in fields.items())


@dataclasses.dataclass(frozen=True)
class GoldenRun:
    """One workdir and the command that made it.

    Attributes:
      name: Unique; that of the workdir, or of what is below it of a stage.
      paper: Whose `run.py` it is.
      experiment: That the command names.
      fields: `--set`s beside those of all runs.
      arguments: Other arguments, in training and in evaluation.
      stage: Of AGAVE; empty: no stages.
      base: The workdir that is given, if that is not `name`.
      has_importance: Whether a measurement of the importance-weighted bound was stopped midway.
      is_default: Whether the tests take it by default, and not in their slow form alone.
    """

    name: str
    paper: str
    experiment: str
    fields: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    stage: str = ""
    base: str = ""
    has_importance: bool = False
    is_default: bool = False

    @property
    def dataset(self):
        """What it is trained on."""
        named = [argument for argument in (*_COMMON, *self.arguments) if argument.startswith("--dataset=")]
        return named[-1].removeprefix("--dataset=")

    def workdir(self, directory):
        """The workdir of this run below `directory`."""
        base = pathlib.Path(directory) / (self.base or self.name)
        return base / self.stage if self.stage in ("vae", "pixelcnn") else base

    def command(self, directory, num_steps, data_dir):
        """Arguments of `run.py` with which the run goes on to `num_steps`, its workdir below `directory`."""
        steps = (f"--steps={num_steps}",)
        if self.stage:
            # The stages before the last train for `pretraining_steps`, which the last one remembers.
            before_last = num_steps if self.stage != "joint" else STORED_STEPS
            steps = (*steps, f"--stage={self.stage}", f"--set=pretraining_steps={before_last}")
        return (
            f"--experiment={self.experiment}",
            *_COMMON,
            *self.fields,
            *self.arguments,
            *steps,
            f"--workdir={pathlib.Path(directory) / (self.base or self.name)}",
            f"--data_dir={data_dir}",
        )


_GLOW = _set(levels=1, depth=1, width=4)
_FLOWPP = _set(
    stages="checkerboard 1, squeeze, channel 1, checkerboard 1",
    width=4,
    num_blocks=1,
    num_components=2,
    num_heads=1,
    dequantization_stages="checkerboard 1",
    dequantization_width=4,
    dequantization_blocks=1,
    context_width=4,
    context_blocks=1,
    schedule="",
)
# A third level would make a checkpoint of six megabytes, a dequantizer one of two: masked convolutions have four times as many
# hidden channels as there are channels, whatever the widths.
_MACOW = _set(steps="1, 1", widths="4, 4", factors="")
_AGAVE = _set(
    auxiliary_size=16,
    width=4,
    num_blocks=1,
    num_components=2,
    vae_width=4,
    latent_channels=2,
    vae_blocks=1,
    ema_decay=0.9,
)

RUNS = (
    GoldenRun("glow", "glow", "cifar10", (*_GLOW, *_set(levels=2)), is_default=True),
    # Classes, labelled samples, and images that come with a package.
    GoldenRun(
        "glow_conditional",
        "glow",
        "cifar10_conditional",
        (*_GLOW, *_set(image_size=8, evaluation_batch_size=180)),
        ("--dataset=digits", "--label=2"),
    ),
    GoldenRun("glow_lu", "glow", "cifar10", (*_GLOW, *_set(permutation="invertible_lu"))),
    GoldenRun(
        "glow_augmented",
        "glow",
        "cifar10",
        (*_GLOW, *_set(augment_channels=1, augmenter="flow", augmenter_width=4, augmenter_steps=1)),
    ),
    GoldenRun("glow_best", "glow", "cifar10", (*_GLOW, *_set(evaluate_every=1)), ("--select=best_test",)),
    GoldenRun("flowpp", "flowpp", "cifar10", (*_FLOWPP, *_set(ema_decay=0.0)), has_importance=True),
    GoldenRun("flowpp_averages", "flowpp", "cifar10", (*_FLOWPP, *_set(ema_decay=0.9))),
    GoldenRun("macow", "macow", "cifar10_fine_grained", _MACOW),
    GoldenRun(
        "macow_release",
        "macow",
        "cifar10_var_release",
        (*_MACOW, *_set(dequantization="uniform")),
    ),
    GoldenRun(
        "vflow",
        "vflow",
        "budget_6_channels",
        (
            *_FLOWPP,
            *_set(augmenter_stages="checkerboard 1", augmenter_width=4, augmenter_blocks=1, holdout=8, ema_decay=0.9),
            *_set(stages="checkerboard 1, channel 1, squeeze, checkerboard 1"),
        ),
    ),
    GoldenRun("agave_vae", "agave", "cifar10", _AGAVE, stage="vae", base="agave"),
    GoldenRun("agave_pixelcnn", "agave", "cifar10", _AGAVE, stage="pixelcnn", base="agave"),
    GoldenRun("agave", "agave", "cifar10", _AGAVE, stage="joint"),
    # Running statistics of batch norm, which are not trained.
    GoldenRun("realnvp", "realnvp", "cifar10", _set(width=2, num_blocks=1)),
)
BY_NAME = {run.name: run for run in RUNS}


def run_command(tree, paper, arguments):
    """What `python reproductions/PAPER/run.py ARGUMENTS` does, within this process.

    Args:
      tree: The source tree, which must be the one that is imported.
      paper: Name of the paper.
      arguments: Strings.

    Raises:
      RuntimeError: if the command ends with another status than 0.
    """
    # From the root, as anyone types it: a record keeps it.
    script = os.path.relpath(pathlib.Path(tree) / "reproductions" / paper / "run.py")
    with _unchanged_process():
        sys.argv = [script, *arguments]
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as end:
            if end.code not in (None, 0, os.EX_TEMPFAIL):  # the last one of a run that was stopped
                raise RuntimeError(f"{script} {' '.join(arguments)} ended with status {end.code}.") from end


@contextlib.contextmanager
def _unchanged_process():
    """Puts back what a command changes of its process."""
    import logging

    from absl import app, flags
    from absl import logging as absl_logging
    from absl.testing import absltest, flagsaver

    del absltest  # only imported for its flags: what is defined within the context is forgotten after it
    app.define_help_flags()
    root = logging.getLogger()
    argv, path, main_doc = sys.argv, list(sys.path), sys.modules["__main__"].__doc__
    handlers, level, verbosity = list(root.handlers), root.level, absl_logging.get_verbosity()
    try:
        with flagsaver.flagsaver():
            for name in flags.FLAGS:
                flags.FLAGS[name].allow_override = True  # a command defines its flags
            yield
    finally:
        sys.argv, sys.path[:], sys.modules["__main__"].__doc__ = argv, path, main_doc
        root.handlers[:] = handlers
        root.setLevel(level)
        absl_logging.set_verbosity(verbosity)


@contextlib.contextmanager
def stopped_at_once():
    """Sends the process a SIGTERM as soon as a loop listens for it, so that a run stops at its first chance."""
    install = signal.signal

    def install_and_stop(number, handler):
        previous = install(number, handler)
        if number == signal.SIGTERM and getattr(handler, "__qualname__", "").startswith("stop_on_sigterm"):
            os.kill(os.getpid(), signal.SIGTERM)
        return previous

    signal.signal = install_and_stop
    try:
        yield
    finally:
        signal.signal = install


def copy_workdir(run, directory):
    """Copies the stored workdir of a run, stages before it included, below `directory`."""
    base = run.base or run.name
    shutil.copytree(WORKDIRS / base, pathlib.Path(directory) / base)


def resume(run, directory, tree=ROOT):
    """Continues a copy of the stored workdir from its 3 steps to 5; returns the copy."""
    copy_workdir(run, directory)
    run_command(tree, run.paper, run.command(directory, CONTINUED_STEPS, GOLDEN))
    return run.workdir(directory)


def last_picture(workdir):
    """The picture that was written last; those of earlier steps have other names."""
    return max((workdir / "pictures").glob("*.png"), key=lambda path: path.stat().st_mtime_ns)


def main(directory, *names):
    """Continues runs with the code of the tree that is the current directory, each below `directory`/NAME."""
    sys.path.pop(0)  # that of this file
    for run in map(BY_NAME.get, names):
        resume(run, pathlib.Path(directory) / run.name, tree=os.getcwd())


if __name__ == "__main__":
    main(*sys.argv[1:])
