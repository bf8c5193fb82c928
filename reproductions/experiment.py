"""What a paper gives to the shared driver: its experiments as data, and how to build their models."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from reproductions.fields import check_fields, setting, take_sequences
from tfflows.data import AUGMENTATIONS
from tfflows.distributions.make_augmenter import AUGMENTERS
from tfflows.training.schedules import LinearWarmup


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A published experiment as data; each paper adds the fields of its architecture.

    Attributes:
      name: Unique within the paper.
      dataset: Name in `tfflows.data.DATASETS`.
      image_size: Side of the images.
      num_bits: Bits a channel.
      conditional: Whether the model is given the labels.
      augmentation: Of the training images, see `tfflows.data`.
      batch_size: Global batch of a step.
      init_batch_size: Images of the data-dependent init.
      evaluation_batch_size: Global batch of a test step.
      num_steps: Optimizer steps of a full run.
      learning_rate: Peak.
      warmup_steps: Steps of linear warm-up from 0.
      cooldown_steps: Steps at the end in which the learning rate falls linearly to 0. With them every paper has one schedule,
        `schedules.warmup_constant_cooldown`; 0: the paper's own.
      ema_decay: Of the moving average of the parameters, which is then evaluated in their place; 0: none.
      evaluate_every: Steps between evaluations on test images; 0: at the end only.
      evaluate_train: Whether the images that are trained on are measured at the end too, as the test images are.
      train_images: Train on the first so many images only; 0: on all.
      holdout: So many training images, the last ones, are not trained on: evaluations on the way are of these, those of the test
        images come at the end. 0: none.
      precision: `float32`, or `mixed_bfloat16`: networks compute in bfloat16, all else in float32.
      tf32: Whether GPUs may round the factors of float32 products to TF32's ten bits.
      scale: `paper` for the published size, `small` or `claims` for reduced ones.
      source: Where the settings stand.
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
    learning_rate: float = 1e-3
    warmup_steps: int = setting(0, at_least=0)
    cooldown_steps: int = setting(0, at_least=0)
    evaluate_every: int = setting(0, at_least=0, changes_result=False)
    evaluate_train: bool = setting(False, changes_result=False)
    train_images: int = setting(0, at_least=0)
    holdout: int = setting(0, at_least=0)
    ema_decay: float = setting(0.0, at_least=0, below=1)
    precision: str = setting("float32", choices=("float32", "mixed_bfloat16"))
    tf32: bool = False
    scale: str = setting("paper", choices=("paper", "small", "claims"))
    source: str = setting("", changes_result=False)
    note: str = setting("", changes_result=False, column="note")

    def __post_init__(self) -> None:
        take_sequences(self)
        check_fields(self)
        if self.cooldown_steps and self.warmup_steps + self.cooldown_steps > self.num_steps:
            raise ValueError(
                f"cooldown_steps must, with warmup_steps={self.warmup_steps}, be at most num_steps={self.num_steps}, "
                f"got {self.cooldown_steps}."
            )


@dataclasses.dataclass(frozen=True)
class AugmentedExperiment(Experiment):
    """An experiment whose flow may be over the image and z (Chen et al. 2020); none of the paper's own has a z.

    Attributes:
      augment_channels: Channels of z; 0: none.
      augmenter: q(z | x): `normal`, which is N(0, I) whatever the image, `gaussian` or `flow`; see `make_augmenter`.
      augmenter_width: Hidden channels of its networks.
      augmenter_steps: Steps of its flow.
    """

    augment_channels: int = setting(0, at_least=0)
    augmenter: str = setting("normal", choices=AUGMENTERS)
    augmenter_width: int = setting(64, at_least=1)
    augmenter_steps: int = setting(4, at_least=1)

    def augmented_shape(self, image_shape: Sequence[int]) -> list[int]:
        """`[H, W, C + augment_channels]`, what the flow is over."""
        *sides, channels = image_shape
        return [*sides, channels + self.augment_channels]


def _linear_warmup(experiment):
    return LinearWarmup(experiment.learning_rate, experiment.warmup_steps)


@dataclasses.dataclass(frozen=True)
class Reproduction:
    """A paper's experiments and how to build their models.

    Attributes:
      paper: Short name, such as `glow`.
      title: One line for `--help`.
      experiments: By name; the first on a data set is the paper's own for it.
      small: `experiment -> experiment`, sized for two CPU cores.
      build_model: `(experiment, image_shape, num_classes, seed) -> DequantizedFlow` or `ImageModel`.
      build_optimizer: `(experiment, learning_rate schedule) -> keras.optimizers.Optimizer`.
      load_weights: `(model, path)`, weights by the authors' names.
      extend_count: `(experiment, count) -> int`: its parameters, from `count(experiment)` of smaller experiments where equal
        blocks make that exact, since building a deep model takes long.
      build_schedule: `experiment -> keras LearningRateSchedule`, the learning rate as a function of the step 0, 1, ...; by
        default a linear warm-up to its `learning_rate` over its `warmup_steps`.
      stages: `experiment -> {stage: experiment}` in the order in which they are trained; the last one is the experiment itself.
      parts_of_stages: `model -> {stage: {name in the model of that stage: tf.Variable}}`: what the model of the last stage takes
        over from those before.
      variants: The forms that the whole paper exists in, if more than one, the default first: values of the field `variant` of
        its experiments. Those of another variant have its name at the end of theirs.
    """

    paper: str
    title: str
    experiments: Mapping[str, Experiment]
    small: Callable
    build_model: Callable
    build_optimizer: Callable
    load_weights: Callable
    extend_count: Callable = staticmethod(lambda experiment, count: count(experiment))
    build_schedule: Callable = staticmethod(_linear_warmup)
    stages: Callable = staticmethod(lambda experiment: {"joint": experiment})
    parts_of_stages: Callable = staticmethod(lambda model: {})
    variants: tuple[str, ...] = ()

    def default_experiment(self, dataset, variant=None) -> Experiment:
        """The paper's own experiment on a data set, of a variant (None: the default one).

        Raises:
          ValueError: if it has none; names the data sets that have one.
        """
        self._check_variant(variant)
        for experiment in self.experiments.values():
            if experiment.dataset == dataset and variant in (None, getattr(experiment, "variant", None)):
                return experiment
        known = ", ".join(dict.fromkeys(experiment.dataset for experiment in self.experiments.values()))
        raise ValueError(
            f"No experiment of {self.paper} is on {dataset!r}; name one with --experiment, or a data set of: {known}."
        )

    def named_experiment(self, name, variant=None) -> Experiment:
        """An experiment by its name; with a variant its counterpart there.

        Raises:
          ValueError: if there is none; names those that there are.
        """
        self._check_variant(variant)
        if variant is not None and name in self.experiments and self.experiments[name].variant != variant:
            name = name.removesuffix(f"_{self.experiments[name].variant}")
            if variant != self.variants[0]:
                name = f"{name}_{variant}"
        if name not in self.experiments:
            raise ValueError(
                f"Unknown experiment {name!r} of {self.paper}; the valid ones are: {', '.join(self.experiments)}."
            )
        return self.experiments[name]

    def _check_variant(self, variant):
        if variant is not None and variant not in self.variants:
            forms = f"the valid ones are: {', '.join(self.variants)}" if self.variants else "it has none"
            raise ValueError(f"Unknown variant {variant!r} of {self.paper}; {forms}.")
