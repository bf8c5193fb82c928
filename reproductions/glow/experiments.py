"""The experiments of Glow (Kingma & Dhariwal 2018), as data.

The settings are those of the published commands of the released code, which are closest to those that gave the paper's numbers.
The forms printed in the paper are options of the same fields (see the README of this folder).
"""

import dataclasses

from reproductions.experiment import AugmentedExperiment, halvings_of
from reproductions.fields import setting


@dataclasses.dataclass(frozen=True)
class GlowExperiment(AugmentedExperiment):
    """An experiment with Glow. By default each field has the value of the released code.

    Attributes:
      levels: Number of levels, L.
      depth: Flow steps per level, K.
      width: Hidden channels of the coupling networks.
      permutation: Channel mixing: `reverse`, `shuffle`, `invertible` (1x1 convolution), `invertible_lu` (its released LU
        form), `invertible_lu_paper` (eq. 10 with s itself).
      coupling: Coupling, `additive` or `affine`.
      coupling_scale: Scale of an affine coupling: `sigmoid` (of r + 2, released) or `exp` (paper).
      coupling_order: Order of an affine coupling: `shift_then_scale` (released) or `scale_then_shift` (paper).
      conditioning_half: Half of the channels that conditions the other: `first` (released) or `second` (paper).
      actnorm_form: Form of actnorm: `shift_then_scale` (released) or `scale_then_shift` (paper).
      padding: Padding of convolutions: `border` (released: zeros and an extra border channel) or `zeros` (paper).
      split_prior: Prior between levels: `learned` (released) or `standard`, N(0, I) (paper).
      top_prior: Prior of the last level: `learned` (released, `--learntop`) or `standard` (paper).
      class_weight: Weight of the class loss of conditional models.
      optimizer: Optimizer: `adamax` (released) or `adam` (paper).
      beta_1: Decay of the first moments.
      beta_2: Decay of the second moments; the released code uses 1 - 1/(steps of 50,000 images).
    """

    levels: int = setting(3, at_least=1)
    depth: int = setting(32, at_least=1)
    width: int = setting(512, at_least=1)
    permutation: str = setting(
        "invertible", choices=("reverse", "shuffle", "invertible", "invertible_lu", "invertible_lu_paper")
    )
    coupling: str = setting("affine", choices=("additive", "affine"))
    coupling_scale: str = setting("sigmoid", choices=("sigmoid", "exp"))
    coupling_order: str = setting("shift_then_scale", choices=("shift_then_scale", "scale_then_shift"))
    conditioning_half: str = setting("first", choices=("first", "second"))
    actnorm_form: str = setting("shift_then_scale", choices=("shift_then_scale", "scale_then_shift"))
    padding: str = setting("border", choices=("border", "zeros"))
    split_prior: str = setting("learned", choices=("learned", "standard"))
    top_prior: str = setting("learned", choices=("learned", "standard"))
    class_weight: float = 0.0
    optimizer: str = setting("adamax", choices=("adamax", "adam"))
    beta_1: float = 0.9
    beta_2: float = 1 - 1 / 98

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.augment_channels and self.class_weight:
            raise ValueError(
                f"The class loss uses only the latent of the image: augment_channels={self.augment_channels} needs "
                "class_weight=0."
            )
        if self.image_size % 2**self.levels:
            raise ValueError(
                f"image_size={self.image_size} cannot be halved levels={self.levels} times; use fewer levels or a multiple "
                f"of {2**self.levels}."
            )


# In the released code, each of 8 workers has 64 images of 32x32 (the same number of pixels at other sizes). An epoch is 50,000
# such images for every data set, the learning rate warms up for 10 epochs, and training continues until stopped by hand. The
# 2,000 epochs are our choice.
_EPOCH_8_GPUS = 98
_EPOCH_40_GPUS = 20
_EPOCHS = 2000

_COMMON = {
    "num_steps": _EPOCHS * _EPOCH_8_GPUS,
    "evaluate_every": 50 * _EPOCH_8_GPUS,
    "warmup_steps": 977,
    "beta_2": 1 - 1 / _EPOCH_8_GPUS,
}
_SIZE_32 = {"image_size": 32, "batch_size": 512, "init_batch_size": 256, "evaluation_batch_size": 400, **_COMMON}
_SIZE_64 = {"image_size": 64, "batch_size": 128, "init_batch_size": 64, "evaluation_batch_size": 80, **_COMMON}
_40_GPUS = {
    "num_bits": 5,
    "coupling": "additive",
    "num_steps": _EPOCHS * _EPOCH_40_GPUS,
    "evaluate_every": 50 * _EPOCH_40_GPUS,
    "warmup_steps": 196,
    "beta_2": 1 - 1 / _EPOCH_40_GPUS,
}
_TABLE_2 = "table 2; released command"


def _cifar10(name, **changes):
    settings = {"dataset": "cifar10", "num_bits": 8, "augmentation": "shift", "source": _TABLE_2, **_SIZE_32, **changes}
    return GlowExperiment(name, **settings)


def _lsun(category):
    return [
        GlowExperiment(
            f"lsun_{category}",
            f"lsun_{category}",
            num_bits=8,
            depth=48,
            source=_TABLE_2,
            note="the appendix has L=4 (unverified), the released command L=3",
            **_SIZE_64,
        ),
        GlowExperiment(
            f"lsun_{category}_96",
            f"lsun_{category}_96",
            image_size=96,
            levels=5,
            depth=64,
            batch_size=280,
            init_batch_size=28,
            evaluation_batch_size=80,
            source="figures of samples; released command",
            note="the released code cannot run it: no test batch for 7 images a worker",
            **_40_GPUS,
        ),
        GlowExperiment(
            f"lsun_{category}_128",
            f"lsun_{category}_128",
            image_size=128,
            levels=5,
            depth=64,
            batch_size=160,
            init_batch_size=16,
            evaluation_batch_size=80,
            source="figures of samples; released command",
            **_40_GPUS,
        ),
    ]


_CONDITIONAL = {"num_bits": 5, "coupling": "additive", "conditional": True, "class_weight": 0.01}

_PUBLISHED = [
    _cifar10("cifar10"),
    GlowExperiment("imagenet32", "imagenet32", num_bits=8, depth=48, source=_TABLE_2, **_SIZE_32),
    GlowExperiment("imagenet64", "imagenet64", num_bits=8, depth=48, levels=4, source=_TABLE_2, **_SIZE_64),
    *(experiment for category in ("bedroom", "tower", "church") for experiment in _lsun(category)),
    GlowExperiment(
        "celeba_hq",
        "celeba_hq",
        image_size=256,
        levels=6,
        batch_size=40,
        init_batch_size=4,
        evaluation_batch_size=40,
        source="section 6; released command",
        **_40_GPUS,
    ),
    _cifar10("cifar10_conditional", source="released command", **_CONDITIONAL),
    GlowExperiment(
        "imagenet32_conditional",
        "imagenet32_labels",
        depth=48,
        source="released command",
        **_CONDITIONAL,
        **_SIZE_32,
    ),
    *(
        _cifar10(
            f"ablation_{permutation}_{coupling}",
            permutation=permutation,
            coupling=coupling,
            source="figure 3; released command",
            note="seeds 0, 1, 2",
        )
        for coupling in ("additive", "affine")
        for permutation in ("reverse", "shuffle", "invertible")
    ),
]

# Not in the paper: takes a few minutes on two cores, with images that come with a pip package.
_OWN = [
    GlowExperiment(
        "demo",
        "photographs",
        image_size=32,
        num_bits=8,
        levels=3,
        depth=4,
        width=48,
        batch_size=32,
        init_batch_size=128,
        evaluation_batch_size=50,
        num_steps=1200,
        warmup_steps=100,
        evaluate_every=200,
        beta_2=1 - 1 / 1563,
        scale="small",
        source="ours",
        note="two photographs; shows that everything works",
    ),
]

# These test the claims of the ablation at a size that two cores train in minutes, by the protocol shared by all papers
# (reproductions/claims). The full arm has 0.5 million live parameters (499,956); depth and width are the same in all arms.
_CLAIMS = [
    GlowExperiment(
        f"claims_{permutation}_{coupling}",
        "cifar10_16",
        image_size=16,
        num_bits=8,
        levels=3,
        depth=4,
        width=84,
        permutation=permutation,
        coupling=coupling,
        batch_size=32,
        init_batch_size=256,
        evaluation_batch_size=500,
        num_steps=3000,
        warmup_steps=300,
        beta_2=1 - 1 / 1563,
        evaluate_every=500,
        scale="claims",
        source="figure 3, reduced",
        note="claims study; seeds 0, 1, 2",
    )
    for coupling in ("additive", "affine")
    for permutation in ("reverse", "shuffle", "invertible")
]

# The full arm with VFlow's three extra channels, at the same number of live parameters (493,760).
_AUGMENTED = dataclasses.replace(
    _CLAIMS[-1],
    name="claims_augmented",
    width=40,
    augment_channels=3,
    augmenter="flow",
    augmenter_width=16,
    augmenter_steps=2,
    source="VFlow, section 4, reduced",
    note="claims study of VFlow",
)

EXPERIMENTS = {experiment.name: experiment for experiment in [*_PUBLISHED, *_OWN, *_CLAIMS, _AUGMENTED]}


def paper_form(experiment: GlowExperiment) -> dict[str, object]:
    """Returns the fields of an experiment as the paper's text has them, where the released code has another form."""
    del experiment  # the same for all
    return {
        "coupling_scale": "exp",
        "coupling_order": "scale_then_shift",
        "conditioning_half": "second",
        "actnorm_form": "scale_then_shift",
        "padding": "zeros",
        "split_prior": "standard",
        "top_prior": "standard",
    }


def at_size(experiment: GlowExperiment, height: int, width: int) -> GlowExperiment:
    """Returns the experiment for images of another size: as many levels as leave at least 4x4 pixels, as in the paper."""
    return dataclasses.replace(experiment, image_size=min(height, width), levels=halvings_of(height, width))


def small(experiment: GlowExperiment) -> GlowExperiment:
    """Returns the experiment sized for two CPU cores: same structure, narrower and shallower, fewer and smaller batches."""
    batch_size = max(2, min(32, 32 * 32 * 32 // experiment.image_size**2))
    return dataclasses.replace(
        experiment,
        depth=min(experiment.depth, 4),
        width=min(experiment.width, 64),
        batch_size=min(experiment.batch_size, batch_size),
        init_batch_size=min(experiment.init_batch_size, 4 * batch_size),
        evaluation_batch_size=min(experiment.evaluation_batch_size, 4 * batch_size),
        num_steps=min(experiment.num_steps, 8000),
        warmup_steps=min(experiment.warmup_steps, 400),
        beta_2=1 - 1 / 1563,
        evaluate_every=500,
        scale="small",
    )
