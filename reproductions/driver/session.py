"""A model with its data, devices and workdir: the starting point of every mode."""

import contextlib
import dataclasses
import functools
import pathlib
from typing import Any

import keras
import tensorflow as tf
from absl import logging

from reproductions.driver.flags import FIELD_FLAGS
from reproductions.experiment import Experiment, Reproduction
from reproductions.fields import as_of_today, free_fields, override, text_of, watching_fields
from tfflows.data import ImageSource, canonical_name, dataset_spec, load_dataset
from tfflows.devices.strategies import is_chief, make_strategy, process_options
from tfflows.distributions.image_model import ImageModel
from tfflows.tracing.variables import count_parameters, named_variables, short_variable_names
from tfflows.training.checkpoints import Checkpoints
from tfflows.training.moving_average import average_name
from tfflows.training.schedules import warmup_constant_cooldown
from tfflows.training.workdir import prepare_workdir


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
        experiment = reproduction.default_experiment(flags.dataset, flags.variant)
    else:
        raise ValueError("Give --dataset or --experiment; --list shows all experiments.")
    if flags.scale == "small" and experiment.scale == "paper":
        experiment = reproduction.small(experiment)
    if flags.dataset is not None and flags.dataset != experiment.dataset:
        experiment = _on_other_data(experiment, flags.dataset)
    changes = {field: getattr(flags, flag) for flag, (field, _) in FIELD_FLAGS.items()}
    experiment = dataclasses.replace(experiment, **{k: v for k, v in changes.items() if v is not None})
    experiment = override(experiment, flags.set)
    return dataclasses.replace(experiment, dataset=canonical_name(experiment.dataset, flags.data_dir))


def overrides(reproduction: Reproduction, flags: Any, chosen: Experiment) -> dict[str, Any]:
    """Returns `{field: value}` of the fields that the flags changed, relative to the experiment at the requested scale.

    Fields that do not change the result are left out. Sequences are given as text, as `--set` takes them.

    Args:
      reproduction: The paper's reproduction.
      flags: Values of the flags.
      chosen: The experiment from `select_experiment`.
    """
    base = reproduction.named_experiment(chosen.name)
    if flags.scale == "small" and base.scale == "paper":
        base = reproduction.small(base)
    watching = watching_fields(type(chosen))
    return {
        field.name: text_of(getattr(chosen, field.name))
        for field in dataclasses.fields(chosen)
        if field.name not in watching and getattr(chosen, field.name) != getattr(base, field.name)
    }


def _on_other_data(experiment, dataset):
    spec = dataset_spec(dataset)
    image_size = spec.image_size or experiment.image_size
    logging.warning("Experiment %s is on %s; running it on %s.", experiment.name, experiment.dataset, dataset)
    return dataclasses.replace(experiment, dataset=dataset, image_size=image_size)


class Session:
    """A model with its data, devices and workdir, as described by the flags. Each part is built on first use.

    Attributes:
      reproduction: The paper's reproduction.
      flags: Values of the flags.
      experiment: The experiment of the stage.
      overrides: Fields that the flags changed, `{field: value}`.
      stage: Name of the stage.
      earlier_stages: Names of the stages before the last one.
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
        selected = select_experiment(reproduction, flags)
        self.overrides = overrides(reproduction, flags, selected)
        stages = reproduction.stages(selected)
        *self.earlier_stages, last = stages
        self.stage = stage or last
        self.experiment = stages[self.stage]
        process_options(tf32=self.experiment.tf32, side_by_side=flags.side_by_side)
        self.strategy = make_strategy(flags.strategy, flags.virtual_devices)
        self.chief = is_chief(self.strategy)
        name = f"{selected.name}-{selected.scale}-seed{flags.seed}"
        base = pathlib.Path(flags.workdir or pathlib.Path("workdirs") / reproduction.paper / name)
        self.workdir = base if self.stage == last else base / self.stage

    def prepare_workdir(self, create: bool = True) -> None:
        """Writes `experiment.json` to the workdir, or checks the one that is there.

        Args:
          create: Whether to write it; False only checks.

        Raises:
          WorkdirError: If the workdir belongs to a different experiment.
        """
        described = {"paper": self.reproduction.paper, "seed": self.flags.seed, **dataclasses.asdict(self.experiment)}
        described["init_from"] = self.flags.init_from
        kind = type(self.experiment)

        def upgrade(stored):
            content = as_of_today(kind, stored)
            # A folder may be stored by another path; what is no name of a data set will be found to differ.
            with contextlib.suppress(KeyError, ValueError, TypeError, AttributeError):
                content["dataset"] = canonical_name(content["dataset"], self.flags.data_dir)
            return content

        # With a cool-down the schedule depends on the length of the run.
        free = set(free_fields(kind)) - ({"num_steps"} if self.experiment.cooldown_steps else set())
        prepare_workdir(self.workdir, described, free, chief=self.chief, upgrade=upgrade, create=create)

    @functools.cached_property
    def train_source(self) -> ImageSource:
        """Training images."""
        return self.load(
            "train", max_images=self.experiment.train_images or None, holdout=self.experiment.holdout or None
        )

    @functools.cached_property
    def validation_source(self) -> ImageSource:
        """Images evaluated during training: the held-out training images, or the test images if none are held out."""
        if not self.experiment.holdout:
            return self.test_source
        return self.load("holdout", holdout=self.experiment.holdout)

    @functools.cached_property
    def test_source(self) -> ImageSource:
        """Test images; only the first ones if --evaluation_images is given.

        Raises:
          ValueError: If there are fewer test images than --evaluation_images asks for.
        """
        wanted = self.flags.evaluation_images
        source = self.load("test", max_images=wanted)
        if wanted is not None and source.num_images < wanted:
            raise ValueError(
                f"--evaluation_images={wanted} is more than the {source.num_images} test images of {source.name}; give at "
                "most that number, or remove the flag."
            )
        return source

    def load(self, split: str, **kwargs: Any) -> ImageSource:
        """Returns a split of the experiment's data set; see `tfflows.data.load_dataset`."""
        files_decide = dataset_spec(self.experiment.dataset).image_size is None
        size = self.experiment.image_size
        source = load_dataset(
            self.experiment.dataset,
            split,
            data_dir=self.flags.data_dir,
            image_size=None if files_decide else size,
            attributes_file=self.flags.attributes,
            **kwargs,
        )
        height, width, _ = source.image_shape
        if files_decide and self._sets_image_size and (height, width) != (size, size):
            raise ValueError(
                f"--set image_size={size} does not fit the images of {source.name}, which have {height}x{width} pixels and are "
                "taken as they are; remove it, or resize the images."
            )
        return source

    @property
    def _sets_image_size(self):
        return any(assignment.partition("=")[0].strip() == "image_size" for assignment in self.flags.set)

    @functools.cached_property
    def image_shape(self) -> list[int]:
        """Shape `[H, W, C]` of the images; the data set is opened only if its description does not give the shape."""
        spec = dataset_spec(self.experiment.dataset)
        if spec.image_shape is None:  # a folder: only the files know
            return list(self.test_source.image_shape)
        return [self.experiment.image_size, self.experiment.image_size, spec.num_channels]

    @functools.cached_property
    def num_classes(self) -> int:
        """Number of classes of the data set, 0 if it has no labels."""
        spec = dataset_spec(self.experiment.dataset)
        return self.test_source.num_classes if spec.image_shape is None else spec.num_classes

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
            model = self.reproduction.build_model(self.experiment, self.image_shape, self.num_classes, self.flags.seed)
        logging.info("%s: %s parameters.", self.experiment.name, f"{count_parameters(model):,}")
        return model

    @functools.cached_property
    def model_variables(self) -> dict[str, tf.Variable]:
        """Variables of the model, `{model/...: variable}`."""
        return {f"model/{name}": variable for name, variable in named_variables(self.model).items()}

    def has_result(self) -> bool:
        """Whether a finished run left its record in the workdir."""
        return any((self.workdir / "results").rglob("*.json"))

    def load_initial_weights(self) -> None:
        """Gives the model of a fresh run the weights of --init_from, or those of earlier stages if there are any."""
        if self.flags.init_from:
            self.reproduction.load_weights(self.model, self.flags.init_from)
        else:
            self.take_over_earlier_stages()

    def take_over_earlier_stages(self) -> None:
        """Gives the model of the last stage the weights of earlier stages, or their moving averages if there are any.

        Raises:
          FileNotFoundError: If an earlier stage was not trained.
        """
        for stage in self.earlier_stages if self.stage not in self.earlier_stages else ():
            part = self.reproduction.parts_of_stages(self.model)[stage]
            named = {f"model/{name}": variable for name, variable in part.items()}
            if self.experiment.ema_decay:
                named = {
                    average_name(name) if variable.trainable else name: variable for name, variable in named.items()
                }
            checkpoints = Checkpoints(self.workdir / stage / "checkpoints", named, chief=self.chief)
            step = checkpoints.restore_latest(partial=True)
            if step is None:
                raise FileNotFoundError(
                    f"No checkpoint of the stage {stage!r} in {self.workdir / stage}. Train it first with --stage={stage} or "
                    "--stage=all, or train everything at once with --set pretraining_steps=0."
                )
            logging.info("Loaded step %d of the stage %s.", step, stage)

    @property
    def trained_variables(self) -> dict[str, tf.Variable]:
        """The trainable ones among `model_variables`."""
        return {name: variable for name, variable in self.model_variables.items() if variable.trainable}

    @property
    def evaluated_variables(self) -> dict[str, tf.Variable]:
        """`{name in a checkpoint: variable of the model}` for evaluation, which uses the moving averages if there are any."""
        if not self.experiment.ema_decay:
            return self.model_variables
        trained = self.trained_variables
        return {
            average_name(name) if name in trained else name: variable for name, variable in self.model_variables.items()
        }

    @functools.cached_property
    def schedule(self) -> keras.optimizers.schedules.LearningRateSchedule:
        """The learning rate as a function of the step: the paper's schedule, or the common one with a cool-down."""
        experiment = self.experiment
        if experiment.cooldown_steps:
            return warmup_constant_cooldown(
                experiment.learning_rate, experiment.warmup_steps, experiment.cooldown_steps, experiment.num_steps
            )
        return self.reproduction.build_schedule(experiment)

    def restore(self) -> int:
        """Loads `evaluated_variables` from the checkpoint selected by --select, or weights from --init_from.

        Returns:
          The training step of the checkpoint, 0 for --init_from.

        Raises:
          FileNotFoundError: If there is none; the workdir is then not created.
          WorkdirError: If the workdir belongs to a different experiment.
        """
        self.prepare_workdir(create=False)
        checkpoints = Checkpoints(self.workdir / "checkpoints", self.evaluated_variables, chief=self.chief)
        best = self.flags.select == "best_test"
        step = checkpoints.restore_best(partial=True) if best else checkpoints.restore_latest(partial=True)
        if step is not None:
            logging.info("Restored step %d from %s.", step, self.workdir)
            return step
        if self.flags.init_from:
            self.reproduction.load_weights(self.model, self.flags.init_from)
            self.prepare_workdir()
            return 0
        raise FileNotFoundError(
            f"No {'best ' if best else ''}checkpoint in {self.workdir}. Train first (the same command with --mode=train"
            f"{' --select=best_test and --set evaluate_every=N' if best else ''}), or give --workdir or --init_from."
        )
