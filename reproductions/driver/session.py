"""A model with its data, devices and workdir: the starting point of every mode."""

import contextlib
import dataclasses
import functools
import hashlib
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
from absl import logging

from reproductions.driver.flags import FIELD_FLAGS, LOCAL_FLAGS, flag_names
from reproductions.driver.own_images import (
    HASHED_SUBSETS,
    changes_of_images,
    describe,
    hashes_subsets,
    read_report,
    report_elsewhere,
    write_report,
)
from reproductions.driver.selection import overrides, select_run
from reproductions.driver.stages import SHARES_STEPS, describe_stages, with_steps_of_stages
from reproductions.experiment import Reproduction, read_rate_factors
from reproductions.fields import as_of_today, free_fields
from tfflows.choices import AUTO
from tfflows.data import (
    ImageSource,
    canonical_name,
    dataset_spec,
    in_color,
    is_own,
    load_dataset,
    stored_image_shape,
)
from tfflows.devices.agreement import check_workers_agree, gather_texts, source_fingerprint
from tfflows.devices.clusters import cluster_size
from tfflows.devices.cores import automatic_parts, available_cores, set_threads
from tfflows.devices.strategies import is_chief, make_strategy, num_workers, process_options
from tfflows.distributions.image_model import ImageModel
from tfflows.evaluation.latents import DEFAULT_BATCH_SIZE
from tfflows.models.description import ModelDescription, describe_from_experiment, read_description
from tfflows.tracing.variables import count_parameters, named_variables, short_variable_names
from tfflows.training.checkpoints import Checkpoints
from tfflows.training.moving_average import evaluated_names
from tfflows.training.workdir import (
    EXPERIMENT_FILE,
    SIDE_BY_SIDE,
    WorkdirError,
    described_workdir,
    prepare_workdir,
    read_experiment,
    stored_side_by_side,
)

# How long a network file system may take to show what another machine wrote.
_VISIBLE_SECONDS = 10

# The strategy of the cluster that this process belongs to. Stages share it: who joined again would disturb those that are behind.
_joined = {}


def _strategy_of(flags):
    key = flags.strategy, flags.cluster
    if key in _joined:
        return _joined[key]
    strategy = make_strategy(flags.strategy, flags.virtual_devices, flags.cluster)
    if num_workers(strategy) > 1:
        _joined[key] = strategy
    return strategy


class Session:
    """A model with its data, devices and workdir, as described by the flags. Each part is built on first use.

    Attributes:
      reproduction: The paper's reproduction.
      flags: Values of the flags.
      experiment: The experiment of the stage.
      overrides: Fields that the flags changed, `{field: value}`.
      seed: Seed of the run.
      evaluated_dataset: Data set whose test images are evaluated: that of the experiment, or another one.
      stage: Name of the stage.
      earlier_stages: Names of the stages before the last one.
      side_by_side: Number of parts of a batch that are computed side by side.
      strategy: Distribution strategy.
      chief: Whether this worker writes files.
      workdir: Directory for checkpoints, logs and results.
    """

    def __init__(self, reproduction: Reproduction, flags: Any, stage: str | None = None) -> None:
        """Creates a session.

        Args:
          reproduction: The paper's reproduction.
          flags: Values of the flags.
          stage: Name of the stage; None for the last one.
        """
        self.reproduction = reproduction
        self.flags = flags
        self.seed, self._init_from = flags.seed, flags.init_from
        self._read = {}
        selected, base, self.evaluated_dataset, stored = select_run(reproduction, flags)
        if stored is not None:
            self.seed, self._init_from = stored["seed"], stored["init_from"]
            self._shares_steps = False
        else:
            selected, self._shares_steps = with_steps_of_stages(reproduction, flags, selected, base)
        self.overrides = overrides(reproduction, selected)
        self._stages = reproduction.stages(selected)
        *self.earlier_stages, last = self._stages
        self.stage = stage or last
        workdirs = [base, *(base / name for name in self.earlier_stages)]
        self._hashes_subsets = hashes_subsets(selected.dataset, workdirs)
        self.experiment = self._stages[self.stage]
        if stored is None and self.stage == next(iter(self._stages)):
            self._say_what_runs()
            if flags.mode == "train" and flags.stage == "all" and self.earlier_stages:
                logging.info(describe_stages(self._stages))
        self.workdir = base if self.stage == last else base / self.stage
        self.side_by_side = self._choose_parts() if flags.side_by_side == AUTO else flags.side_by_side
        process_options(tf32=self.experiment.tf32, side_by_side=self.side_by_side)
        self.strategy = _strategy_of(flags)
        self.chief = is_chief(self.strategy)

    def _choose_parts(self):
        """The number of parts for --side_by_side=auto; that of before if a run goes on, so that it ends with the same figures."""
        flags, experiment = self.flags, self.experiment
        if flags.jit or tf.config.list_physical_devices("GPU"):
            return 1
        num_images = DEFAULT_BATCH_SIZE
        if flags.mode == "train":
            begun_with = stored_side_by_side(self.workdir)
            if begun_with is not None:
                return begun_with
            if any(map(self.reproduction.has_loss_of_batch, self._stages.values())):
                return 1
            num_images = experiment.batch_size // flags.accumulate
        elif flags.mode == "evaluate":
            num_images = experiment.evaluation_batch_size
        elif flags.mode == "sample":
            num_images = min(num_images, flags.samples)
        replicas = flags.virtual_devices or max(1, cluster_size(flags.cluster))
        cores = available_cores(flags.cluster) // max(1, flags.virtual_devices)
        parts = automatic_parts(num_images // replicas, max(1, cores))
        # Where TensorFlow has started already, such as in tests or for an earlier stage, it keeps its threads.
        return parts if parts > 1 and set_threads(parts) else 1

    def _say_what_runs(self):
        """Says which experiment was chosen by the size of the images and how it was fitted; warns of another data set."""
        # The last stage is the experiment itself; the others have names of their own.
        chosen = self._stages[next(reversed(self._stages))]
        own, name = self.reproduction.named_experiment(chosen.name), chosen.dataset
        if name != canonical_name(own.dataset, self.flags.data_dir):
            logging.warning("Experiment %s is on %s; running it on %s.", own.name, own.dataset, name)
        if self.flags.experiment is None and name != own.dataset:
            logging.info(
                "Of the paper's experiments it is the one nearest in size, for images of %dx%d. --experiment chooses another.",
                *[own.image_size] * 2,
            )
        asked = {"dataset", "resize", *self._assigned, *self.reproduction.steps_of_stages.values()}
        asked |= {field for flag, (field, _) in FIELD_FLAGS.items() if getattr(self.flags, flag) is not None} - {
            "image_size"
        }
        fitted = [f"{field}={value}" for field, value in self.overrides.items() if field not in asked]
        if fitted:
            logging.info("Fitted to the size of the images: %s.", "; ".join(fitted))

    @property
    def _assigned(self):
        """Names of the fields given by --set."""
        return [assignment.partition("=")[0].strip() for assignment in self.flags.set]

    def check_workdir(self) -> None:
        """Checks that the workdir holds this run or none, and no more steps than it asks for; changes nothing.

        Raises:
          WorkdirError: If the workdir belongs to a different experiment, or an earlier stage was trained with other settings.
          ValueError: If more steps are done than the experiment has.
        """
        prepare_workdir(self.workdir, **self._description(), create=False)
        steps, wanted = self.saved_steps(), self.experiment.num_steps
        if steps and steps[-1] > wanted:
            more = f"--steps={steps[-1]} or more"
            if self._shares_steps and self.flags.stage == "all":
                more = "more --steps, which all stages share"
            raise ValueError(
                f"The run in {self.workdir} is at step {steps[-1]}, beyond the {wanted} asked for. Give {more}, or another "
                "--workdir."
            )
        self._check_rates(steps[-1] if steps else 0)
        self._check_images_are_those_of_before()
        self._warn_of_changed_images()
        for stage in self._earlier_experiments():
            self.check_stage(stage, self.workdir / stage)

    def _check_images_are_those_of_before(self):
        """Raises WorkdirError if own images have another shape than `model.json` says, or a conditional model's other classes."""
        before = read_description(self.workdir)
        if before is None or self.is_elsewhere or not is_own(self.experiment.dataset):
            return
        now = self.model_description
        if tuple(now.image_shape) != tuple(before.image_shape):
            raise WorkdirError(
                f"The model in {self.workdir} takes images of shape {tuple(before.image_shape)}, and {self.experiment.dataset} "
                f"now has images of {tuple(now.image_shape)}. Put the images back, or give another directory."
            )
        if self.experiment.conditional and tuple(now.class_names) != tuple(before.class_names):
            raise WorkdirError(
                f"The model in {self.workdir} was trained on the classes {', '.join(before.class_names) or 'none'}, and "
                f"{self.experiment.dataset} now has {', '.join(now.class_names) or 'none'}. Name the class folders as they were, "
                "or give another directory."
            )

    def _warn_of_changed_images(self):
        """Says how own images differ from those at the last start of the run."""
        changes = changes_of_images(read_report(self.workdir), {} if self.is_elsewhere else self._read)
        if changes:
            logging.warning(
                "%s has changed since the run in %s was last started: %s.",
                self.experiment.dataset,
                self.workdir,
                changes,
            )

    def _check_rates(self, step):
        """Raises ValueError if the learning rate of a step that is done differs from that of the workdir."""
        stored = ""
        if (self.workdir / EXPERIMENT_FILE).exists():
            stored = read_experiment(self.workdir).get("rate_factors", "")
        now = self.experiment.rate_factors
        there, here = ([pair for pair in read_rate_factors(text) if pair[0] < step] for text in (stored, now))
        if there != here:
            raise ValueError(
                f"The run in {self.workdir} is at step {step}, and its learning rate until then cannot change: rate_factors is "
                f"{stored!r} there, {now!r} now. Keep the pairs of steps below {step}, and add or change later ones."
            )

    @contextlib.contextmanager
    def described(self) -> Iterator[None]:
        """A context in which the workdir holds `experiment.json` and `model.json`; see `described_workdir`."""
        with described_workdir(self.workdir, **self._description()):
            if self.chief and read_description(self.workdir) is None:
                self.model_description.write(self.workdir)
            self._write_report()
            yield
            self._write_report()  # the test images may be read at the end

    def _write_report(self):
        if self.chief and self._read:
            write_report(self.workdir, self._read)

    def write_report_elsewhere(self) -> None:
        """Keeps in the workdir what was read of other own images than the model's; does nothing for the model's."""
        if self.chief and self.is_elsewhere and self._read:
            write_report(self.workdir, self._read, report_elsewhere(self.evaluated_dataset, self.preparation))

    @property
    def model_description(self) -> ModelDescription:
        """What the model takes and gives."""
        return ModelDescription(tuple(self.image_shape), self.num_classes, self.class_names, self.experiment.num_bits)

    def _description(self):
        kind = type(self.experiment)
        # With a cool-down the schedule depends on the length of the run.
        free = set(free_fields(kind)) - ({"num_steps"} if self.experiment.cooldown_steps else set())
        free |= {SHARES_STEPS, SIDE_BY_SIDE}
        return {
            "experiment": self._described_as(self.experiment),
            "free_fields": free,
            "chief": self.chief,
            "upgrade": functools.partial(self._upgraded, kind),
        }

    def _upgraded(self, kind, stored):
        content = as_of_today(kind, stored)
        # A folder may be stored by another path; what is no name of a data set will be found to differ.
        with contextlib.suppress(KeyError, ValueError, TypeError, AttributeError):
            content["dataset"] = canonical_name(content["dataset"], self.flags.data_dir)
        return content

    def _described_as(self, experiment):
        return {
            "paper": self.reproduction.paper,
            "seed": self.seed,
            **dataclasses.asdict(experiment),
            "init_from": self._init_from,
            **({"init_raw": True} if self.flags.init_raw else {}),
            **({SHARES_STEPS: True} if self._shares_steps else {}),
            **({HASHED_SUBSETS: True} if self._hashes_subsets else {}),
            **({SIDE_BY_SIDE: self.side_by_side} if self.side_by_side > 1 and self.flags.mode == "train" else {}),
        }

    def _earlier_experiments(self):
        """`{stage: experiment}` of the stages from which this one begins."""
        if self.stage in self.earlier_stages:
            return {}
        return {stage: self._stages[stage] for stage in self.earlier_stages}

    def check_stage(self, stage: str, workdir: pathlib.Path) -> None:
        """Checks the settings of the directory of an earlier stage, except for those on which its training does not depend.

        Args:
          stage: Name of the stage.
          workdir: Its directory; nothing is checked if it holds no run.

        Raises:
          WorkdirError: If it was trained with other settings.
        """
        experiment = self._stages[stage]
        kind = type(experiment)
        free = {
            *free_fields(kind),
            *self.reproduction.unused_by_stages.get(stage, ()),
            "init_from",
            SHARES_STEPS,
            SIDE_BY_SIDE,
        }
        prepare_workdir(
            workdir,
            self._described_as(experiment),
            free,
            upgrade=functools.partial(self._upgraded, kind),
            create=False,
        )

    def saved_steps(self) -> list[int]:
        """Returns the steps that have a checkpoint in the workdir, ascending."""
        return Checkpoints(self.workdir / "checkpoints", {}).steps

    def check_workers(self, sources: Callable[[], Sequence[ImageSource]]) -> None:
        """Compares flags, experiment, images and checkpoints with those of all other workers, if there are any.

        Args:
          sources: Gives the splits that are used.

        Raises:
          WorkersDisagree: If something differs; the message names it.
        """
        if num_workers(self.strategy) == 1:
            return
        fields = {*FIELD_FLAGS, "set", "seed", "init_from"}  # the experiment says them
        own = {f"--{name}": getattr(self.flags, name) for name in flag_names() if name not in {*LOCAL_FLAGS, *fields}}
        own |= {"stage": self.stage, **self._described_as(self.experiment)}
        own |= {f"the images of {source.split}": source_fingerprint(source) for source in sources()}
        check_workers_agree(self.strategy, own)
        self._check_shared("the list of checkpoints", Checkpoints(self.workdir / "checkpoints", {}).fingerprints())

    def check_workdir_is_shared(self) -> None:
        """Checks that all workers see the workdir that the chief has described; does nothing without a cluster.

        Raises:
          WorkersDisagree: If they do not.
        """
        if num_workers(self.strategy) == 1:
            return
        gather_texts(self.strategy, "")  # from here on the chief has written it
        file = self.workdir / EXPERIMENT_FILE
        deadline = time.monotonic() + _VISIBLE_SECONDS
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        self._check_shared(
            EXPERIMENT_FILE, hashlib.sha256(file.read_bytes()).hexdigest()[:12] if file.exists() else "missing"
        )

    def _check_shared(self, what, value):
        shared = f"All workers must share the working directory, {self.workdir}: put it on a file system that all of them see."
        check_workers_agree(self.strategy, {what: value}, shared)

    @property
    def is_elsewhere(self) -> bool:
        """Whether the test images are those of another data set than the model's."""
        return self.evaluated_dataset != self.experiment.dataset

    @functools.cached_property
    def train_source(self) -> ImageSource:
        """Training images."""
        return self.load(
            "train", max_images=self.experiment.train_images or None, holdout=self.experiment.holdout or None
        )

    @functools.cached_property
    def validation_source(self) -> ImageSource:
        """Images evaluated during training: the held-out training images, or the test images if none are held out."""
        if not self.experiment.holdout or self.is_elsewhere:
            return self.test_source
        return self.load("holdout", holdout=self.experiment.holdout)

    @functools.cached_property
    def test_source(self) -> ImageSource:
        """Test images; only some of them if --evaluation_images is given: the first ones, or of own images what a hash chooses.

        Raises:
          ValueError: If there are fewer test images than --evaluation_images asks for, or those of another data set than the
            model's do not fit it.
        """
        wanted = self.flags.evaluation_images
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
        if self.flags.evaluation_images is None or not is_own(self.evaluated_dataset):
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
        takes = f"The model of {self.workdir} takes images of {height}x{width} pixels"
        size, how = self.flags.image_size, self.flags.resize
        if size not in (None, height):
            raise ValueError(f"{takes}, not of {size}: remove --image_size, and give --resize=crop or --resize=fit.")
        stored = stored_image_shape(self.evaluated_dataset, self.flags.data_dir)[:2]
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
        share = self.flags.test_share or self.experiment.test_share
        return {"image_size": height, "resize": how, "test_share": share}

    def _check_fits(self, source):
        if list(source.image_shape) != self.image_shape:
            raise ValueError(
                f"The model of {self.workdir} takes images of shape {self.image_shape}, and those of {source.name} have "
                f"{list(source.image_shape)}: crop, resize or convert them, or choose another --dataset."
            )
        names = source.class_names
        if self.experiment.conditional and names and self.class_names and names != self.class_names[: len(names)]:
            raise ValueError(
                f"The model of {self.workdir} knows the classes {', '.join(self.class_names)} by their numbers, and those of "
                f"{source.name} are {', '.join(names)}: they must be the same, in the same order."
            )
        if self.experiment.conditional and source.num_classes > self.num_classes:
            raise ValueError(
                f"The model of {self.workdir} knows {self.num_classes} classes, and {source.name} has {source.num_classes}."
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
        dataset = dataset or self.experiment.dataset
        own, elsewhere = is_own(dataset), dataset != self.experiment.dataset
        size, how, share = self.experiment.image_size, self.experiment.resize, self.experiment.test_share
        if elsewhere:
            size = self.image_shape[0]
        if elsewhere and own:
            how, share = self.preparation["resize"], self.preparation["test_share"]
        try:
            source = load_dataset(
                dataset,
                split,
                data_dir=self.flags.data_dir,
                image_size=None if own and how == "none" else size,
                attributes_file=self.flags.attributes,
                resize=how,
                test_share=share,
                strict=self.flags.strict,
                in_order=not (elsewhere or self._hashes_subsets),
                **kwargs,
            )
        except ValueError as error:
            if elsewhere:
                sides = "x".join(map(str, self.image_shape[:2]))
                raise ValueError(
                    f"{error} The model of {self.workdir} takes images of {sides} pixels, and no others."
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
        if own and how != "none" and not (elsewhere or self._sets_image_size):
            source.notes += (self._by_default,)
        return source

    def _report(self, source, asked):
        """Says what was read of own images, and keeps it for the workdir."""
        if source.split not in self._read:
            logging.log(logging.WARNING if source.skipped else logging.INFO, "%s.", source.report())
        self._read[source.split] = describe(source, **asked)

    @property
    def _by_default(self):
        return f"{self.experiment.image_size} is the size by default: --image_size=N chooses another"

    @property
    def _sets_image_size(self):
        return self.flags.image_size is not None or "image_size" in self._assigned

    @functools.cached_property
    def image_shape(self) -> list[int]:
        """Shape `[H, W, C]` of the images; the data set is opened only if its description does not give the shape."""
        if self.is_elsewhere:
            return list(self._trained_as.image_shape)
        spec = dataset_spec(self.experiment.dataset)
        if spec.image_shape is None:  # a folder: only the files know
            return list(self.test_source.image_shape)
        return [self.experiment.image_size, self.experiment.image_size, spec.num_channels]

    @functools.cached_property
    def _trained_as(self) -> ModelDescription:
        """What the model of the workdir takes."""
        stored = read_experiment(self.workdir)
        described = read_description(self.workdir) or describe_from_experiment(stored, self.flags.data_dir)
        if described is None:
            raise ValueError(
                f"Nothing in {self.workdir} says the shape of its images, and those of {stored['dataset']!r} cannot be read: put "
                "them back where they were, or evaluate on them once with this version."
            )
        return described

    @functools.cached_property
    def num_classes(self) -> int:
        """Number of classes of the data set, 0 if it has no labels."""
        if self.is_elsewhere:
            return self._trained_as.num_classes
        spec = dataset_spec(self.experiment.dataset)
        return self.test_source.num_classes if spec.image_shape is None else spec.num_classes

    @functools.cached_property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes in the order of their numbers; empty if they have none."""
        if self.is_elsewhere:
            return tuple(self._trained_as.class_names)
        spec = dataset_spec(self.experiment.dataset)
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

    @functools.cached_property
    def model(self) -> ImageModel:
        """The model, with initial parameters drawn from the seed.

        Raises:
          ValueError: If the experiment is conditional and the data set has no labels.
        """
        if self.experiment.conditional and not self.num_classes:
            raise ValueError(
                f"The experiment {self.experiment.name!r} is conditional, but the data set {self.experiment.dataset!r} has "
                "no labels; choose one with labels."
            )
        with self.strategy.scope(), short_variable_names():
            model = self.reproduction.build_model(self.experiment, self.image_shape, self.num_classes, self.seed)
        logging.info("%s: %s parameters.", self.experiment.name, f"{count_parameters(model):,}")
        return model

    @functools.cached_property
    def model_variables(self) -> dict[str, tf.Variable]:
        """Variables of the model, `{model/...: variable}`."""
        return {f"model/{name}": variable for name, variable in named_variables(self.model).items()}

    def load_initial_weights(self) -> None:
        """Gives the model of a fresh run the weights of --init_from, or those of earlier stages if there are any."""
        if self.flags.init_from:
            self._load_init_from()
        else:
            self.take_over_earlier_stages()

    def _load_init_from(self):
        """Gives the model the weights of --init_from: those of a run, or of a file under the authors' names."""
        from tfflows.models.loading import find_run, load_run  # only such a run needs all of a model in hand

        path = pathlib.Path(self.flags.init_from)
        if find_run(path) is None:
            if self.flags.init_raw:
                raise ValueError(f"--init_raw is for the weights of a run, and {path} is not the directory of one.")
            self.reproduction.load_weights(self.model, self.flags.init_from)
            return
        if self.stage in self.earlier_stages and (path / self.stage / EXPERIMENT_FILE).exists():
            path = path / self.stage
        step = load_run(self.model, path, raw=self.flags.init_raw)
        logging.info("Begins with the weights of step %d of %s.", step, path)

    def take_over_earlier_stages(self) -> None:
        """Gives the model of the last stage the weights of earlier stages, or their moving averages if there are any.

        Raises:
          FileNotFoundError: If an earlier stage was not trained.
          ValueError: If it was not trained to its end, or beyond it.
        """
        for stage, experiment in self._earlier_experiments().items():
            part = self.reproduction.parts_of_stages(self.model)[stage]
            named = {f"model/{name}": variable for name, variable in part.items()}
            if self.experiment.ema_decay:
                named = evaluated_names(named)
            checkpoints = Checkpoints(self.workdir / stage / "checkpoints", named, chief=self.chief)
            step = checkpoints.restore_latest(partial=True)
            if step is None:
                raise FileNotFoundError(
                    f"No checkpoint of the stage {stage!r} in {self.workdir / stage}. Train it first with --stage={stage} or "
                    "--stage=all, or train everything at once with --set pretraining_steps=0."
                )
            if step != experiment.num_steps:
                raise ValueError(
                    f"The stage {stage!r} is at step {step} of {experiment.num_steps}. Train it to its end with --stage={stage}, "
                    f"or give --set pretraining_steps={step} for both stages."
                )
            logging.info("Loaded step %d of the stage %s.", step, stage)

    @property
    def evaluated_variables(self) -> dict[str, tf.Variable]:
        """`{name in a checkpoint: variable of the model}` for evaluation, which uses the moving averages if there are any."""
        return evaluated_names(self.model_variables) if self.experiment.ema_decay else self.model_variables

    @functools.cached_property
    def schedule(self) -> keras.optimizers.schedules.LearningRateSchedule:
        """The learning rate as a function of the step."""
        return self.reproduction.schedule_of(self.experiment)

    def restore(self) -> int:
        """Loads `evaluated_variables` from the checkpoint selected by --select, or weights from --init_from.

        Returns:
          The training step of the checkpoint, 0 for --init_from.

        Raises:
          FileNotFoundError: If there is none; the workdir is then not created.
          WorkdirError: If the workdir belongs to a different experiment.
        """
        self.check_workdir()
        checkpoints = Checkpoints(self.workdir / "checkpoints", self.evaluated_variables, chief=self.chief)
        best = self.flags.select == "best_test"
        step = checkpoints.restore_best(partial=True) if best else checkpoints.restore_latest(partial=True)
        if step is not None:
            logging.info("Restored step %d from %s.", step, self.workdir)
            return step
        if self.flags.init_from:
            self._load_init_from()
            prepare_workdir(self.workdir, **self._description())
            return 0
        raise FileNotFoundError(
            f"No {'best ' if best else ''}checkpoint in {self.workdir}. Train first (the same command with --mode=train"
            f"{' --select=best_test and --set evaluate_every=N' if best else ''}), or give --workdir or --init_from."
        )
