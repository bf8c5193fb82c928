"""Records of obtained results: data that a run writes and nobody edits, and how they are stored as JSON."""

import dataclasses
import datetime
import hashlib
import itertools
import json
import math
import os
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from reproductions.fields import check_fields, formerly_named, provenance_fields, renamed, setting
from tfflows.choices import RESIZES
from tfflows.files import atomic_write, read_json

T = TypeVar("T")

OBTAINED_DIRECTORY = "obtained"
SCALES = ("paper", "small", "claims")
SELECTIONS = ("last", "best_test")

_TRAIN_FIELDS = {"value", "standard_error", "num_images", "gap", "gap_standard_error"}
_VALIDATION_FIELDS = {"value", "standard_error", "num_images"}
_PREPARATION_FIELDS = {"image_size", "resize", "test_share"}
_IMPORTANCE_FIELDS = {"samples", "noise_standard_error", "effective_samples", "elbo", "elbo_standard_error"}
# A file name has at most 255 characters on most systems, including the suffix of a file that is being written.
_LONGEST_NAME = 220
_LONGEST_SLUG = 60
_OWN = ("folder:", "tfds:", "npz:")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclasses.dataclass(frozen=True)
class Record:
    """One obtained number and how it was obtained.

    Attributes:
      paper: Short name of the paper.
      experiment: Name of the experiment of that paper.
      dataset: Data set of the evaluation, such as 'cifar10'; `folder:DIRECTORY`, `tfds:NAME` or `npz:FILE` for other images.
      split: Split of the evaluation, such as 'test'.
      metric: Measured quantity, as in expected.csv, such as 'bits_per_dim'.
      value: The number, a mean over the images.
      standard_error: Standard error of `value` over the images; None if it has none.
      num_images: Number of images evaluated, each exactly once.
      steps: Number of training steps done.
      batch_size: Images per training step, over all replicas.
      scale: 'paper' for the published size, otherwise the reduced size 'small' or 'claims'.
      seed: Seed of the run.
      select: Evaluated checkpoint, 'last' or 'best_test'.
      parameters: Number of trained parameters.
      hardware: Hardware of the run, from `provenance.collect_provenance`.
      versions: Versions of packages, from `provenance.collect_provenance`.
      hours: Wall-clock hours of training.
      commit: Git commit, ending in '-dirty' if the code was changed since; None outside git.
      command: Command line.
      overrides: Changed fields of the experiment at this scale, with their values.
      date: Date of the result in ISO 8601.
      curve: Optional (step, bits/dim) pairs with increasing steps; of the held-out images if there is `validation`.
      seconds_per_step: Optional median seconds per training step.
      train: Optional dict for the training images, evaluated like the images of the split: `value`, `standard_error`,
        `num_images`, and `gap`, how much higher the record's `value` is, with `gap_standard_error`.
      validation: Optional dict for held-out training images, evaluated like the images of the split: `value`, `standard_error`,
        `num_images`.
      terms: Optional dict of the parts of a bound over latents, `{quantity: {value, standard_error}}`, with the quantities of
        `latent_terms`.
      train_curve: Optional (step, bits/dim) pairs like `curve`, each a mean over the training steps since the previous pair.
      evaluation_images: Number of images if only the first ones of the split were evaluated; None for all.
      importance: None if `value` has one noise draw per image. Otherwise a dict: `samples`, the number of draws per image of the
        importance-weighted bound `value`; `noise_standard_error` of `value` over the noise; `effective_samples`, the median
        over the images; `elbo` and `elbo_standard_error` (over the images), the bound of single draws of the same noise.
      execution: Optional dict of how the process computed, such as number of replicas, precision and use of XLA.
      trained_on: Data set of the training, if `dataset` is another one.
      preparation: How the images of `dataset` were brought to the model's size, if it is another one than that of the training
        and no paper prepares it: `image_size`, `resize` and `test_share`. None otherwise: then the overrides say it. Records of
        earlier versions have none.
    """

    paper: str
    experiment: str
    dataset: str
    split: str
    metric: str
    value: float
    standard_error: float | None = setting(at_least=0)
    num_images: int = setting(at_least=1)
    steps: int = setting(at_least=0)
    batch_size: int = setting(at_least=1)
    scale: str = setting(choices=SCALES)
    seed: int = setting(at_least=0)
    select: str = setting(choices=SELECTIONS)
    parameters: int = setting(at_least=1)
    hardware: Mapping[str, object] = setting(provenance=True)
    hours: float = setting(at_least=0, provenance=True)
    versions: Mapping[str, str] = setting(provenance=True)
    commit: str | None = setting(provenance=True)
    command: str = setting(provenance=True)
    overrides: Mapping[str, object]
    date: str = setting(provenance=True)
    curve: tuple[tuple[int, float], ...] | None = None
    seconds_per_step: float | None = setting(None, at_least=0)
    execution: Mapping[str, object] | None = setting(None, provenance=True)
    train: Mapping[str, float] | None = None
    train_curve: tuple[tuple[int, float], ...] | None = None
    evaluation_images: int | None = None
    importance: Mapping[str, float] | None = None
    validation: Mapping[str, float] | None = None
    terms: Mapping[str, Mapping[str, float]] | None = None
    trained_on: str | None = None
    preparation: Mapping[str, object] | None = None

    def __post_init__(self) -> None:
        for name in ("paper", "experiment", "split", "metric"):
            value = getattr(self, name)
            if not (isinstance(value, str) and _NAME.fullmatch(value)):
                raise ValueError(f"{name} must be a plain name, not {value!r}.")
        if not isinstance(self.dataset, str) or not (self.dataset.startswith(_OWN) or _NAME.fullmatch(self.dataset)):
            raise ValueError(
                f"dataset must be a plain name, folder:DIRECTORY, tfds:NAME or npz:FILE, not {self.dataset!r}."
            )
        for name in ("curve", "train_curve"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _checked_curve(getattr(self, name)))
        check_fields(self)
        try:
            datetime.datetime.fromisoformat(self.date)
        except (TypeError, ValueError):
            raise ValueError(f"date must be in ISO 8601, not {self.date!r}.") from None
        if self.train is not None:
            _check_train(self.train, self.value)
        if self.validation is not None:
            _check_validation(self.validation)
        if self.terms is not None:
            _check_terms(self.terms)
        if self.evaluation_images not in (None, self.num_images):
            raise ValueError(f"evaluation_images must be num_images or None, not {self.evaluation_images!r}.")
        if self.importance is not None:
            _check_importance(self.importance)
        if self.preparation is not None:
            _check_preparation(self.preparation, self.trained_on)

    @property
    def is_plain(self) -> bool:
        """Whether the value has one noise draw for every image of the split, of the data set of the training."""
        return self.importance is None and self.evaluation_images is None and self.trained_on is None

    @property
    def name(self) -> str:
        """Name of the file without its suffix, unique among records; many overrides are replaced by their hash."""
        overrides = "-".join(f"{field}={_distinct(field, self.overrides[field])}" for field in sorted(self.overrides))
        name = self._name_with(overrides)
        if len(name) <= _LONGEST_NAME:
            return name
        digest = hashlib.sha256(overrides.encode(errors="surrogateescape")).hexdigest()[:12]
        return self._name_with(f"{len(self.overrides)}overrides-{digest}")

    def _name_with(self, overrides):
        parts = [self.experiment, self.scale, *([overrides] if overrides else [])]
        parts += [f"seed{self.seed}", self.split, self.metric]
        if self.trained_on is not None:
            parts.append(name_elsewhere(self.dataset, self.preparation))
        if self.importance is not None:
            parts.append(f"samples{self.importance['samples']}")
        if self.evaluation_images is not None:
            parts.append(f"images{self.evaluation_images}")
        if self.select != SELECTIONS[0]:
            parts.append(self.select)
        return re.sub(r"[^A-Za-z0-9_.=-]+", "_", "-".join(parts))


def name_elsewhere(dataset: str, preparation: Mapping[str, object] | None) -> str:
    """Other images than those of the training as a part of a file name, distinct for each folder and each preparation.

    Args:
      dataset: Name of the data set.
      preparation: `Record.preparation`.

    Example:
      >>> from reproductions.reporting.records import name_elsewhere
      >>> name_elsewhere("folder:/a", {"image_size": 32, "resize": "crop", "test_share": 0.1})
      'of-folder_a-size32-crop-share0.1'
    """
    slug = re.sub(r"[^A-Za-z0-9_.=-]+", "_", _distinct("dataset", dataset))
    if preparation is None:
        return f"of-{slug}"
    if len(slug) > _LONGEST_SLUG:
        slug = f"{slug[-_LONGEST_SLUG:]}-{hashlib.sha256(dataset.encode(errors='surrogateescape')).hexdigest()[:8]}"
    return "of-{}-size{image_size}-{resize}-share{test_share}".format(slug, **preparation)


def _distinct(field, value):
    """What stands for the value of an override in a file name: a folder's path with a hash if the name would lose any of it."""
    if field != "dataset" or re.fullmatch(r"[A-Za-z0-9_.:/-]*", value):
        return value
    return f"{value}-{hashlib.sha256(value.encode(errors='surrogateescape')).hexdigest()[:8]}"


def write_record(record: Record, directory: str | os.PathLike, overwrite: bool = False) -> pathlib.Path:
    """Writes a record to `<directory>/<paper>/<name>.json`, atomically.

    Args:
      record: The record.
      directory: Directory of all records, `results/obtained` in the repository.
      overwrite: Whether to replace a file of that name that holds a different result. A file with the same result is left as it
        is.

    Returns:
      The path of the file. A file that holds the record under former names of its overrides keeps its name.

    Raises:
      FileExistsError: If the file exists with a different result and `overwrite` is false.
    """
    paths = _paths(record, pathlib.Path(directory))
    return store_dataclass(record, next((path for path in paths if path.exists()), paths[0]), overwrite)


def load_records(directory: str | os.PathLike) -> tuple[Record, ...]:
    """Reads all records below a directory, in the order of their paths; none if the directory does not exist.

    Raises:
      ValueError: If a file is not a valid record, or is not where its fields say.
    """
    directory = pathlib.Path(directory)
    records = []
    for path in sorted(directory.glob("*/*.json")):
        record = load_dataclass(Record, path)
        if path not in _paths(record, directory):
            raise ValueError(f"{path}: its fields belong to {record.paper}/{record.name}.json.")
        records.append(record)
    return tuple(records)


def _paths(record, directory):
    """Possible paths of a record: under its name, or under its name with the former names of its overrides."""
    former = dataclasses.replace(record, overrides=formerly_named(record.overrides))
    return [directory / record.paper / f"{one.name}.json" for one in (record, former)]


def _require_number(name, value, minimum):
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    if not plain or not math.isfinite(value) or value < minimum:
        bound = "" if minimum == -math.inf else f" of at least {minimum}"
        raise ValueError(f"{name} must be a finite number{bound}, not {value!r}.")


def _check_train(train, value):
    if not isinstance(train, Mapping) or train.keys() != _TRAIN_FIELDS:
        raise ValueError(f"train must have {sorted(_TRAIN_FIELDS)}, not {train!r}.")
    for name in ("value", "gap"):
        _require_number(f"{name} of train", train[name], -math.inf)
    for name in ("standard_error", "gap_standard_error"):
        _require_number(f"{name} of train", train[name], 0)
    if type(train["num_images"]) is not int or train["num_images"] < 1:
        raise ValueError(f"num_images of train must be an integer of at least 1, not {train['num_images']!r}.")
    if not math.isclose(train["gap"], value - train["value"], rel_tol=1e-9, abs_tol=1e-9):
        raise ValueError(f"gap of train must be {value} - {train['value']}, not {train['gap']!r}.")


def _check_terms(terms):
    if not isinstance(terms, Mapping) or any(set(term) != {"value", "standard_error"} for term in terms.values()):
        raise ValueError(f"terms must be a mapping to value and standard_error, not {terms!r}.")
    for name, term in terms.items():
        _require_number(f"value of {name}", term["value"], -math.inf)
        _require_number(f"standard_error of {name}", term["standard_error"], 0)


def _check_validation(validation):
    if not isinstance(validation, Mapping) or validation.keys() != _VALIDATION_FIELDS:
        raise ValueError(f"validation must have {sorted(_VALIDATION_FIELDS)}, not {validation!r}.")
    _require_number("value of validation", validation["value"], -math.inf)
    _require_number("standard_error of validation", validation["standard_error"], 0)
    if type(validation["num_images"]) is not int or validation["num_images"] < 1:
        raise ValueError(
            f"num_images of validation must be an integer of at least 1, not {validation['num_images']!r}."
        )


def _check_importance(importance):
    if not isinstance(importance, Mapping) or importance.keys() != _IMPORTANCE_FIELDS:
        raise ValueError(f"importance must have {sorted(_IMPORTANCE_FIELDS)}, not {importance!r}.")
    if type(importance["samples"]) is not int or importance["samples"] < 2:
        raise ValueError(f"samples of importance must be an integer of at least 2, not {importance['samples']!r}.")
    for name in ("noise_standard_error", "elbo_standard_error"):
        _require_number(f"{name} of importance", importance[name], 0)
    _require_number("effective_samples of importance", importance["effective_samples"], 0)
    _require_number("elbo of importance", importance["elbo"], -math.inf)


def _check_preparation(preparation, trained_on):
    if not isinstance(preparation, Mapping) or preparation.keys() != _PREPARATION_FIELDS:
        raise ValueError(f"preparation must have {sorted(_PREPARATION_FIELDS)}, not {preparation!r}.")
    if trained_on is None:
        raise ValueError(
            "preparation is for images on which the model was not trained; the overrides say that of others."
        )
    if type(preparation["image_size"]) is not int or preparation["image_size"] < 1:
        raise ValueError(
            f"image_size of preparation must be an integer of at least 1, not {preparation['image_size']!r}."
        )
    if preparation["resize"] not in RESIZES:
        raise ValueError(f"resize of preparation must be one of {', '.join(RESIZES)}, not {preparation['resize']!r}.")
    _require_number("test_share of preparation", preparation["test_share"], 0)


def _checked_curve(curve):
    try:
        points = tuple((step, value) for step, value in curve)
    except (TypeError, ValueError):
        raise ValueError(f"curve must be (step, bits/dim) pairs, not {curve!r}.") from None
    for step, value in points:
        if type(step) is not int:
            raise ValueError(f"A step of the curve must be an integer, not {step!r}.")
        _require_number("A value of the curve", value, -math.inf)
    if any(later[0] <= earlier[0] for earlier, later in itertools.pairwise(points)):
        raise ValueError(f"The steps of the curve must increase, got {[step for step, _ in points]}.")
    return points


Point = tuple[int, float]


def evaluation_curve(lines: Iterable[Mapping], split: str = "test") -> list[Point]:
    """Returns `(step, bits/dim)` of each evaluation of a split during training.

    Args:
      lines: Lines of the metrics file.
      split: Name of the split, `test` or `validation`.
    """
    name = f"{split}_bits_per_dim"
    return [(line["step"], line[name]) for line in lines if name in line]


def training_curve(lines: Iterable[Mapping], steps: Sequence[int]) -> list[Point]:
    """Returns `(step, training bits/dim)`, each value a mean over the training steps since the previous step in `steps`.

    The values are those of the training steps themselves: parameters change meanwhile, and dropout and augmentation are on if
    the experiment has them.

    Args:
      lines: Lines of the metrics file, with increasing steps. A line with `bits_per_dim` holds the mean over the steps since the
        last such line, and is counted at its own step.
      steps: Increasing steps at which points are wanted. There is no point where no line falls after the previous step.

    Example:
      >>> from reproductions.reporting.records import training_curve
      >>> training_curve([{"step": 10, "bits_per_dim": 6.0}, {"step": 30, "bits_per_dim": 3.0}], steps=[30])
      [(30, 4.0)]
    """
    logged = [(line["step"], line["bits_per_dim"]) for line in lines if "bits_per_dim" in line]
    points, begin, last = [], 0, 0
    for end in steps:
        total, count = 0.0, 0
        for step, mean in logged:
            if begin < step <= end:
                total, count, last = total + (step - last) * mean, count + step - last, step
        if count:
            points.append((end, total / count))
        begin = end
    return points


def train_test_gap(test: np.ndarray, train: np.ndarray) -> tuple[float, float]:
    """Returns the gap `mean(test) - mean(train)` between test and training images, and its standard error.

    The standard error is that of the choice of images on both sides, `sqrt(e_test**2 + e_train**2)`, with `e` the standard
    deviation of a side divided by the square root of its number of images (0 for a single image).

    Args:
      test: Bits/dim of each test image, shape `[N]`.
      train: Bits/dim of each training image, shape `[M]`.

    Example:
      >>> import numpy as np
      >>> from reproductions.reporting.records import train_test_gap
      >>> train_test_gap(np.array([4.0, 6.0]), np.array([3.0]))  # 5 - 3, and sqrt(2) / sqrt(2)
      (2.0, 1.0)
    """
    sides = [np.asarray(side, np.float64) for side in (test, train)]
    errors = [float(side.std(ddof=1)) / math.sqrt(side.size) if side.size > 1 else 0.0 for side in sides]
    return float(sides[0].mean() - sides[1].mean()), math.hypot(*errors)


def store_dataclass(instance: object, path: str | os.PathLike, overwrite: bool = False) -> pathlib.Path:
    """Writes a dataclass to `path` as JSON.

    A file that already holds the same result is left as it is, even if its provenance differs (the fields declared as such, see
    `reproductions.fields`), because it names the run that first obtained the result.

    Args:
      instance: A dataclass of JSON values.
      path: Path of the file; its directory is created if necessary.
      overwrite: Whether to replace a file with a different result.

    Returns:
      The path of the file.

    Raises:
      FileExistsError: If the file holds a different result and `overwrite` is false. The message names the fields that differ.
    """
    path = pathlib.Path(path)
    new = json.loads(json.dumps(dataclasses.asdict(instance), allow_nan=False))
    if path.exists() and not overwrite:
        old = _read_object(path)
        differing = [
            name
            for name in sorted(old.keys() | new.keys())
            if name not in provenance_fields(type(instance)) and old.get(name) != new.get(name)
        ]
        if not differing:
            return path
        changes = ", ".join(f"{name} ({old.get(name)!r} there)" for name in differing)
        raise FileExistsError(
            f"{path} holds a different result; the differences are {changes}. Remove it, or ask to overwrite it."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, json.dumps(new, indent=2, allow_nan=False) + "\n")
    return path


def load_dataclass(cls: type[T], path: str | os.PathLike) -> T:
    """Reads a file written by `store_dataclass` as an instance of `cls`, which validates its own fields.

    Former names (`reproductions.fields.RENAMED`) are read as the current ones.

    Args:
      cls: The dataclass.
      path: Path of the file.

    Raises:
      ValueError: If the file is not a JSON object, or a field is missing, unknown or not valid. The message names the file.
    """
    path = pathlib.Path(path)
    content = _read_object(path)
    fields = dataclasses.fields(cls)
    required = {
        field.name
        for field in fields
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    missing = sorted(required - content.keys())
    unknown = sorted(content.keys() - {field.name for field in fields})
    if missing or unknown:
        raise ValueError(f"{path}: missing fields {missing}, unknown fields {unknown}.")
    try:
        return cls(**content)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error


def _read_object(path: pathlib.Path) -> dict:
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a JSON object, not {type(content).__name__}.")
    return renamed(content)
