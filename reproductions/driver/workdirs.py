"""The workdir of a run: what its files say of the run, whether the run of today is the same, and the weights to go on with."""

import collections
import contextlib
import dataclasses
import functools
import hashlib
import json
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from absl import logging

from reproductions.driver.flags import FIELD_FLAGS, LOCAL_FLAGS, flag_names
from reproductions.driver.run_data import HASHED_SUBSETS
from reproductions.driver.session import Session
from reproductions.driver.stages import SHARES_STEPS
from reproductions.experiment import Experiment, read_rate_factors
from reproductions.fields import as_of_today, free_fields
from reproductions.reporting.records import name_elsewhere
from tfflows.data import ImageSource, canonical_name, is_own
from tfflows.devices.agreement import check_workers_agree, gather_texts, source_fingerprint
from tfflows.devices.strategies import num_workers
from tfflows.files import atomic_write, read_json
from tfflows.models.description import read_description
from tfflows.training.checkpoints import Checkpoints
from tfflows.training.workdir import (
    EXPERIMENT_FILE,
    SIDE_BY_SIDE,
    WorkdirError,
    described_workdir,
    prepare_workdir,
    read_experiment,
)

# What was read of own images, in the workdir.
IMAGES_FILE = "images.json"
# How long a network file system may take to show what another machine wrote.
_VISIBLE_SECONDS = 10


def check_workdir(session: Session) -> None:
    """Checks that the workdir holds this run or none, and no more steps than it asks for; changes nothing.

    Raises:
      WorkdirError: If the workdir belongs to a different experiment, or an earlier stage was trained with other settings.
      ValueError: If more steps are done than the experiment has.
    """
    prepare_workdir(session.workdir, **_description(session), create=False)
    steps, wanted = saved_steps(session), session.experiment.num_steps
    if steps and steps[-1] > wanted:
        more = f"--steps={steps[-1]} or more"
        if session.shares_steps and session.flags.stage == "all":
            more = "more --steps, which all stages share"
        raise ValueError(
            f"The run in {session.workdir} is at step {steps[-1]}, beyond the {wanted} asked for. Give {more}, or another "
            "--workdir."
        )
    _check_rates(session, steps[-1] if steps else 0)
    _check_images_are_those_of_before(session)
    _warn_of_changed_images(session)
    for stage in session.earlier_experiments:
        check_stage(session, stage, session.workdir / stage)


def _check_images_are_those_of_before(session):
    """Raises WorkdirError if own images have another shape than `model.json` says, or a conditional model's other classes."""
    before = read_description(session.workdir)
    if before is None or session.data.is_elsewhere or not is_own(session.experiment.dataset):
        return
    now = session.data.model_description
    if tuple(now.image_shape) != tuple(before.image_shape):
        raise WorkdirError(
            f"The model in {session.workdir} takes images of shape {tuple(before.image_shape)}, and {session.experiment.dataset} "
            f"now has images of {tuple(now.image_shape)}. Put the images back, or give another directory."
        )
    if session.experiment.conditional and tuple(now.class_names) != tuple(before.class_names):
        raise WorkdirError(
            f"The model in {session.workdir} was trained on the classes {', '.join(before.class_names) or 'none'}, and "
            f"{session.experiment.dataset} now has {', '.join(now.class_names) or 'none'}. Name the class folders as they were, "
            "or give another directory."
        )


def _warn_of_changed_images(session):
    """Says how own images differ from those at the last start of the run."""
    changes = changes_of_images(_read_report(session), {} if session.data.is_elsewhere else session.data.read)
    if changes:
        logging.warning(
            "%s has changed since the run in %s was last started: %s.",
            session.experiment.dataset,
            session.workdir,
            changes,
        )


def _check_rates(session, step):
    """Raises ValueError if the learning rate of a step that is done differs from that of the workdir."""
    stored = ""
    if (session.workdir / EXPERIMENT_FILE).exists():
        stored = read_experiment(session.workdir).get("rate_factors", "")
    now = session.experiment.rate_factors
    there, here = ([pair for pair in read_rate_factors(text) if pair[0] < step] for text in (stored, now))
    if there != here:
        raise ValueError(
            f"The run in {session.workdir} is at step {step}, and its learning rate until then cannot change: rate_factors is "
            f"{stored!r} there, {now!r} now. Keep the pairs of steps below {step}, and add or change later ones."
        )


def check_stage(session: Session, stage: str, workdir: pathlib.Path) -> None:
    """Checks the settings of the directory of an earlier stage, except for those on which its training does not depend.

    Args:
      session: The session.
      stage: Name of the stage.
      workdir: Its directory; nothing is checked if it holds no run.

    Raises:
      WorkdirError: If it was trained with other settings.
    """
    experiment = session.stages[stage]
    kind = type(experiment)
    free = {
        *free_fields(kind),
        *session.reproduction.unused_by_stages.get(stage, ()),
        "init_from",
        SHARES_STEPS,
        SIDE_BY_SIDE,
    }
    prepare_workdir(
        workdir,
        described_as(session, experiment),
        free,
        upgrade=functools.partial(_upgraded, session, kind),
        create=False,
    )


@contextlib.contextmanager
def described(session: Session) -> Iterator[None]:
    """A context in which the workdir holds `experiment.json` and `model.json`; see `described_workdir`."""
    with described_workdir(session.workdir, **_description(session)):
        if session.chief and read_description(session.workdir) is None:
            session.data.model_description.write(session.workdir)
        _write_report(session)
        yield
        _write_report(session)  # the test images may be read at the end


def write_report_elsewhere(session: Session) -> None:
    """Keeps in the workdir what was read of other own images than the model's; does nothing for the model's."""
    data = session.data
    if session.chief and data.is_elsewhere and data.read:
        elsewhere = name_elsewhere(data.evaluated_dataset, data.preparation)
        _write_report(session, f"{pathlib.Path(IMAGES_FILE).stem}-{elsewhere}.json")


def _write_report(session, name=IMAGES_FILE):
    """Writes what was read of own images, beside what the file says of other splits of the same data set."""
    read = session.data.read
    if not (session.chief and read):
        return
    datasets = {own["data set"] for own in read.values()}
    others = {split: own for split, own in _read_report(session, name).items() if own.get("data set") in datasets}
    content = json.dumps({**others, **read}, indent=2) + "\n"
    path = session.workdir / name
    if not path.exists() or path.read_bytes() != content.encode():
        atomic_write(path, content)


def _read_report(session, name=IMAGES_FILE):
    """What the workdir says of its images, `{split: what was read}`; nothing if it does not say it in a form of today."""
    try:
        content = read_json(session.workdir / name)
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {split: own for split, own in content.items() if isinstance(own, dict)}


def _description(session):
    """Arguments of `prepare_workdir` and `described_workdir`."""
    kind = type(session.experiment)
    # With a cool-down the schedule depends on the length of the run.
    free = set(free_fields(kind)) - ({"num_steps"} if session.experiment.cooldown_steps else set())
    free |= {SHARES_STEPS, SIDE_BY_SIDE}
    return {
        "experiment": described_as(session, session.experiment),
        "free_fields": free,
        "chief": session.chief,
        "upgrade": functools.partial(_upgraded, session, kind),
    }


def _upgraded(session, kind, stored):
    """What a workdir holds, as it would be written today."""
    content = as_of_today(kind, stored)
    # A folder may be stored by another path; what is no name of a data set will be found to differ.
    with contextlib.suppress(KeyError, ValueError, TypeError, AttributeError):
        content["dataset"] = canonical_name(content["dataset"], session.flags.data_dir)
    return content


def described_as(session: Session, experiment: Experiment) -> dict[str, Any]:
    """Returns what `experiment.json` holds of an experiment of the session."""
    return {
        "paper": session.reproduction.paper,
        "seed": session.seed,
        **dataclasses.asdict(experiment),
        "init_from": session.init_from,
        **({"init_raw": True} if session.flags.init_raw else {}),
        **({SHARES_STEPS: True} if session.shares_steps else {}),
        **({HASHED_SUBSETS: True} if session.data.hashes_subsets else {}),
        **({SIDE_BY_SIDE: session.side_by_side} if session.side_by_side > 1 and session.flags.mode == "train" else {}),
    }


def saved_steps(session: Session) -> list[int]:
    """Returns the steps that have a checkpoint in the workdir, ascending."""
    return Checkpoints(session.workdir / "checkpoints", {}).steps


def check_workers(session: Session, sources: Callable[[], Sequence[ImageSource]]) -> None:
    """Compares flags, experiment, images and checkpoints with those of all other workers, if there are any.

    Args:
      session: The session.
      sources: Gives the splits that are used.

    Raises:
      WorkersDisagree: If something differs; the message names it.
    """
    if num_workers(session.strategy) == 1:
        return
    fields = {*FIELD_FLAGS, "set", "seed", "init_from"}  # the experiment says them
    own = {f"--{name}": getattr(session.flags, name) for name in flag_names() if name not in {*LOCAL_FLAGS, *fields}}
    own |= {"stage": session.stage, **described_as(session, session.experiment)}
    own |= {f"the images of {source.split}": source_fingerprint(source) for source in sources()}
    check_workers_agree(session.strategy, own)
    _check_shared(session, "the list of checkpoints", Checkpoints(session.workdir / "checkpoints", {}).fingerprints())


def check_workdir_is_shared(session: Session) -> None:
    """Checks that all workers see the workdir that the chief has described; does nothing without a cluster.

    Raises:
      WorkersDisagree: If they do not.
    """
    if num_workers(session.strategy) == 1:
        return
    gather_texts(session.strategy, "")  # from here on the chief has written it
    file = session.workdir / EXPERIMENT_FILE
    deadline = time.monotonic() + _VISIBLE_SECONDS
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    _check_shared(
        session, EXPERIMENT_FILE, hashlib.sha256(file.read_bytes()).hexdigest()[:12] if file.exists() else "missing"
    )


def _check_shared(session, what, value):
    shared = f"All workers must share the working directory, {session.workdir}: put it on a file system that all of them see."
    check_workers_agree(session.strategy, {what: value}, shared)


def restore(session: Session) -> int:
    """Loads the evaluated variables of the model from the checkpoint selected by --select, or weights from --init_from.

    Returns:
      The training step of the checkpoint, 0 for --init_from.

    Raises:
      FileNotFoundError: If there is none; the workdir is then not created.
      WorkdirError: If the workdir belongs to a different experiment.
    """
    check_workdir(session)
    checkpoints = Checkpoints(session.workdir / "checkpoints", session.evaluated_variables, chief=session.chief)
    best = session.flags.select == "best_test"
    step = checkpoints.restore_best(partial=True) if best else checkpoints.restore_latest(partial=True)
    if step is not None:
        logging.info("Restored step %d from %s.", step, session.workdir)
        return step
    if session.flags.init_from:
        session.load_init_from()
        prepare_workdir(session.workdir, **_description(session))
        return 0
    raise FileNotFoundError(
        f"No {'best ' if best else ''}checkpoint in {session.workdir}. Train first (the same command with --mode=train"
        f"{' --select=best_test and --set evaluate_every=N' if best else ''}), or give --workdir or --init_from."
    )


def changes_of_images(before: Mapping[str, Mapping], now: Mapping[str, Mapping]) -> str:
    """Returns what happened to the images of a run since its last start, in a few words; empty if nothing did.

    Splits are compared if the same part of them was read, files by their names.

    Args:
      before: `RunData.read` of the last start, possibly of an earlier version.
      now: The same of this start; splits that were not read may be missing.
    """
    pairs = {
        split: (before[split], own)
        for split, own in now.items()
        if split in before
        and before[split].get("data set") == own["data set"]
        and (
            before[split]["chosen"] == own["chosen"]
            if "chosen" in before[split]
            else split != "test" or not own["chosen"]
        )
    }
    if any("files" not in old or not own["files"] for old, own in pairs.values()):
        counts = [f"{split} {old.get('images')} to {own['images']}" for split, (old, own) in pairs.items()]
        differ = any(old.get("images") != own["images"] for old, own in pairs.values())
        other = any(old.get("fingerprint", own["fingerprint"]) != own["fingerprint"] for old, own in pairs.values())
        return (
            f"number of images: {', '.join(counts)}" if differ else "other images in the same number" if other else ""
        )
    old_split = {file: split for split, (old, _) in pairs.items() for file in old["files"]}
    new_split = {file: split for split, (_, own) in pairs.items() for file in own["files"]}
    moves = collections.Counter(
        (old_split[file], split) for file, split in new_split.items() if old_split.get(file, split) != split
    )
    parts = [
        _count(len(new_split.keys() - old_split.keys()), "added"),
        _count(len(old_split.keys() - new_split.keys()), "removed"),
        *(_count(number, f"moved from {old} to {new}") for (old, new), number in sorted(moves.items())),
    ]
    changed = [split for split, (old, own) in pairs.items() if old["files"] == own["files"]]
    if any(pairs[split][0]["fingerprint"] != pairs[split][1]["fingerprint"] for split in changed):
        parts.append("the content of others changed" if any(parts) else "the content of files changed")
    return ", ".join(part for part in parts if part)


def _count(number, what):
    return f"{number:,} file{'s' if number > 1 else ''} {what}" if number else ""
