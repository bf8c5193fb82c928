"""The experiments of RealNVP (Dinh et al. 2017), as data.

The settings are those of the paper; where it leaves something open, those of the released code (see the README of this folder).
"""

import dataclasses

from reproductions.experiment import Experiment, halvings_of
from reproductions.fields import setting


@dataclasses.dataclass(frozen=True)
class RealNVPExperiment(Experiment):
    """An experiment with RealNVP. By default each field has the value of the released code.

    Attributes:
      levels: Number of scales (`n_scale`); the image is halved once less.
      width: Hidden channels of the residual networks at the first scale (`base_dim`); each scale doubles them, and so does the
        squeeze within one.
      num_blocks: Residual blocks of a network (`residual_blocks`).
      margin: Distance of the logit's argument from 0 and 1: 0.05, for a `data_constraint` of 0.9.
      scale_penalty: Factor of the sum of squares of the learned norms and of the checkerboard couplings' scales, which is added
        to the loss in nats per image.
      clip_norm: Maximum norm of the gradient of that loss.
      beta_1: Decay of Adam's first moments.
      beta_2: Decay of its second moments.
    """

    levels: int = setting(4, at_least=1)
    width: int = setting(32, at_least=1)
    num_blocks: int = setting(2, at_least=1)
    margin: float = setting(0.05, at_least=0, below=0.5)
    scale_penalty: float = setting(5e-5, at_least=0)
    clip_norm: float = setting(100.0, above=0)
    beta_1: float = 0.9
    beta_2: float = 0.999
    init_batch_size: int = setting(0, at_least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.image_size % 2 ** (self.levels - 1):
            raise ValueError(
                f"image_size={self.image_size} cannot be halved levels - 1 = {self.levels - 1} times; use fewer levels or a "
                f"multiple of {2 ** (self.levels - 1)}."
            )
        if self.conditional:
            raise ValueError(f"{self.name} is conditional, but no RealNVP here is: set conditional=false.")


_TABLE_1 = "table 1"
# Neither paper nor code says how long to train: the numbers of steps are ours (see the README).
_COMMON = {"num_bits": 8, "batch_size": 64, "evaluation_batch_size": 100, "evaluate_every": 5000}
_SIZE_64 = {"image_size": 64, "levels": 5, "num_blocks": 2, **_COMMON}
_FACES_AND_SCENES = {
    **_SIZE_64,
    "augmentation": "flip",
    "source": _TABLE_1,
    "note": "2 residual blocks (paper); the README of the code has 4",
}

_PUBLISHED = [
    RealNVPExperiment(
        "cifar10",
        "cifar10",
        image_size=32,
        levels=2,
        width=64,
        num_blocks=8,
        augmentation="flip",
        num_steps=80_000,
        source=_TABLE_1,
        note="the released code does not read CIFAR-10",
        **_COMMON,
    ),
    RealNVPExperiment(
        "imagenet32",
        "imagenet32",
        image_size=32,
        levels=4,
        num_blocks=4,
        num_steps=500_000,
        source=f"{_TABLE_1}; released command",
        **_COMMON,
    ),
    RealNVPExperiment("imagenet64", "imagenet64", num_steps=500_000, source=_TABLE_1, **_SIZE_64),
    *(
        RealNVPExperiment(f"lsun_{category}", f"lsun_{category}", num_steps=200_000, **_FACES_AND_SCENES)
        for category in ("bedroom", "tower", "church")
    ),
    RealNVPExperiment("celeba64", "celeba64", num_steps=60_000, **_FACES_AND_SCENES),
]

EXPERIMENTS = {experiment.name: experiment for experiment in _PUBLISHED}


def at_size(experiment: RealNVPExperiment, height: int, width: int) -> RealNVPExperiment:
    """Returns the experiment for images of another size: as many scales as leave at least 4x4 pixels, as in the paper."""
    return dataclasses.replace(
        experiment, image_size=min(height, width), levels=1 + halvings_of(height, width, at_most=experiment.levels - 1)
    )


def has_batch_norm(experiment: RealNVPExperiment) -> bool:
    """Whether images are normalized with the statistics of their batch: in every experiment."""
    del experiment
    return True


def small(experiment: RealNVPExperiment) -> RealNVPExperiment:
    """Returns the experiment sized for two CPU cores: same structure, narrower and shallower, fewer and smaller batches."""
    batch_size = max(8, min(32, 32 * 32 * 32 // experiment.image_size**2))
    return dataclasses.replace(
        experiment,
        width=min(experiment.width, max(4, 64 >> experiment.levels)),
        num_blocks=min(experiment.num_blocks, 2),
        batch_size=min(experiment.batch_size, batch_size),
        evaluation_batch_size=min(experiment.evaluation_batch_size, 4 * batch_size),
        num_steps=min(experiment.num_steps, 8000),
        evaluate_every=500,
        scale="small",
    )
