"""What experiments say of themselves whose model takes more channels beside those of the image."""

import dataclasses

from reproductions.experiment import Experiment
from tfflows.distributions.make_augmenter import AUGMENTERS


@dataclasses.dataclass(frozen=True)
class AugmentedExperiment(Experiment):
    """An experiment whose flow may be over the image and z (Chen et al. 2020); none of the paper's own has a z.

    Attributes:
      augment_channels: Channels of z; 0: none.
      augmenter: q(z | x): `normal`, which is N(0, I) whatever the image, `gaussian` or `flow`; see `make_augmenter`.
      augmenter_width: Hidden channels of its networks.
      augmenter_steps: Steps of its flow.
    """

    added_fields = {
        **Experiment.added_fields,
        "augment_channels": 0,
        "augmenter": "normal",
        "augmenter_width": 64,
        "augmenter_steps": 4,
    }

    augment_channels: int = 0
    augmenter: str = "normal"
    augmenter_width: int = 64
    augmenter_steps: int = 4

    def __post_init__(self):
        super().__post_init__()
        if self.augmenter not in AUGMENTERS:
            raise ValueError(f"augmenter must be one of {AUGMENTERS}, got {self.augmenter!r}.")
        for field, least in (("augment_channels", 0), ("augmenter_width", 1), ("augmenter_steps", 1)):
            if getattr(self, field) < least:
                raise ValueError(f"{field} must be at least {least}, got {getattr(self, field)}.")

    def augmented_shape(self, image_shape):
        """`[H, W, C + augment_channels]`, what the flow is over."""
        *sides, channels = image_shape
        return [*sides, channels + self.augment_channels]
