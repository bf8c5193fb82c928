"""Training from Python: a model, an optimizer and images."""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from tfflows.bijectors.actnorm import actnorm_log_scales
from tfflows.data import ImageSource, as_source
from tfflows.data.augmentation import check_augmentation
from tfflows.data.sources import naming_damage
from tfflows.devices.agreement import (
    check_workers_agree,
    settings_of_optimizer,
    settings_of_variables,
    source_fingerprint,
)
from tfflows.devices.strategies import check_batch_divides, distributed_training_batches, is_chief, num_workers
from tfflows.distributions.image_model import ImageModel
from tfflows.evaluation.bits_per_dim import BitsPerDim, Evaluator
from tfflows.training.logs import MetricLogger
from tfflows.training.loop import Evaluation, Loop, LoopSettings, RunCheckpoints, StateVariables, TrainingState
from tfflows.training.parameters import TrainedParameters, initialize_from_data
from tfflows.training.schedules import learning_rate_of
from tfflows.training.train_step import Execution, automatic_side_by_side, make_train_step
from tfflows.training.workdir import (
    SIDE_BY_SIDE,
    described_workdir,
    lock_workdir,
    prepare_workdir,
    stored_side_by_side,
)

MAX_SEED = 2**31 - 1
# So many of the settings that differ between workers are named.
_NAMED_DIFFERENCES = 8

# Images as the caller may give them, see `tfflows.data.as_source`.
Images = ImageSource | np.ndarray | tuple


@dataclasses.dataclass(frozen=True)
class TrainingSummary:
    """The result of `Trainer.fit`.

    Attributes:
      step: Number of steps done, including those of earlier calls and runs.
      seconds: Wall-clock time of all these steps.
      metrics: The last line that this call logged, means over the steps since the line before; empty if it logged none.
    """

    step: int
    seconds: float
    metrics: Mapping[str, float]


class Trainer:
    """Trains a model of images and measures it.

    The loss is the mean of the model's `training_loss` over a batch. The order of the images, augmentation and noise are
    functions of the seed and the step. So a run that was interrupted, in the same process or not, ends bit for bit like one
    that was not, and the number of devices changes it only by rounding. Several workers are compared before the first step: all
    need the same settings, images and, if there is one, working directory.

    With a workdir, `fit` writes `metrics.jsonl`, TensorBoard's files and checkpoints there, and always continues from its newest
    checkpoint. Without one nothing is written, and `fit` continues from where the last call ended. From the first `fit` on, the
    Trainer owns the values of the parameters: what is assigned to them between two calls is lost.

    SIGTERM and the first Ctrl-C end `fit` after the current step, with everything saved; `step` is then below `num_steps`.

    Example:
      >>> import numpy as np, tensorflow as tf, tensorflow_probability as tfp
      >>> from tfflows.bijectors import ActNorm, AffineCoupling, Chain, InvertibleConv
      >>> from tfflows.distributions.dequantized_flow import DequantizedFlow
      >>> from tfflows.networks import CouplingNetwork
      >>> from tfflows.training import Trainer
      >>> from tfflows.training.optimizers import Adam

      >>> row, column, image = np.meshgrid(np.arange(4), np.arange(4), np.arange(32), indexing="ij")
      >>> ramps = np.stack([8 * image + 3 * row, 255 - 8 * image - 2 * column], axis=-1)
      >>> images = ramps.transpose(2, 0, 1, 3).astype(np.uint8)  # [32, 4, 4, 2]

      >>> network = CouplingNetwork(width=4, filters=2)
      >>> network.build([None, 4, 4, 1])
      >>> step = Chain([ActNorm([2]), InvertibleConv(2, seed=0), AffineCoupling(network)])
      >>> base = tfp.distributions.Sample(tfp.distributions.Normal(0.0, 1.0), [4, 4, 2])
      >>> model = DequantizedFlow(tfp.distributions.TransformedDistribution(base, step))

      >>> trainer = Trainer(model, Adam(0.01), seed=0, ema_decay=0.9)
      >>> trainer.fit(images, num_steps=5, batch_size=8).step
      5
      >>> before = trainer.evaluate(images).mean
      >>> trainer.fit(images, num_steps=25, batch_size=8).step
      25
      >>> trainer.evaluate(images).mean < before
      True
    """

    def __init__(
        self,
        model: ImageModel,
        optimizer: keras.optimizers.Optimizer,
        *,
        seed: int = 0,
        strategy: tf.distribute.Strategy | None = None,
        workdir: str | os.PathLike | None = None,
        ema_decay: float = 0.0,
        initialize: Callable[[], None] | None = None,
        execution: Execution | None = None,
        settings: LoopSettings | None = None,
        callbacks: Sequence[Callable[[int, Mapping], None]] = (),
        describe_workdir: bool = True,
        hyperparameters: Mapping[str, object] | None = None,
    ) -> None:
        """Builds the optimizer, and the averages if there are any.

        Args:
          model: A `DequantizedFlow` or another `ImageModel`, made in the scope of the strategy.
          optimizer: Keras optimizer, ours (`tfflows.training.optimizers`) or Keras' own, not built yet; also made in the scope
            of the strategy. Its learning rate, a number or a schedule, is logged.
          seed: Integer in [0, 2**31) that fixes the order of the images, augmentation and noise.
          strategy: Strategy of model and optimizer; default: the one in whose scope the model was made.
          workdir: Where logs and checkpoints lie; None: nothing is written.
          ema_decay: Decay in [0, 1) of the moving average of the parameters, which is then evaluated in their place; 0: none.
          initialize: Called before the first step of a run that starts from nothing, such as to load weights from elsewhere; the
            data-dependent initialization comes after it.
          execution: How steps and evaluations are computed.
          settings: How often there are logs, checkpoints and evaluations.
          callbacks: Each is called as `callback(step, scalars)` with what is logged, in the process that writes.
          describe_workdir: Whether `fit` writes the settings to `workdir/experiment.json`, and refuses a workdir of other
            settings; False if the caller has called `prepare_workdir` with a description of its own.
          hyperparameters: What TensorBoard's HParams page shows of the run: numbers, truth values and strings by name.

        Raises:
          TypeError: If the model is not an `ImageModel` or the optimizer is not one of Keras.
          ValueError: If an argument is out of range, the optimizer is built already, or model and optimizer were not made in
            the scope of the strategy.
        """
        _check_model(model)
        if not 0 <= seed <= MAX_SEED:
            raise ValueError(f"The seed must lie in [0, 2**31), got {seed}.")
        self.model = model
        self.parameters = TrainedParameters(model, optimizer, strategy, ema_decay)
        self.strategy = self.parameters.strategy
        self.workdir = None if workdir is None else pathlib.Path(workdir)
        self.settings = LoopSettings() if settings is None else settings
        self._execution = Execution() if execution is None else execution
        if self._execution.num_side_by_side is None and self.workdir is not None:
            begun_with = None if self._execution.jit_compile else stored_side_by_side(self.workdir)
            self._execution = dataclasses.replace(self._execution, num_side_by_side=begun_with)
        if model.has_batch_statistics:
            self._execution = self._execution.with_batch_statistics(self.strategy.num_replicas_in_sync)
            if ema_decay:
                raise ValueError(
                    "The running statistics of batch norm are those of the parameters as they were trained, not of their "
                    f"averages, so a model with batch norm takes no averages: set ema_decay to 0, got {ema_decay}."
                )
        self._seed, self._ema_decay = seed, ema_decay
        self._initialize, self._callbacks, self._describes = initialize, tuple(callbacks), describe_workdir
        self._hyperparameters = hyperparameters
        self._chief = is_chief(self.strategy)
        self._metric_names = ["loss", "gradient_norm", *model.metric_names]
        with self.strategy.scope():
            self._state_variables = StateVariables(self._metric_names)
        self._loops: dict[int, Loop] = {}
        self._evaluator: Evaluator | None = None
        self._locked = False
        self._state: TrainingState | None = None  # None: nothing was trained, or the last `fit` ended in an error
        self._touched = False  # whether the values of the parameters are the Trainer's

    def fit(
        self,
        images: Images,
        num_steps: int,
        *,
        batch_size: int,
        labels: np.ndarray | None = None,
        validation: Images | None = None,
        augmentation: str = "none",
        init_batch_size: int = 256,
    ) -> TrainingSummary:
        """Trains until `num_steps` steps are done in total, including those of earlier calls and runs.

        If more are done already, none is taken. A run that starts from nothing begins with the data-dependent initialization
        from one batch of training images.

        Args:
          images: uint8 `[N, H, W, C]`, a pair `(images, labels)`, or an `ImageSource` (`tfflows.data`).
          num_steps: Total number of steps.
          batch_size: Images per step, over all replicas and accumulated parts.
          labels: Integers `[N]` for an array of images; a conditional model is given those of its batch.
          validation: What `settings.evaluate_every` and `settings.keep_best` measure, given in the same ways as `images`. It is
            logged as `validation_bits_per_dim`, or as `test_bits_per_dim` if it is a source of test images.
          augmentation: Augmentation of the training images, one of `tfflows.data.AUGMENTATIONS`.
          init_batch_size: Number of images of the data-dependent initialization, at most all of them; 0: there is none.

        Returns:
          What was done and logged.

        Raises:
          ValueError: If the arguments do not fit model, strategy or settings.
          WorkersDisagree: If several workers have other settings, variables or images, before anything is done; the message names
            what differs.
          WorkdirError: If the workdir holds other settings, or another process trains in it.
          CheckpointError: If no checkpoint can be written or read.
          TrainingDiverged: If the loss is not finite; the message names the step and, where it can be found by an eager pass over
            its batch, the layer. What is saved is from before it.
          RuntimeError: If an earlier call ended in an error, without a checkpoint to continue from.
        """
        source = self._source(images, labels)
        validation = None if validation is None else self._source(validation, split="validation")
        asked = {
            "num_steps": num_steps,
            "batch_size": batch_size,
            "augmentation": augmentation,
            "init_batch_size": init_batch_size,
        }
        self._check_workers(asked, source, validation)
        check_batch_divides(batch_size, self.strategy, self._execution.accumulate)
        check_augmentation(augmentation)
        if num_steps < 1 or init_batch_size < 0:
            raise ValueError(
                f"num_steps must be at least 1 and init_batch_size at least 0, got {num_steps} and {init_batch_size}."
            )
        if validation is None and (self.settings.evaluate_every or self.settings.keep_best):
            raise ValueError("evaluate_every and keep_best need images to measure: give validation=.")
        described = None
        if self.workdir is not None and self._describes:
            described = self._description(batch_size, augmentation, init_batch_size)
            prepare_workdir(self.workdir, described, {SIDE_BY_SIDE}, create=False)
        evaluation = None
        if validation is not None:
            split = "test" if validation.split == "test" else "validation"
            evaluation = Evaluation(split, lambda: self.evaluate(validation))
        with self.locked(), naming_damage(source), self._described(described):
            checkpoints = self._checkpoints()
            restored, state = self._start(checkpoints, source, augmentation, init_batch_size)
            if num_steps < state.step:
                logging.warning("%d steps are done already, more than the %d asked for.", state.step, num_steps)
            with MetricLogger(self.workdir, restored, self._chief, self._callbacks, self._hyperparameters) as logger:
                metrics = self._loop(batch_size).run(
                    state,
                    lambda: self._batches(source, batch_size, augmentation, state.step),
                    num_steps,
                    batch_size=batch_size,
                    logger=logger,
                    checkpoints=checkpoints,
                    evaluation=evaluation,
                    histograms=self._histograms,
                )
            self._state = state
        return TrainingSummary(state.step, state.seconds, metrics)

    def evaluate(self, images: Images, labels: np.ndarray | None = None) -> BitsPerDim:
        """Bits/dim of each image, with one noise draw per image, using the averages of the parameters if there are any.

        Args:
          images: As in `fit`.
          labels: As in `fit`.
        """
        evaluator = self.evaluator(self._source(images, labels, split="test"))
        with self.averages():
            return evaluator.evaluate()

    def evaluator(self, source: ImageSource) -> Evaluator:
        """The `Evaluator` that `evaluate` uses, traced once for all sources; it measures the parameters as they are."""
        if self._evaluator is not None:
            return self._evaluator.on(source)
        self._evaluator = Evaluator(
            self.strategy,
            self.model,
            source,
            batch_size=self.settings.evaluation_batch_size,
            jit_compile=self._execution.jit_compile,
            num_side_by_side=self._execution.num_side_by_side,
        )
        return self._evaluator

    def averages(self) -> contextlib.AbstractContextManager:
        """A context in which the model's parameters are their averages, if there are any, such as to sample from it."""
        return self.parameters.exchanged() if self._touched else contextlib.nullcontext()

    def restore(self, best: bool = False) -> int | None:
        """Takes the variables from the workdir's newest or best checkpoint; `fit` continues from the newest in any case.

        Args:
          best: Whether the best checkpoint is restored instead of the newest.

        Returns:
          The step of the checkpoint; None if there is none.

        Raises:
          ValueError: If there is no workdir.
          CheckpointError: If the checkpoint is damaged or belongs to another model.
        """
        if self.workdir is None:
            raise ValueError("There is nothing to restore without a workdir.")
        checkpoints = self._checkpoints()
        state = None if best else checkpoints.restore()
        step = checkpoints.restore_best() if best else getattr(state, "step", None)
        if step is not None:
            self._state = state
            self._take_over()
        return step

    def save(self) -> int:
        """Writes a checkpoint of what was trained so far; of step 0 if nothing was, so that `fit` does not initialize from data.

        Returns:
          Its step.

        Raises:
          ValueError: If there is no workdir.
          CheckpointError: If it cannot be written, or the workdir holds a later step.
        """
        if self.workdir is None:
            raise ValueError("There is nowhere to save to without a workdir.")
        state = self._state or TrainingState()
        if not self._touched:
            self._take_over()
            self.parameters.restart_average()
        with self.locked():
            self._checkpoints().save(state)
        self._state = state
        return state.step

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the workdir for this process, beyond one `fit`; see `lock_workdir`."""
        if self._locked or self.workdir is None or not self._chief:
            yield
            return
        with lock_workdir(self.workdir):
            self._locked = True
            try:
                yield
            finally:
                self._locked = False

    def _start(self, checkpoints, source, augmentation, init_batch_size):
        """Brings the variables to where training continues; gives the last step whose logs stay, or None, and the state."""
        state, self._state = self._state, None  # until `fit` has ended well
        restored = checkpoints.restore()
        if restored is not None:
            self._take_over()
            logging.info("Going on from step %d.", restored.step)
            return restored.step, restored
        if state is not None:
            return state.step, state
        if self._touched:
            raise RuntimeError(
                "An earlier call ended in an error and left no checkpoint to go on from: make model, optimizer and Trainer anew."
            )
        self._touched = True
        if self._initialize is not None:
            self._initialize()
        if init_batch_size:
            initialize_from_data(
                self.strategy,
                self.model,
                source,
                batch_size=min(init_batch_size, source.num_images),
                seed=self._seed,
                augmentation=augmentation,
            )
        self.parameters.assigned()
        self.parameters.restart_average()
        return None, TrainingState()  # not saved: doing it again gives the same and takes less time than writing it

    def _take_over(self):
        """To be called after a checkpoint was restored."""
        self._touched = True
        self.parameters.assigned()

    def _loop(self, batch_size):
        if batch_size not in self._loops:
            train_step = make_train_step(
                self.strategy,
                self.model,
                self.parameters.optimizer,
                self.parameters.trained,
                global_batch_size=batch_size,
                seed=self._seed,
                **dataclasses.asdict(self._execution) | {"num_side_by_side": self.num_side_by_side(batch_size)},
                moving_average=self.parameters.average,
                flat_parameters=self.parameters.flat,
            )
            self._loops[batch_size] = Loop(
                self.strategy,
                train_step,
                self._metric_names,
                learning_rate_of(self.parameters.optimizer),
                self.settings,
                self._describe_not_finite,
            )
        return self._loops[batch_size]

    def _histograms(self):
        scales = actnorm_log_scales(self.model)
        return {f"actnorm_log_scale/{name}": scale.numpy() for name, scale in scales.items()}

    def _describe_not_finite(self, batch):
        from tfflows.training.divergence import described_or_not  # which few runs need

        return described_or_not(
            strategy=self.strategy,
            model=self.model,
            variables=self.parameters.trained,
            batch=batch,
            seed=self._seed,
            num_parts=self._execution.accumulate * (self._execution.num_side_by_side or 1),
            memory=self._execution.memory,
        )

    def _batches(self, source, batch_size, augmentation, start_step):
        return iter(
            distributed_training_batches(
                self.strategy,
                source,
                global_batch_size=batch_size,
                seed=self._seed,
                start_step=start_step,
                augmentation=augmentation,
                accumulate=self._execution.accumulate,
            )
        )

    def _checkpoints(self):
        return RunCheckpoints(
            self.workdir, self.parameters.variables, self._state_variables, self.settings.max_to_keep, chief=self._chief
        )

    def num_side_by_side(self, batch_size: int) -> int:
        """The number of parts of a batch that a step computes side by side; a run that goes on keeps that of its workdir."""
        own = self._execution
        if own.num_side_by_side is not None:
            return own.num_side_by_side
        return automatic_side_by_side(self.model, batch_size, self.strategy, own.accumulate, own.jit_compile)

    def _description(self, batch_size, augmentation, init_batch_size):
        parts = self.num_side_by_side(batch_size)
        return {
            **({SIDE_BY_SIDE: parts} if parts > 1 else {}),
            "optimizer": type(self.parameters.optimizer).__name__,
            "seed": self._seed,
            "ema_decay": self._ema_decay,
            "batch_size": batch_size,
            "augmentation": augmentation,
            "init_batch_size": init_batch_size,
        }

    def _check_workers(self, asked, source, validation):
        if num_workers(self.strategy) == 1:
            return
        check_workers_agree(
            self.strategy,
            self._settings_of_worker(asked, source, validation),
            "All workers must build the same model and optimizer, and call fit with the same arguments and images.",
            limit=_NAMED_DIFFERENCES,
        )
        if self.workdir is not None:
            seen = {"the list of checkpoints": self._checkpoints().fingerprints()}
            shared = (
                f"All workers must share the workdir, {self.workdir}: put it on a file system that all of them see."
            )
            check_workers_agree(self.strategy, seen, shared)

    def _settings_of_worker(self, asked, source, validation):
        """What all workers must have in common, as JSON values."""
        sources = {"training": source} if validation is None else {"training": source, "validation": validation}
        own = {name: variable for name, variable in self.parameters.variables.items() if name.startswith("model/")}
        return {
            **asked,
            "seed": self._seed,
            "ema_decay": self._ema_decay,
            "has a workdir": self.workdir is not None,
            "steps done": 0 if self._state is None else self._state.step,
            **dataclasses.asdict(self._execution),
            **dataclasses.asdict(self.settings),
            **settings_of_optimizer(self.parameters.optimizer),
            **settings_of_variables(own),
            **{f"the {kind} images": source_fingerprint(images) for kind, images in sources.items()},
        }

    def _described(self, description):
        if description is None:
            return contextlib.nullcontext()
        return described_workdir(self.workdir, description, {SIDE_BY_SIDE}, chief=self._chief)

    def _source(self, images, labels=None, split="train"):
        source = as_source(images, labels, split=split)
        if list(source.image_shape) != list(self.model.image_shape):
            raise ValueError(
                f"The model takes images of shape {list(self.model.image_shape)}, got {list(source.image_shape)}."
            )
        return source


def _check_model(model):
    if not isinstance(model, ImageModel):
        raise TypeError(
            f"The model must be an ImageModel, got {type(model).__name__}. To train a flow, make a DequantizedFlow of it."
        )
