"""A model with its data, devices and workdir: the starting point of every mode."""

import functools
import pathlib
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
from absl import logging

from reproductions.driver.flags import FIELD_FLAGS
from reproductions.driver.run_data import RunData, hashes_subsets
from reproductions.driver.selection import overrides, select_run
from reproductions.driver.stages import describe_stages, with_steps_of_stages
from reproductions.experiment import Experiment, Reproduction
from reproductions.fields import assigned_fields
from tfflows.choices import AUTO
from tfflows.data import canonical_name, is_own
from tfflows.devices.clusters import cluster_size
from tfflows.devices.cores import automatic_parts, available_cores, set_threads
from tfflows.devices.strategies import is_chief, make_strategy, num_workers, process_options
from tfflows.distributions.image_model import ImageModel
from tfflows.evaluation.latents import DEFAULT_BATCH_SIZE
from tfflows.tracing.variables import count_parameters, named_variables, short_variable_names
from tfflows.training.checkpoints import Checkpoints
from tfflows.training.moving_average import evaluated_names
from tfflows.training.workdir import EXPERIMENT_FILE, stored_side_by_side

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
      stages: `{stage: experiment}` of all stages, in order.
      stage: Name of the stage.
      earlier_stages: Names of the stages before the last one.
      shares_steps: Whether the stages share --steps.
      experiment: The experiment of the stage.
      overrides: Fields that the flags changed, `{field: value}`.
      seed: Seed of the run.
      init_from: Where the weights are from with which the run began, if it was not from the seed.
      workdir: Directory for checkpoints, logs and results.
      data: The images.
      side_by_side: Number of parts of a batch that are computed side by side.
      strategy: Distribution strategy.
      chief: Whether this worker writes files.
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
        self.seed, self.init_from = flags.seed, flags.init_from
        selected, base, evaluated_dataset, stored = select_run(reproduction, flags)
        if stored is not None:
            self.seed, self.init_from = stored["seed"], stored["init_from"]
            self.shares_steps = False
        else:
            selected, self.shares_steps = with_steps_of_stages(reproduction, flags, selected, base)
        self.overrides = overrides(reproduction, selected)
        self.stages = reproduction.stages(selected)
        *self.earlier_stages, last = self.stages
        self.stage = stage or last
        workdirs = [base, *(base / name for name in self.earlier_stages)]
        chosen_by_hash = hashes_subsets(selected.dataset, workdirs)
        self.experiment = self.stages[self.stage]
        if stored is None and self.stage == next(iter(self.stages)):
            self._say_what_runs()
            if flags.mode == "train" and flags.stage == "all" and self.earlier_stages:
                logging.info(describe_stages(self.stages))
        self.workdir = base if self.stage == last else base / self.stage
        self.data = RunData(self.experiment, evaluated_dataset, flags, self.workdir, chosen_by_hash)
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
            if any(map(self.reproduction.has_loss_of_batch, self.stages.values())):
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
        chosen = self.stages[next(reversed(self.stages))]
        own, name = self.reproduction.named_experiment(chosen.name), chosen.dataset
        if name != canonical_name(own.dataset, self.flags.data_dir):
            # Own images are on no experiment, so there is nothing to be warned of where none was asked for.
            say = logging.info if is_own(name) and self.flags.experiment is None else logging.warning
            say("Experiment %s is on %s; running it on %s.", own.name, own.dataset, name)
        if self.flags.experiment is None and name != own.dataset:
            logging.info(
                "Of the paper's experiments it is the one nearest in size, for images of %dx%d. --experiment chooses another.",
                *[own.image_size] * 2,
            )
        asked = {"dataset", "resize", *assigned_fields(self.flags.set), *self.reproduction.steps_of_stages.values()}
        asked |= {field for flag, (field, _) in FIELD_FLAGS.items() if getattr(self.flags, flag) is not None} - {
            "image_size"
        }
        fitted = [f"{field}={value}" for field, value in self.overrides.items() if field not in asked]
        if fitted:
            logging.info("Fitted to the size of the images: %s.", "; ".join(fitted))

    @property
    def earlier_experiments(self) -> Mapping[str, Experiment]:
        """`{stage: experiment}` of the stages from which this one begins."""
        if self.stage in self.earlier_stages:
            return {}
        return {stage: self.stages[stage] for stage in self.earlier_stages}

    @functools.cached_property
    def model(self) -> ImageModel:
        """The model, with initial parameters drawn from the seed.

        Raises:
          ValueError: If the experiment is conditional and the data set has no labels.
        """
        if self.experiment.conditional and not self.data.num_classes:
            raise ValueError(
                f"The experiment {self.experiment.name!r} is conditional, but the data set {self.experiment.dataset!r} has "
                "no labels; choose one with labels."
            )
        with self.strategy.scope(), short_variable_names():
            model = self.reproduction.build_model(
                self.experiment, self.data.image_shape, self.data.num_classes, self.seed
            )
        logging.info("%s: %s parameters.", self.experiment.name, f"{count_parameters(model):,}")
        return model

    @functools.cached_property
    def model_variables(self) -> dict[str, tf.Variable]:
        """Variables of the model, `{model/...: variable}`."""
        return {f"model/{name}": variable for name, variable in named_variables(self.model).items()}

    def load_initial_weights(self) -> None:
        """Gives the model of a fresh run the weights of --init_from, or those of earlier stages if there are any."""
        if self.flags.init_from:
            self.load_init_from()
        else:
            self.take_over_earlier_stages()

    def load_init_from(self) -> None:
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
        for stage, experiment in self.earlier_experiments.items():
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
