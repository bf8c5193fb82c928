"""The entry point called by every reproduction's `run.py`."""

import functools
import logging as python_logging
import pathlib
import re
import sys

from absl import app, flags, logging

from reproductions.driver.flags import define_flags
from reproductions.driver.start_up import start_up
from reproductions.experiment import Reproduction
from reproductions.fields import check_assignments
from reproductions.reporting.expected import find_expected, load_expected
from tfflows import progress
from tfflows.choices import AUTO, did_you_mean
from tfflows.data.registry import dataset_spec
from tfflows.extras import MissingExtraError
from tfflows.training.workdir import EXPERIMENT_FILE

# --help and --list take no time: what computes is imported by the functions that need it, after `start_up`.

_INTERRUPTED = 130  # the exit status of shells: 128 + SIGINT


class PlainFormatter(python_logging.Formatter):
    """Lines of a log as a person reads them: no times, processes or line numbers."""

    def format(self, record: python_logging.LogRecord) -> str:
        """Returns the message; that of a warning or an error begins with what it is."""
        text = super().format(record)
        return text if record.levelno <= python_logging.INFO else f"{record.levelname.capitalize()}: {text}"


def main(reproduction: Reproduction) -> None:
    """Runs a reproduction from the command line.

    Args:
      reproduction: The paper's reproduction.
    """
    define_flags()
    if {"--help", "-help", "-h"} & set(sys.argv[1:]):
        from reproductions.driver.help import help_text
        from reproductions.driver.variants import describe_variants

        print(help_text(reproduction.title, _program(reproduction), describe_variants(reproduction)))
        return
    # `--helpfull` and `--helpshort` print the documentation and the flags of the main module.
    for flag in flags.FLAGS.flags_by_module_dict()[define_flags.__module__]:
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
    sys.modules["__main__"].__doc__ = reproduction.title
    app.run(functools.partial(_run, reproduction), flags_parser=_parse)


def _program(reproduction):
    """How the program was called."""
    called = pathlib.PurePath(sys.argv[0])
    return f"python -m reproductions.{reproduction.paper}" if called.name == "__main__.py" else sys.argv[0]


def _parse(arguments):
    """Parses flags as absl does, but exits with status 0 after printing help, and with one line about what is wrong."""
    try:
        return flags.FLAGS(arguments)
    except flags.Error as error:
        print(f"{explain(error)} --help shows the flags.", file=sys.stderr)
        sys.exit(1)
    except SystemExit:
        sys.exit(0)  # the requested help was printed


def explain(error: flags.Error) -> str:
    """Returns absl's message about a flag as a sentence, with the value that may have been meant.

    Args:
      error: What parsing the command line raised.
    """
    text = str(error).strip().rstrip(".")
    if isinstance(error, flags.UnrecognizedFlagError):
        return f"{text.removesuffix(' ?')}{'?' if 'Did you mean' in text else '.'}"
    text = text.replace("invalid literal for int() with base 10:", "an integer is needed, not")
    text = f"{text[:1].upper()}{text[1:]}."
    choices = re.fullmatch(r"Flag --\w+=(.*): value should be one of <(.*)>\.", text)
    return text + (did_you_mean(choices[1], choices[2].split("|")) if choices else "")


def _run(reproduction, arguments):
    try:
        if len(arguments) > 1:
            raise ValueError(f"Unknown arguments: {' '.join(arguments[1:])}. Flags start with --; see --help.")
        if flags.FLAGS.list:
            list_experiments(reproduction, flags.FLAGS.scale == "small")
        else:
            check_flags(reproduction, flags.FLAGS)
            start_up()
            _compute(reproduction)
    except (ValueError, OSError, MissingExtraError) as error:
        _exit_with(error)


def _exit_with(error, hint=""):
    """Ends with one line about an error that a user can mend; with -v=1 the traceback is shown."""
    if logging.level_debug():
        raise error
    print(f"{type(error).__name__}: {error}{hint}", file=sys.stderr)
    sys.exit(1)


def _compute(reproduction):
    """Does what the flags ask for; exits with one line where that fails for a reason that a user can mend."""
    import tensorflow as tf

    from tfflows.data.sources import DatasetNotFoundError
    from tfflows.devices.clusters import cluster_size
    from tfflows.devices.stopping import STOPPED, exit_on_sigterm
    from tfflows.devices.strategies import LOST_WORKER
    from tfflows.training.checkpoints import CheckpointError
    from tfflows.training.logs import LogError
    from tfflows.training.loop import TrainingDiverged
    from tfflows.training.workdir import WorkdirError

    # The library's messages name its arguments; these are the corresponding flags.
    flags_behind = {
        TrainingDiverged: "--set rate_factors=STEP:0.5 goes on from the checkpoint of STEP at half the rate. With another "
        "--workdir: --set warmup_steps=N, --set learning_rate=X, --seed",
        WorkdirError: "--workdir",
        DatasetNotFoundError: "--data_dir",
    }
    logging.set_verbosity(logging.INFO)
    handler = logging.get_absl_handler()
    handler.addFilter(lambda record: "tensorflow_datasets" not in record.pathname)
    handler.setFormatter(PlainFormatter())
    tf.get_logger().setLevel("ERROR")
    try:
        with exit_on_sigterm():
            has_ended = run(reproduction, flags.FLAGS)
    # Errors that a user can mend; all others keep their traceback.
    except (
        ValueError,
        OSError,
        CheckpointError,
        LogError,
        MissingExtraError,
        TrainingDiverged,
        WorkdirError,
    ) as error:
        behind = flags_behind.get(type(error)) if getattr(error, "in_data_dir", True) else None
        _exit_with(error, f" (Flags: {behind}.)" if behind else "")
    except LOST_WORKER as error:
        if logging.level_debug() or cluster_size(flags.FLAGS.cluster) < 2:
            raise
        print(
            f"{type(error).__name__}: {_lost_workers(str(error))} ended or cannot be reached. See what it printed last, then "
            "start all workers again with the same command; they go on from the last checkpoint.",
            file=sys.stderr,
        )
        sys.exit(1)
    except KeyboardInterrupt:
        print("Interrupted. The same command goes on from what is saved.", file=sys.stderr)
        sys.exit(_INTERRUPTED)
    if not has_ended:
        sys.exit(STOPPED)


def _lost_workers(message):
    """Names the workers that TensorFlow says are gone."""
    tasks = sorted(set(map(int, re.findall(r"/job:worker/(?:replica:\d+/)?task:(\d+)", message))))
    return f"Worker {' and '.join(map(str, tasks))}" if tasks else "Another worker"


def list_experiments(reproduction: Reproduction, small: bool = False) -> None:
    """Prints the table of `--list`, and what `--variant` takes.

    Args:
      reproduction: The paper's reproduction.
      small: Whether to size the experiments for two CPU cores.
    """
    from reproductions.driver.listing import experiment_table
    from reproductions.driver.variants import describe_variants

    expected = load_expected()
    printed = {name: find_expected(expected, reproduction.paper, name) for name in reproduction.experiments}
    printed = {name: row.value for name, row in printed.items() if row is not None}
    print(experiment_table(reproduction, small, printed))
    if reproduction.variants:
        print(f"\n{describe_variants(reproduction)}")


def check_flags(reproduction: Reproduction, values: flags.FlagValues) -> None:
    """Checks what flags can be checked for without TensorFlow, whose import takes seconds: names, and flags that exclude others.

    Args:
      reproduction: The paper's reproduction.
      values: Values of the flags.

    Raises:
      ValueError: If flags contradict each other, or name something unknown.
    """
    if values.mode != "evaluate" and values.importance_samples > 1:
        raise ValueError("--importance_samples needs --mode=evaluate; train first, then evaluate.")
    if values.mode not in ("train", "evaluate") and values.evaluation_images is not None:
        raise ValueError("--evaluation_images needs --mode=train or --mode=evaluate; nothing else evaluates images.")
    if values.side_by_side not in (AUTO, 1) and values.jit:
        raise ValueError("--side_by_side cannot be with --jit: XLA compiles the whole batch into one program.")
    if values.dataset is not None:
        dataset_spec(values.dataset)
    unnamed = values.dataset is None and values.experiment is None
    if values.workdir and (values.mode == "evaluate" or (values.mode != "train" and unnamed)) and not values.init_from:
        _check_holds_a_run(pathlib.Path(values.workdir))
    experiment = next(iter(reproduction.experiments.values()))
    if values.experiment is not None:
        experiment = reproduction.named_experiment(values.experiment, values.variant)
    check_assignments(type(experiment), values.set)


def _check_holds_a_run(workdir):
    """Raises FileNotFoundError if there is no run in a workdir, nor one of its stages."""
    if not any(
        any(workdir.glob(f"{stage}{name}")) for stage in ("", "*/") for name in (EXPERIMENT_FILE, "checkpoints")
    ):
        raise FileNotFoundError(
            f"No checkpoint in {workdir}, nor any run. Train first (the same command with --mode=train), or give another "
            "--workdir or --init_from."
        )


def run(reproduction: Reproduction, values: flags.FlagValues) -> bool:
    """Runs the mode selected by the flags.

    Args:
      reproduction: The paper's reproduction.
      values: Values of the flags.

    Returns:
      False if a signal stopped it before its end; the same flags then go on from what is saved.

    Raises:
      ValueError: If flags contradict each other, or name something unknown.
    """
    check_flags(reproduction, values)
    from reproductions.driver import train
    from reproductions.driver.selection import select_experiment
    from reproductions.driver.session import Session
    from reproductions.driver.workdirs import check_workdir
    from tfflows.devices.agreement import wait_for_all
    from tfflows.tracing.sampler import sampler_scope

    only = _only_stage(reproduction, values)
    if values.mode != "train":
        session = Session(reproduction, values, only)
        with progress.shown(session.workdir / progress.TIMINGS_FILE), sampler_scope(values.sampler):
            has_ended = _function_of(values.mode)(session) is not False
            wait_for_all(session.strategy)
        return has_ended
    stages = [only] if only else list(reproduction.stages(select_experiment(reproduction, values)))
    if len(stages) > 1:
        # What the last stage will refuse is refused before the first one trains.
        check_workdir(Session(reproduction, values, stages[-1]))
    for stage in stages:
        session = Session(reproduction, values, stage)
        # A finished stage is not evaluated again before the next one starts.
        if stage in session.earlier_stages and not only and train.is_finished(session):
            continue
        with progress.shown(session.workdir / progress.TIMINGS_FILE):
            has_ended = train.run(session)
            wait_for_all(session.strategy)
        if not has_ended:
            return False
    return True


def _function_of(mode):
    """Returns the function of a mode other than training."""
    if mode == "evaluate":
        from reproductions.driver import evaluate

        return evaluate.run
    from reproductions.driver import pictures  # with what draws them, which no other mode needs

    return pictures.MODES[mode]


def _only_stage(reproduction, values):
    """Returns the stage named by --stage; None for `all`.

    Raises:
      ValueError: If the experiment has no such stage.
    """
    if values.stage == "all":
        return None
    from reproductions.driver.selection import select_run

    stages = reproduction.stages(select_run(reproduction, values)[0])
    if values.stage not in stages:
        raise ValueError(
            f"Unknown stage {values.stage!r}; the stages of this experiment are: all, {', '.join(stages)}."
            f"{did_you_mean(values.stage, ('all', *stages))}"
        )
    return values.stage
