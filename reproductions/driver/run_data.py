"""The images of a run: its splits, how own images are prepared for it, and the shape and classes that its model takes."""

import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from absl import logging

from reproductions.experiment import Experiment
from reproductions.fields import assigned_fields
from tfflows.data import ImageSource, dataset_spec, in_color, is_own, load_dataset, stored_image_shape
from tfflows.devices.agreement import source_fingerprint
from tfflows.models.description import ModelDescription, describe_from_experiment, read_description
from tfflows.training.workdir import EXPERIMENT_FILE, read_experiment

# In the `experiment.json` of a run on own images of which a hash chooses those of --holdout, --evaluation_images and the like.
# Runs of before take the first ones, and hold out the last ones.
HASHED_SUBSETS = "hashed_subsets"


def hashes_subsets(dataset: str, workdirs: Sequence[pathlib.Path]) -> bool:
    """Whether a hash chooses among the images of a run: if they are own ones, and the run has not begun otherwise.

    Args:
      dataset: Name of the data set.
      workdirs: Directories of the stages of the run.

    Raises:
      WorkdirError: If one of them holds an `experiment.json` that cannot be read.
    """
    if not is_own(dataset) or dataset_spec(dataset).kind == "any_tfds":
        return False
    begun = [read_experiment(path) for path in workdirs if (path / EXPERIMENT_FILE).exists()]
    return all(stored.get(HASHED_SUBSETS, False) for stored in begun)


class RunData:
    """The data sets of a run. Each is opened on first use.

    Attributes:
      evaluated_dataset: Data set whose test images are evaluated: that of the experiment, or another one.
      hashes_subsets: Whether a hash chooses among own images; see the function of this name.
      read: What was read of own images, `{split: its content in images.json}`.
    """

    def __init__(
        self, experiment: Experiment, evaluated_dataset: str, flags: Any, workdir: pathlib.Path, hashes_subsets: bool
    ) -> None:
        """Creates the data of a run.

        Args:
          experiment: The experiment.
          evaluated_dataset: Data set whose test images are evaluated.
          flags: Values of the flags.
          workdir: Directory of the run.
          hashes_subsets: Whether a hash chooses among own images.
        """
        self.evaluated_dataset = evaluated_dataset
        self.hashes_subsets = hashes_subsets
        self.read = {}
        self._experiment = experiment
        self._flags = flags
        self._workdir = workdir

    @property
    def is_elsewhere(self) -> bool:
        """Whether the test images are those of another data set than the model's."""
        return self.evaluated_dataset != self._experiment.dataset

    @functools.cached_property
    def train_source(self) -> ImageSource:
        """Training images."""
        return self.load(
            "train", max_images=self._experiment.train_images or None, holdout=self._experiment.holdout or None
        )

    @functools.cached_property
    def validation_source(self) -> ImageSource:
        """Images evaluated during training: the held-out training images, or the test images if none are held out."""
        if not self._experiment.holdout or self.is_elsewhere:
            return self.test_source
        return self.load("holdout", holdout=self._experiment.holdout)

    @functools.cached_property
    def test_source(self) -> ImageSource:
        """Test images; only some of them if --evaluation_images is given: the first ones, or of own images what a hash chooses.

        Raises:
          ValueError: If there are fewer test images than --evaluation_images asks for, or those of another data set than the
            model's do not fit it.
        """
        wanted = self._flags.evaluation_images
        source = self.load("test", self.evaluated_dataset, max_images=wanted)
        if self.is_elsewhere:
            self._check_fits(source)
        if wanted is not None and source.num_images < wanted:
            raise ValueError(
                f"--evaluation_images={wanted} is more than the {source.num_images} test images of {source.name}; give at "
                "most that number, or remove the flag."
            )
        return source

    @functools.cached_property
    def numbered_source(self) -> ImageSource:
        """All test images, whose numbers are those of --images."""
        if self._flags.evaluation_images is None or not is_own(self.evaluated_dataset):
            return self.test_source
        return self._load("test", self.evaluated_dataset)

    def some_test_images(self, count: int) -> ImageSource:
        """At least `count` test images, of which the first ones are to be taken: of own images those that a hash chooses.

        Args:
          count: Number of images, at most that of `test_source`.
        """
        if count == self.test_source.num_images or not is_own(self.evaluated_dataset):
            return self.test_source
        return self._load("test", self.evaluated_dataset, max_images=count)

    @functools.cached_property
    def preparation(self) -> Mapping[str, object] | None:
        """How own images are brought to the size of a model that was trained on others; None for all other images.

        Raises:
          ValueError: If they cannot be, or --image_size is another size than the model's.
        """
        if not self.is_elsewhere or not is_own(self.evaluated_dataset):
            return None
        height, width, _ = self.image_shape
        takes = f"The model of {self._workdir} takes images of {height}x{width} pixels"
        size, how = self._flags.image_size, self._flags.resize
        if size not in (None, height):
            raise ValueError(f"{takes}, not of {size}: remove --image_size, and give --resize=crop or --resize=fit.")
        stored = stored_image_shape(self.evaluated_dataset, self._flags.data_dir)[:2]
        fits = stored == (height, width)
        if how is None:
            how = "none" if fits else "crop"
        if height != width and not fits:
            raise ValueError(
                f"{takes}, which are no squares, and those of {self.evaluated_dataset} are not all of this size: crop or resize "
                "them yourself."
            )
        if how == "none" and not fits:
            raise ValueError(
                f"{takes}, and those of {self.evaluated_dataset} are not all of this size: give --resize=crop or --resize=fit."
            )
        share = self._flags.test_share or self._experiment.test_share
        return {"image_size": height, "resize": how, "test_share": share}

    def _check_fits(self, source):
        if list(source.image_shape) != self.image_shape:
            raise ValueError(
                f"The model of {self._workdir} takes images of shape {self.image_shape}, and those of {source.name} have "
                f"{list(source.image_shape)}: crop, resize or convert them, or choose another --dataset."
            )
        names = source.class_names
        if self._experiment.conditional and names and self.class_names and names != self.class_names[: len(names)]:
            raise ValueError(
                f"The model of {self._workdir} knows the classes {', '.join(self.class_names)} by their numbers, and those of "
                f"{source.name} are {', '.join(names)}: they must be the same, in the same order."
            )
        if self._experiment.conditional and source.num_classes > self.num_classes:
            raise ValueError(
                f"The model of {self._workdir} knows {self.num_classes} classes, and {source.name} has {source.num_classes}."
            )

    def load(self, split: str, dataset: str | None = None, **kwargs: Any) -> ImageSource:
        """Returns a split of a data set, by default the experiment's; see `tfflows.data.load_dataset`.

        Of own images it says what was read.
        """
        source = self._load(split, dataset, **kwargs)
        if is_own(source.name):
            self._report(source, kwargs)
        return source

    def _load(self, split, dataset=None, **kwargs):
        dataset = dataset or self._experiment.dataset
        own, elsewhere = is_own(dataset), dataset != self._experiment.dataset
        size, how, share = self._experiment.image_size, self._experiment.resize, self._experiment.test_share
        if elsewhere:
            size = self.image_shape[0]
        if elsewhere and own:
            how, share = self.preparation["resize"], self.preparation["test_share"]
        try:
            source = load_dataset(
                dataset,
                split,
                data_dir=self._flags.data_dir,
                image_size=None if own and how == "none" else size,
                attributes_file=self._flags.attributes,
                resize=how,
                test_share=share,
                strict=self._flags.strict,
                in_order=not (elsewhere or self.hashes_subsets),
                **kwargs,
            )
        except ValueError as error:
            if elsewhere:
                sides = "x".join(map(str, self.image_shape[:2]))
                raise ValueError(
                    f"{error} The model of {self._workdir} takes images of {sides} pixels, and no others."
                ) from error
            if own and how != "none" and not self._sets_image_size:
                raise ValueError(f"{error} {self._by_default}.") from error
            raise
        if elsewhere and source.image_shape[-1] == 1 and self.image_shape[-1] == 3:
            source = in_color(source)
        height, width, _ = source.image_shape
        if own and how == "none" and self._sets_image_size and (height, width) != (size, size):
            raise ValueError(
                f"The image size {size} that is asked for does not fit the images of {source.name}, which have {height}x{width} "
                "pixels and are taken as they are; remove it, or give --resize=crop."
            )
        # Without --dataset, a workdir has said which images and at which size.
        if own and how != "none" and not (elsewhere or self._sets_image_size or self._flags.dataset is None):
            source.notes += (self._by_default,)
        return source

    def _report(self, source, asked):
        """Says what was read of own images, and keeps it for the workdir.

        Args:
          source: The split.
          asked: Arguments of `load_dataset` that chose among its images.
        """
        if source.split not in self.read:
            logging.log(logging.WARNING if source.skipped else logging.INFO, "%s.", source.report())
        self.read[source.split] = {
            "data set": source.name,
            "images": source.num_images,
            "shape": list(source.image_shape),
            "chosen": {name: value for name, value in asked.items() if value},
            "skipped": list(source.skipped),
            "notes": list(source.notes),
            "fingerprint": source_fingerprint(source),
            "files": list(source.files),
        }

    @property
    def _by_default(self):
        return f"{self._experiment.image_size} is the size by default: --image_size=N chooses another"

    @property
    def _sets_image_size(self):
        return self._flags.image_size is not None or "image_size" in assigned_fields(self._flags.set)

    @functools.cached_property
    def image_shape(self) -> list[int]:
        """Shape `[H, W, C]` of the images; the data set is opened only if its description does not give the shape."""
        if self.is_elsewhere:
            return list(self._trained_as.image_shape)
        spec = dataset_spec(self._experiment.dataset)
        if spec.image_shape is None:  # a folder: only the files know
            return list(self.test_source.image_shape)
        return [self._experiment.image_size, self._experiment.image_size, spec.num_channels]

    @functools.cached_property
    def _trained_as(self) -> ModelDescription:
        """What the model of the workdir takes."""
        stored = read_experiment(self._workdir)
        described = read_description(self._workdir) or describe_from_experiment(stored, self._flags.data_dir)
        if described is None:
            raise ValueError(
                f"Nothing in {self._workdir} says the shape of its images, and those of {stored['dataset']!r} cannot be read: "
                "put them back where they were, or evaluate on them once with this version."
            )
        return described

    @functools.cached_property
    def num_classes(self) -> int:
        """Number of classes of the data set, 0 if it has no labels."""
        if self.is_elsewhere:
            return self._trained_as.num_classes
        spec = dataset_spec(self._experiment.dataset)
        return self.test_source.num_classes if spec.image_shape is None else spec.num_classes

    @functools.cached_property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes in the order of their numbers; empty if they have none."""
        if self.is_elsewhere:
            return tuple(self._trained_as.class_names)
        spec = dataset_spec(self._experiment.dataset)
        return tuple(self.test_source.class_names if spec.image_shape is None else spec.class_names)

    def class_number(self, label: str) -> int:
        """Returns the number of the class of --label, which may be a name.

        Raises:
          ValueError: If there is no such class.
        """
        if label in self.class_names:
            return self.class_names.index(label)
        if label.isdecimal() and int(label) < self.num_classes:
            return int(label)
        named = f", or a name: {', '.join(self.class_names)}" if 0 < len(self.class_names) <= 20 else ""
        raise ValueError(f"--label must be 0 to {self.num_classes - 1}{named}; got {label!r}.")

    @property
    def model_description(self) -> ModelDescription:
        """What the model takes and gives."""
        return ModelDescription(tuple(self.image_shape), self.num_classes, self.class_names, self._experiment.num_bits)
