"""What a paper gives to the shared driver: its experiments as data, and how to build their models."""

import dataclasses
import importlib
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reproductions.fields import as_of_today, check_fields, setting, take_sequences
from tfflows.choices import AUGMENTATIONS, AUGMENTERS, RESIZES, did_you_mean

if TYPE_CHECKING:
    import keras
    import tensorflow_probability as tfp

    from tfflows.distributions.augmented_flow import AugmentedFlow


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A published experiment as data; each paper adds the fields of its architecture.

    Attributes:
      name: Name, unique within the paper.
      dataset: Name in `tfflows.data.DATASETS`.
      image_size: Height and width of the images, in pixels.
      num_bits: Bits per color channel.
      conditional: Whether the model is given the labels.
      augmentation: Augmentation of the training images, see `tfflows.data`.
      batch_size: Images per training step, over all devices.
      init_batch_size: Number of images for the data-dependent initialization.
      evaluation_batch_size: Images per evaluation step, over all devices.
      num_steps: Number of optimizer steps of a full run.
      learning_rate: Peak learning rate.
      rate_factors: `step: factor` pairs with increasing steps, such as `1000: 0.5, 3000: 0.1`: from each step on, the scheduled
        rate is multiplied by the factor. A run that diverged can go on so from its newest checkpoint. Empty: no change.
      warmup_steps: Steps of linear warm-up from 0.
      cooldown_steps: Steps at the end over which the learning rate falls linearly to 0. If positive, the schedule is
        `schedules.warmup_constant_cooldown`, the same for every paper; 0 keeps the paper's own schedule.
      ema_decay: Decay of the moving average of the parameters, which is evaluated in their place; 0 turns it off.
      evaluate_every: Steps between evaluations during training; 0 evaluates at the end only.
      evaluate_train: Whether to evaluate the training images at the end as well.
      train_images: Train on N images only: the first ones, or of own images those that a hash of their paths chooses. 0 means
        all.
      holdout: Hold out N training images: the last ones, or of own images those that a hash of their paths chooses. Evaluations
        during training then use these, and the test images are evaluated at the end only. 0 holds out none.
      resize: How images that no paper prepares, such as those of `folder:DIR`, are brought to `image_size`: `crop` the central
        square, `fit` the whole image, or `none` to take them as they are.
      test_share: Share of them that becomes the test split, if they come without one.
      precision: `float32`, or `mixed_bfloat16`, where networks compute in bfloat16 and everything else in float32.
      tf32: Whether GPUs may round the factors of float32 products to the ten bits of TF32.
      scale: `paper` for the published size, `small` or `claims` for reduced sizes.
      source: Where the settings come from.
      note: What a reader has to know.
    """

    name: str = setting(column="experiment")
    dataset: str = setting(column="data set")
    image_size: int = setting(at_least=1, column="size")
    num_bits: int = setting(at_least=1, at_most=8, column="bits")
    conditional: bool = False
    augmentation: str = setting("none", choices=AUGMENTATIONS)
    batch_size: int = setting(64, at_least=1)
    init_batch_size: int = setting(256, at_least=1)
    evaluation_batch_size: int = setting(100, at_least=1, changes_result=False)
    num_steps: int = setting(1000, at_least=1, may_change=True)
    learning_rate: float = setting(1e-3, above=0)
    rate_factors: str = setting("", may_change=True)
    warmup_steps: int = setting(0, at_least=0)
    cooldown_steps: int = setting(0, at_least=0)
    evaluate_every: int = setting(0, at_least=0, changes_result=False)
    evaluate_train: bool = setting(False, changes_result=False)
    train_images: int = setting(0, at_least=0)
    holdout: int = setting(0, at_least=0)
    ema_decay: float = setting(0.0, at_least=0, below=1)
    resize: str = setting("none", choices=RESIZES)
    test_share: float = setting(0.1, above=0, below=1)
    precision: str = setting("float32", choices=("float32", "mixed_bfloat16"))
    tf32: bool = False
    scale: str = setting("paper", choices=("paper", "small", "claims"))
    source: str = setting("", changes_result=False)
    note: str = setting("", changes_result=False, column="note")

    def __post_init__(self) -> None:
        take_sequences(self)
        check_fields(self)
        read_rate_factors(self.rate_factors)
        if self.cooldown_steps and self.warmup_steps + self.cooldown_steps > self.num_steps:
            raise ValueError(
                f"cooldown_steps must, with warmup_steps={self.warmup_steps}, be at most num_steps={self.num_steps}, "
                f"got {self.cooldown_steps}."
            )


def read_rate_factors(text: str) -> tuple[tuple[int, float], ...]:
    """Reads `Experiment.rate_factors`.

    Raises:
      ValueError: If it is not `step: factor` pairs with increasing steps and positive factors.

    Example:
      >>> from reproductions.experiment import read_rate_factors
      >>> read_rate_factors("1000: 0.5, 3000: 0.1")
      ((1000, 0.5), (3000, 0.1))
    """
    try:
        pairs = [part.split(":") for part in text.split(",") if part.strip()]
        factors = tuple((int(step), float(factor)) for step, factor in pairs)
    except ValueError:
        factors = ((-1, 0.0),)
    steps = [step for step, _ in factors]
    valid = all(step >= 0 and 0 < factor < math.inf for step, factor in factors)
    if not valid or any(later <= earlier for earlier, later in itertools.pairwise(steps)):
        raise ValueError(
            f"rate_factors needs increasing steps with positive factors, such as 1000: 0.5, 3000: 0.1, got {text!r}."
        )
    return factors


@dataclasses.dataclass(frozen=True)
class AugmentedExperiment(Experiment):
    """An experiment whose flow can model the image together with extra channels z; the published experiments have no z.

    Attributes:
      augment_channels: Number of channels of z; 0 means no z.
      augmenter: Distribution q(z | x): `normal` (N(0, I) for every image), `gaussian` or `flow`; see `make_augmenter`.
      augmenter_width: Hidden channels of the networks of q.
      augmenter_steps: Flow steps of q.

    References:
      Chen et al. 2020, https://arxiv.org/abs/2002.09741.
    """

    augment_channels: int = setting(0, at_least=0)
    augmenter: str = setting("normal", choices=AUGMENTERS)
    augmenter_width: int = setting(64, at_least=1)
    augmenter_steps: int = setting(4, at_least=1)

    def augmented_shape(self, image_shape: Sequence[int]) -> list[int]:
        """Shape `[H, W, C + augment_channels]` of what the flow models."""
        *sides, channels = image_shape
        return [*sides, channels + self.augment_channels]


def deferred(module: str, name: str) -> Callable[..., Any]:
    """Returns a function that imports a function at its first call: `--list` and `--help` then need no TensorFlow.

    Args:
      module: Name of the module.
      name: Name of the function in it.

    Example:
      >>> from reproductions.experiment import deferred
      >>> deferred("math", "sqrt")(4.0)
      2.0
    """

    def call(*args, **kwargs):
        return getattr(importlib.import_module(module), name)(*args, **kwargs)

    call.__name__, call.__qualname__, call.__module__ = name, name, module
    return call


def _count_built(experiment, count):
    return count(experiment)


def _linear_warmup(experiment):
    from tfflows.training.schedules import LinearWarmup

    return LinearWarmup(experiment.learning_rate, experiment.warmup_steps)


def _never(experiment: Experiment) -> bool:
    del experiment
    return False


def _image_size_alone(experiment, height, width):
    return dataclasses.replace(experiment, image_size=min(height, width))


def _one_stage(experiment):
    return {"joint": experiment}


def _num_steps():
    return {"joint": "num_steps"}


def _no_config(directory):
    del directory
    return {}


def _no_parts(model):
    del model
    return {}


@dataclasses.dataclass(frozen=True)
class Reproduction:
    """A paper's experiments and how to build their models.

    Attributes:
      paper: Short name, such as `glow`.
      title: One line for `--help`.
      experiments: Experiments by name. The first one on a data set is the default for that data set.
      small: Function `experiment -> experiment` that sizes an experiment for two CPU cores.
      build_model: Function `(experiment, image_shape, num_classes, seed) -> DequantizedFlow` or `ImageModel`.
      build_optimizer: Function `(experiment, learning_rate schedule) -> keras.optimizers.Optimizer`.
      load_weights: Function `(model, path)` that loads weights stored under the authors' names.
      extend_count: Function `(experiment, count) -> int` that gives the number of parameters. Building a deep model takes long,
        so it may extrapolate from `count(experiment)` of smaller experiments where equal blocks make that exact.
      build_schedule: Function `experiment -> keras LearningRateSchedule`, the learning rate as a function of the step 0, 1, ...
        By default a linear warm-up to `learning_rate` over `warmup_steps`.
      stages: Function `experiment -> {stage: experiment}`, in the order of training. The last stage is the experiment itself.
      steps_of_stages: `{stage: field of the experiment with its number of steps}`; the last stage has a field of its own.
      parts_of_stages: Function `model -> {stage: {name in the model of that stage: tf.Variable}}`: what the model of the last
        stage takes over from the earlier ones.
      read_config: Function `directory -> {field: value}` that reads the hyper-parameters that the authors' code left beside its
        weights; nothing if there are none.
      unused_by_stages: `{stage: fields}` of the earlier stages: fields of the experiment on which the training of the stage does
        not depend. The last stage may take over from a stage that was trained with other values of them.
      at_size: Function `(experiment, height, width) -> experiment` that fits an experiment to images of another size, such as by
        its number of levels.
      has_loss_of_batch: Function `experiment -> bool`: whether the training loss of an image depends on the others of its batch,
        so that parts of it have another loss.
      variants: Variants of the whole paper, if it has more than one, the default first. The name of an experiment of another
        variant ends with the name of the variant. Either they are the values of the field `variant` of the experiments, all of
        which are in `experiments`, or `variant_fields` says how they come about.
      variant_fields: `{variant: function experiment -> {field: value}}` for variants that are the experiments of the default one
        with other values of some fields.
    """

    paper: str
    title: str
    experiments: Mapping[str, Experiment]
    small: Callable
    build_model: Callable
    build_optimizer: Callable
    load_weights: Callable
    extend_count: Callable = _count_built
    build_schedule: Callable = _linear_warmup
    stages: Callable = _one_stage
    steps_of_stages: Mapping[str, str] = dataclasses.field(default_factory=_num_steps)
    parts_of_stages: Callable = _no_parts
    read_config: Callable = _no_config
    unused_by_stages: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    at_size: Callable = _image_size_alone
    has_loss_of_batch: Callable = _never
    variants: tuple[str, ...] = ()
    variant_fields: Mapping[str, Callable[[Experiment], Mapping[str, object]]] = dataclasses.field(default_factory=dict)

    def experiment_of(self, stored: Mapping[str, object]) -> Experiment:
        """Returns the experiment that the `experiment.json` of a workdir holds, written by this version or an earlier one.

        Args:
          stored: Content of the file.

        Raises:
          ValueError: If it is no experiment of this paper.
        """
        kind = type(next(iter(self.experiments.values())))
        content = as_of_today(kind, stored)
        names = [field.name for field in dataclasses.fields(kind)]
        missing = [name for name in names if name not in content]
        if missing:
            raise ValueError(f"This is no experiment of {self.paper}: it lacks {', '.join(missing)}.")
        return kind(**{name: content[name] for name in names})

    def schedule_of(self, experiment: Experiment) -> "keras.optimizers.schedules.LearningRateSchedule":
        """Returns the learning rate as a function of the step: the paper's schedule, or the common one with a cool-down."""
        from tfflows.training.schedules import StepFactors, warmup_constant_cooldown

        if experiment.cooldown_steps:
            schedule = warmup_constant_cooldown(
                experiment.learning_rate, experiment.warmup_steps, experiment.cooldown_steps, experiment.num_steps
            )
        else:
            schedule = self.build_schedule(experiment)
        factors = read_rate_factors(experiment.rate_factors)
        return StepFactors(schedule, factors) if factors else schedule

    def default_experiment(self, dataset: str, variant: str | None = None) -> Experiment:
        """Returns the paper's own experiment on a data set.

        Args:
          dataset: Name of the data set.
          variant: Name of the variant; None selects the default one.

        Raises:
          ValueError: If there is none. The message lists the data sets that have one.
        """
        self._check_variant(variant)
        for experiment in self.experiments.values():
            if experiment.dataset == dataset and self._belongs(experiment, variant):
                return self._in_variant(experiment, variant)
        known = ", ".join(dict.fromkeys(experiment.dataset for experiment in self.experiments.values()))
        raise ValueError(
            f"{self.paper} has no experiment on {dataset!r}; choose one with --experiment, or one of the data sets: {known}."
        )

    def nearest_experiment(self, height: int, width: int, variant: str | None = None) -> Experiment:
        """Returns the published unconditional experiment whose images are nearest in size, on a logarithmic scale.

        Of equally near ones the first is taken.

        Args:
          height: Height of the images in pixels.
          width: Width of the images in pixels.
          variant: Name of the variant; None selects the default one.
        """
        self._check_variant(variant)
        variant = variant or next(iter(self.variants), None)
        published = [
            experiment
            for experiment in self.experiments.values()
            if experiment.scale == "paper" and not experiment.conditional and self._belongs(experiment, variant)
        ]
        nearest = min(published, key=lambda experiment: abs(math.log(experiment.image_size**2 / (height * width))))
        return self._in_variant(nearest, variant)

    def named_experiment(self, name: str, variant: str | None = None) -> Experiment:
        """Returns an experiment by name, or its counterpart in another variant.

        Args:
          name: Name of the experiment.
          variant: Name of the variant; None keeps the one of `name`.

        Raises:
          ValueError: If there is none. The message lists the valid names.
        """
        self._check_variant(variant)
        base, own = self._parts_of(name)
        if base is None:
            raise ValueError(
                f"Unknown experiment {name!r} of {self.paper}.{did_you_mean(name, self.experiments)} The valid ones are: "
                f"{', '.join(self.experiments)}."
            )
        if variant in (None, own):
            return self._in_variant(base, own)
        if variant in self.variant_fields or own in self.variant_fields:
            return self._in_variant(base, variant)
        counterpart = base.name.removesuffix(f"_{own}") + ("" if variant == self.variants[0] else f"_{variant}")
        return self.named_experiment(counterpart)

    def variant_changes(self, experiment: Experiment, variant: str) -> dict[str, object]:
        """Returns `{field: value}` of the fields that a variant gives other values than an experiment of the default one.

        Args:
          experiment: Experiment of the default variant.
          variant: One of `variant_fields`.
        """
        fields = self.variant_fields[variant](experiment)
        return {name: value for name, value in fields.items() if getattr(experiment, name) != value}

    def _parts_of(self, name):
        """The experiment that a name is of, and its variant; `(None, None)` if there is none."""
        if name in self.experiments:
            own = next(iter(self.variants), None)
            return self.experiments[name], getattr(self.experiments[name], "variant", own)
        for variant in self.variant_fields:
            base = name.removesuffix(f"_{variant}")
            if base != name and base in self.experiments:
                return self.experiments[base], variant
        return None, None

    def _belongs(self, experiment, variant):
        return variant is None or variant in self.variant_fields or getattr(experiment, "variant", variant) == variant

    def _in_variant(self, experiment, variant):
        if variant not in self.variant_fields:
            return experiment
        return dataclasses.replace(
            experiment,
            name=f"{experiment.name}_{variant}",
            source=f"{experiment.source}; form of variant {variant}",
            **self.variant_changes(experiment, variant),
        )

    def _check_variant(self, variant):
        if variant is not None and variant not in self.variants:
            forms = f"the valid ones are: {', '.join(self.variants)}" if self.variants else "it has none"
            raise ValueError(
                f"Unknown variant {variant!r} of {self.paper}; {forms}.{did_you_mean(variant, self.variants)}"
            )


def halvings_of(height: int, width: int, at_most: int | None = None) -> int:
    """Returns how often both sides can be halved so that at least 4 pixels are left, at least 1.

    Args:
      height: Height in pixels.
      width: Width in pixels.
      at_most: The result's upper bound; None for none.

    Raises:
      ValueError: If a side is odd.

    Example:
      >>> from reproductions.experiment import halvings_of
      >>> [halvings_of(side, side) for side in (8, 28, 32, 48, 64, 256)]
      [1, 2, 3, 3, 4, 6]
    """
    if height % 2 or width % 2:
        even = max(4, min(height, width) // 4 * 4)
        raise ValueError(
            f"Images of {height}x{width} pixels cannot be halved: give --image_size={even}, or crop or resize them."
        )
    halvings = 1
    while (at_most is None or halvings < at_most) and not any(
        side % 2 ** (halvings + 1) or side < 4 * 2 ** (halvings + 1) for side in (height, width)
    ):
        halvings += 1
    return halvings


def check_sides(image_shape: Sequence[int], halvings: int, advice: str, width_halvings: int | None = None) -> None:
    """Checks that the sides of images can be halved as often as a model does.

    Args:
      image_shape: Shape `[H, W, C]` of the images.
      halvings: How often the model halves both sides.
      advice: How to halve less often, such as `--set levels=N`.
      width_halvings: How often it halves the width; None for as often as the height.

    Raises:
      ValueError: If a side is no multiple of the factor.

    Example:
      >>> from reproductions.experiment import check_sides
      >>> check_sides([8, 12, 3], 2, "--set levels=N")
    """
    height, width, _ = image_shape
    own = {"height": (height, 2**halvings), "width": (width, 2 ** (width_halvings or halvings))}
    for name, (side, multiple) in own.items():
        if side % multiple:
            raise ValueError(
                f"Images of {height}x{width} pixels do not fit this model: their {name} must be a multiple of {multiple}. Halve "
                f"them less often with {advice}, or crop or resize the images (own ones with --image_size=N)."
            )


def with_augmenter(
    flow: "tfp.distributions.TransformedDistribution",
    experiment: AugmentedExperiment,
    image_shape: Sequence[int],
    seed: int,
) -> "tfp.distributions.TransformedDistribution | AugmentedFlow":
    """Returns the `AugmentedFlow` of an experiment, or the flow itself if `augment_channels` is 0.

    Args:
      flow: Distribution with event shape `[H, W, C + augment_channels]`.
      experiment: The experiment.
      image_shape: Shape `[H, W, C]` of the image.
      seed: Seed of the initial parameters of q.
    """
    if not experiment.augment_channels:
        return flow
    from tfflows.distributions.augmented_flow import AugmentedFlow
    from tfflows.distributions.augmenters import make_augmenter
    from tfflows.math.random import derive_seed

    augmenter = make_augmenter(
        experiment.augmenter,
        image_shape,
        experiment.augment_channels,
        experiment.augmenter_width,
        experiment.augmenter_steps,
        derive_seed(seed, "augmenter"),
        experiment.precision,
    )
    return AugmentedFlow(flow, augmenter)
