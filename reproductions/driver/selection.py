"""Which experiment the flags describe, on which images, and where its run is kept."""

import contextlib
import dataclasses
import hashlib
import os
import pathlib
from typing import Any

from reproductions.driver.flags import FIELD_FLAGS
from reproductions.driver.stages import experiment_of_base
from reproductions.experiment import Experiment, Reproduction
from reproductions.fields import override, text_of, watching_fields
from tfflows.data import canonical_name, dataset_spec, is_own, stored_image_shape
from tfflows.files import as_file_name
from tfflows.training.workdir import EXPERIMENT_FILE, WorkdirError, read_experiment

# Where images differ in size and nothing says which size is wanted.
_SIZE_OF_MIXED = 64


def select_run(reproduction: Reproduction, flags: Any) -> tuple[Experiment, pathlib.Path, str, dict[str, Any] | None]:
    """Returns what the flags run: the experiment, its workdir, the evaluated data set, and what `settings_of_workdir` returns.

    If nothing says what runs but a workdir with a trained model, or the model is measured on other images than its own, the
    experiment is that of the workdir.

    Args:
      reproduction: The paper's reproduction.
      flags: Values of the flags.

    Raises:
      ValueError: As for `select_experiment`.
    """
    selected, workdir, stored = None, pathlib.Path(flags.workdir or ""), None
    if flags.workdir:
        stored = settings_of_workdir(reproduction, flags, workdir)
    if stored is None:
        selected = select_experiment(reproduction, flags)
        workdir = workdir if flags.workdir else default_workdir(reproduction, flags, selected)
        stored = settings_of_workdir(reproduction, flags, workdir)
    if stored is None:
        return selected, workdir, selected.dataset, None
    own = override(reproduction.experiment_of(stored), flags.set)
    own = dataclasses.replace(own, dataset=canonical_name(own.dataset, flags.data_dir))
    if flags.dataset is None:
        return own, workdir, own.dataset, stored
    _check_own_flags(flags.dataset, flags)
    return own, workdir, canonical_name(flags.dataset, flags.data_dir), stored


def select_experiment(reproduction: Reproduction, flags: Any) -> Experiment:
    """Returns the experiment described by the flags, with overrides applied.

    Args:
      reproduction: The paper's reproduction.
      flags: Values of the flags.

    Raises:
      ValueError: If a name is unknown (the message lists the valid ones), or if neither a data set nor an experiment is given.
    """
    if flags.dataset is not None:
        dataset_spec(flags.dataset)  # raises if the data set is unknown
    if flags.experiment is not None:
        experiment = reproduction.named_experiment(flags.experiment, flags.variant)
    elif flags.dataset is not None:
        experiment = _experiment_on(reproduction, flags)
    else:
        raise ValueError("Give --dataset or --experiment; --list shows all experiments.")
    if flags.scale == "small" and experiment.scale == "paper":
        experiment = reproduction.small(experiment)
    experiment = _on_data(reproduction, experiment, flags)
    # --image_size and --resize have been seen to.
    changes = {
        field: getattr(flags, flag) for flag, (field, _) in FIELD_FLAGS.items() if flag not in ("image_size", "resize")
    }
    experiment = dataclasses.replace(experiment, **{k: v for k, v in changes.items() if v is not None})
    experiment = override(experiment, flags.set)
    return dataclasses.replace(experiment, dataset=canonical_name(experiment.dataset, flags.data_dir))


def overrides(reproduction: Reproduction, chosen: Experiment) -> dict[str, Any]:
    """Returns `{field: value}` of the fields that the flags changed, relative to the experiment at the requested scale.

    Fields that do not change the result are left out. Sequences are given as text, as `--set` takes them.

    Args:
      reproduction: The paper's reproduction.
      chosen: The experiment from `select_experiment`.
    """
    base = experiment_of_base(reproduction, chosen)
    watching = watching_fields(type(chosen))
    return {
        field.name: text_of(getattr(chosen, field.name))
        for field in dataclasses.fields(chosen)
        if field.name not in watching and getattr(chosen, field.name) != getattr(base, field.name)
    }


def default_workdir(reproduction: Reproduction, flags: Any, experiment: Experiment) -> pathlib.Path:
    """Returns the workdir of a run without --workdir.

    Each folder or file of own images has one of its own. Versions of before gave them that of the experiment alone: it is taken
    if it holds a run on these images, and for evaluation if only it holds a run.

    Args:
      reproduction: The paper's reproduction.
      flags: Values of the flags.
      experiment: The experiment from `select_experiment`.
    """
    parent, name = pathlib.Path("workdirs") / reproduction.paper, f"{experiment.name}-{experiment.scale}"
    of_experiment = parent / f"{name}-seed{flags.seed}"
    if not is_own(experiment.dataset):
        return of_experiment
    own = parent / f"{name}-{name_of_run(experiment.dataset, flags.data_dir)}-seed{flags.seed}"
    there = _datasets_of(of_experiment, flags.data_dir)
    if not _datasets_of(own, flags.data_dir) and (experiment.dataset in there or (flags.mode == "evaluate" and there)):
        return of_experiment
    return own


def name_of_run(dataset: str, data_dir: str | os.PathLike | None) -> str:
    """Own images as a part of the name of a workdir: their name, and a hash of the path.

    Args:
      dataset: Canonical name of the data set.
      data_dir: As for `tfflows.data.canonical_name`.
    """
    spec = dataset_spec(dataset)
    place = spec.origin
    if spec.kind != "any_tfds":
        place = os.path.realpath(os.path.join(os.path.expanduser(str(data_dir or "")), place))
    digest = hashlib.sha256(place.encode(errors="surrogateescape")).hexdigest()[:8]
    name = as_file_name(pathlib.PurePath(place).stem if spec.kind == "npz" else pathlib.PurePath(place).name)
    ascii_name = name.encode("ascii", "ignore").decode().strip("._-")
    return f"{ascii_name}-{digest}" if ascii_name else digest


def _datasets_of(workdir, data_dir):
    """Names of the data sets of the run in a workdir, or of its stages; none if there is no run."""
    found = set()
    for file in (workdir / EXPERIMENT_FILE, *workdir.glob(f"*/{EXPERIMENT_FILE}")):
        # What is no experiment will be refused.
        with contextlib.suppress(WorkdirError, KeyError, ValueError):
            found.add(canonical_name(read_experiment(file.parent)["dataset"], data_dir))
    return found


def settings_of_workdir(reproduction: Reproduction, flags: Any, workdir: pathlib.Path) -> dict[str, Any] | None:
    """Returns the content of a workdir's `experiment.json` if that says what runs, in place of the flags; None otherwise.

    That is so for a trained model, if neither --dataset nor --experiment is given, and with --mode=evaluate and a --dataset that
    it was not trained on.

    Args:
      reproduction: The paper's reproduction.
      flags: Values of the flags.
      workdir: The workdir.
    """
    if flags.mode == "train" or not (workdir / EXPERIMENT_FILE).exists():
        return None
    unnamed = flags.dataset is None and flags.experiment is None
    if not unnamed and (flags.mode != "evaluate" or flags.dataset is None):
        return None
    stored = read_experiment(workdir)
    if stored.get("paper") != reproduction.paper:
        return None
    if unnamed:
        return stored
    own, asked = (
        canonical_name(name, flags.data_dir) for name in (reproduction.experiment_of(stored).dataset, flags.dataset)
    )
    return None if own == asked else stored


def _experiment_on(reproduction, flags):
    """Returns the paper's own experiment on --dataset, or else the one whose images are nearest in size."""
    if any(experiment.dataset == flags.dataset for experiment in reproduction.experiments.values()):
        return reproduction.default_experiment(flags.dataset, flags.variant)
    if flags.image_size is not None:
        height = width = flags.image_size
    else:
        height, width, _ = stored_image_shape(flags.dataset, flags.data_dir) or (None, None, None)
    if None in (height, width):
        height = width = _SIZE_OF_MIXED
    return reproduction.nearest_experiment(height, width, flags.variant)


def _check_own_flags(dataset, flags):
    if not is_own(dataset) and (flags.resize is not None or flags.test_share is not None):
        raise ValueError(
            f"--resize and --test_share are for own images, and {dataset} is prepared as its paper prepares it; remove them."
        )


def _on_data(reproduction, experiment, flags):
    """Returns the experiment on --dataset and at --image_size.

    Own images stay as they are if they have one size and --image_size is not given. An experiment chosen by name is then built
    for them whatever size it says; all others are fitted to the size of their images.
    """
    dataset, size = flags.dataset or experiment.dataset, flags.image_size
    fits = size is not None or flags.experiment is None
    if is_own(dataset):
        how, stored = flags.resize, (None, None)
        if how == "none" or (how is None and size is None):
            stored = stored_image_shape(dataset, flags.data_dir)[:2]
        how = how or ("none" if None not in stored else "crop")
        height, width = stored if how == "none" else (size or experiment.image_size,) * 2
        experiment = dataclasses.replace(experiment, dataset=dataset, resize=how)
        if how == "none" and None in stored:
            raise ValueError(f"The images of {dataset} differ in size; give --resize=crop or --resize=fit.")
    else:
        _check_own_flags(dataset, flags)
        own_size = dataset_spec(dataset).image_size if dataset != experiment.dataset else None
        height = width = size or own_size or experiment.image_size
        if not fits:
            return dataclasses.replace(experiment, dataset=dataset, image_size=height)
        experiment = dataclasses.replace(experiment, dataset=dataset)
    if not fits or (height, width) == (experiment.image_size, experiment.image_size):
        return experiment
    return reproduction.at_size(experiment, height, width)
