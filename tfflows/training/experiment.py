"""What every experiment says of itself."""

import dataclasses

PRECISIONS = ("float32", "mixed_bfloat16")


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

    # Fields that experiments have not always had, with the values that all runs before had.
    added_fields = {
        "precision": "float32",
        "tf32": False,
        "ema_decay": 0.0,
        "evaluate_train": False,
        "holdout": 0,
        "cooldown_steps": 0,
    }

    name: str
    dataset: str
    image_size: int
    num_bits: int
    conditional: bool = False
    augmentation: str = "none"
    batch_size: int = 64
    init_batch_size: int = 256
    evaluation_batch_size: int = 100
    num_steps: int = 1000
    learning_rate: float = 1e-3
    warmup_steps: int = 0
    cooldown_steps: int = 0
    evaluate_every: int = 0
    evaluate_train: bool = False
    train_images: int = 0
    holdout: int = 0
    ema_decay: float = 0.0
    precision: str = "float32"
    tf32: bool = False
    scale: str = "paper"
    source: str = ""
    note: str = ""

    def __post_init__(self):
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {PRECISIONS}, got {self.precision!r}.")
        if self.holdout < 0:
            raise ValueError(f"holdout must be at least 0, got {self.holdout}.")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay must lie in [0, 1), 0 for no average, got {self.ema_decay}.")
        if self.cooldown_steps < 0 or (
            self.cooldown_steps and self.warmup_steps + self.cooldown_steps > self.num_steps
        ):
            raise ValueError(
                f"cooldown_steps must be at least 0 and, with warmup_steps={self.warmup_steps}, at most "
                f"num_steps={self.num_steps}, got {self.cooldown_steps}."
            )


def override(experiment, assignments):
    """The experiment with `field=value` strings applied, each value read as the field's type.

    Raises:
      ValueError: on an unknown field (names the valid ones) or a value of another type.
    """
    fields = {field.name: field for field in dataclasses.fields(experiment)}
    changes = {}
    for assignment in assignments:
        name, separator, text = assignment.partition("=")
        if not separator:
            raise ValueError(f"--set needs field=value, got {assignment!r}.")
        if name not in fields or name == "name":
            valid = ", ".join(sorted(set(fields) - {"name"}))
            raise ValueError(f"{type(experiment).__name__} has no field {name!r} to set; its fields are: {valid}.")
        changes[name] = _parse(name, text, type(getattr(experiment, name)))
    return dataclasses.replace(experiment, **changes)


def _parse(name, text, kind):
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError(f"--set {name} needs true or false, got {text!r}.")
        return text.lower() == "true"
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"--set {name} needs a value of type {kind.__name__}, got {text!r}.") from None
