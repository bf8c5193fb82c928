"""The experiments of MaCow (Ma et al. 2019), as data, in two variants.

`paper` is the published text, with details from the code of February 2019. `release` has the configurations that were released
later. See the README of this folder.
"""

import dataclasses
import math

from reproductions.experiment import AugmentedExperiment, halvings_of
from reproductions.fields import setting, text_of

VARIANTS = ("paper", "release")


@dataclasses.dataclass(frozen=True)
class MaCowExperiment(AugmentedExperiment):
    """An experiment with MaCow. Sequences may be given as text, as `--set` takes them.

    Attributes:
      variant: `paper` (masked kernels, two opposite orders, four units of two masked convolutions per step, priors that are a
        single coupling) or `release` (shifted kernels, four directions, two units of four, priors with actnorm and 1x1
        convolution).
      steps: Flow steps of each level. A level whose parts are factored out in between has several numbers:
        `((4,), (12, 12), (12, 12), (12,))`, as text `4, 12+12, 12+12, 12`. The first level works on the unsqueezed image (but see
        `bottom`); each of the others begins with a squeeze.
      widths: Hidden channels of the couplings and priors of each level.
      factors: For each level between the first and the last (without `bottom`: for each but the last), the number of parts of its
        channels. One part is factored out after each of its numbers of steps. A factor of 4 with two numbers of steps is the
        fine-grained architecture, a factor of 2 with one is the original architecture.
      kernel_height: Size of the masked convolutions across the lines.
      kernel_width: Size of the masked convolutions along the lines.
      coupling: Form of couplings and masked convolutions, `affine` or `additive`.
      prior_coupling: Form of the priors, `affine` or `additive`.
      dequantization: Dequantization, `uniform` or `variational`.
      dequantization_steps: Like `steps`, for the dequantizer.
      dequantization_widths: Like `widths`, for the dequantizer.
      dequantization_factors: Like `factors`, for the dequantizer; empty if there is no level in between.
      context_planes: Channels, at each resolution, of the network that computes the dequantizer's context.
      context_filters: Channels of the context.
      decay: Factor of the learning rate per step after warm-up.
      bottom: Whether the first level works on the unsqueezed image; otherwise it begins with a squeeze like the others.
      dequantization_bottom: The same for the dequantizer, whose context network then begins with a single convolution. The
        released one has 8 channels there, and for two levels `context_planes` are `8, 40, 72`.
    """

    variant: str = setting("paper", choices=VARIANTS)
    steps: tuple[tuple[int, ...], ...] = setting(((4,), (12, 12), (12, 12), (12,)), at_least=1)
    widths: tuple[int, ...] = setting((24, 512, 512, 512), at_least=1)
    factors: tuple[int, ...] = setting((4, 4), at_least=1)
    kernel_height: int = setting(3, at_least=1)
    kernel_width: int = setting(3, at_least=1)
    coupling: str = setting("affine", choices=("affine", "additive"))
    prior_coupling: str = setting("affine", choices=("affine", "additive"))
    dequantization: str = setting("uniform", choices=("uniform", "variational"))
    dequantization_steps: tuple[tuple[int, ...], ...] = setting(((4,), (4,)), at_least=1)
    dequantization_widths: tuple[int, ...] = setting((24, 256), at_least=1)
    dequantization_factors: tuple[int, ...] = setting((), at_least=1)
    context_planes: tuple[int, ...] = setting((32, 64), at_least=1)
    context_filters: int = setting(4, at_least=1)
    decay: float = setting(1.0, above=0, at_most=1)
    bottom: bool = True
    dequantization_bottom: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.context_planes:
            raise ValueError("context_planes needs at least one number, got none.")
        self.levels  # noqa: B018 - raises if they are not valid
        if self.dequantization == "variational":
            self.dequantization_levels  # noqa: B018

    @property
    def levels(self) -> list["LevelSizes"]:
        """Sizes of each level of the flow."""
        return level_sizes(self.steps, self.widths, self.factors, "", self.bottom)

    @property
    def dequantization_levels(self) -> list["LevelSizes"]:
        """Sizes of each level of the dequantizer."""
        fields = (self.dequantization_steps, self.dequantization_widths, self.dequantization_factors)
        return level_sizes(*fields, "dequantization_", self.dequantization_bottom)


@dataclasses.dataclass(frozen=True)
class LevelSizes:
    """Sizes of one level.

    Attributes:
      steps: Flow steps before each part is factored out.
      width: Hidden channels of the couplings and priors.
      factor: Number of parts of the channels; 1 if none is factored out.
    """

    steps: tuple[int, ...]
    width: int
    factor: int


def level_sizes(
    steps: tuple[tuple[int, ...], ...],
    widths: tuple[int, ...],
    factors: tuple[int, ...],
    prefix: str,
    bottom: bool = True,
) -> list[LevelSizes]:
    """Returns the sizes of each level.

    Args:
      steps: As in `MaCowExperiment`.
      widths: As in `MaCowExperiment`.
      factors: As in `MaCowExperiment`.
      prefix: Prefix of the names of these fields, for error messages.
      bottom: Whether the first level works on the unsqueezed image, so that no part is factored out there.

    Raises:
      ValueError: If their lengths do not match, or if a level would factor out more parts than it has.
    """
    num_whole = 2 if bottom else 1  # levels whose channels all go on
    if len(widths) != len(steps) or len(factors) != max(len(steps) - num_whole, 0) or len(steps) < 2:
        split = (
            "per level between the first and the last"
            if bottom
            else f"per level but the last, as {prefix}bottom is false"
        )
        raise ValueError(
            f"{prefix}steps={text_of(steps)!r} has {len(steps)} levels, and at least 2 are needed. "
            f"{prefix}widths needs one entry per level, got {text_of(widths)!r}, and "
            f"{prefix}factors one {split}, got "
            f"{text_of(factors)!r}."
        )
    if not all(steps):
        raise ValueError(f"Each level needs a number of steps; got {prefix}steps={text_of(steps)!r}.")
    for own, cut in zip(steps[num_whole - 1 : -1], factors, strict=True):
        if len(own) >= cut:
            raise ValueError(
                f"A level with {cut} parts can factor out fewer than {cut}; got {prefix}steps={text_of(steps)!r}."
            )
    if (bottom and len(steps[0]) > 1) or len(steps[-1]) > 1:
        which = "The first and the last level need" if bottom else "The last level needs"
        raise ValueError(f"{which} a single number of steps; got {prefix}steps={text_of(steps)!r}.")
    cuts = (1, *factors, 1) if bottom else (*factors, 1)
    return [LevelSizes(*sizes) for sizes in zip(steps, widths, cuts, strict=True)]


_DECAY = {"paper": 0.999998, "release": 0.999997}
_RELEASE_KERNEL = {"kernel_height": 2, "kernel_width": 5}
_NUM_IMAGES = {"cifar10": 50_000, "imagenet64": 1_281_149, "celeba_hq": 27_000}
_LSUN_IMAGES = {"bedroom": 3_033_042, "tower": 708_264, "church": 126_227}


def _until_stop(warmup_steps, decay):
    """Number of steps until the learning rate has fallen from 1e-3 to 1e-5, where the released code stops."""
    return warmup_steps + round(math.log(100) / -math.log(decay))


_CIFAR10 = {
    "dataset": "cifar10",
    "image_size": 32,
    "num_bits": 8,
    "augmentation": "crop_flip",
    "batch_size": 512,
    "init_batch_size": 2048,
    "evaluation_batch_size": 400,
    "num_steps": 10_000 * 98,
    "evaluate_every": 10 * 98,
}
_FOUR_LEVELS = {"image_size": 64, "widths": "24, 512, 512, 512, 512", "factors": "4, 4, 4"}
_Q1 = {"dequantization": "variational"}
_Q3 = {
    "dequantization": "variational",
    "dequantization_steps": "2, 4, 4",
    "dequantization_widths": "24, 256, 256",
    "dequantization_factors": "2",
    "context_planes": "32, 64, 96",
}
_Q2 = {**_Q3, "dequantization_steps": "6, 6, 4"}

_STEPS = {
    "paper": {
        "lsun128": "4, 20+20, 16+16, 16+16, 8+8, 4",
        "celeba_hq": "2, 12+12, 12+12, 8+8, 8+8, 4+4, 2",
    },
    "release": {
        "lsun128": "4, 32+32, 32+32, 16+16, 12+12, 6",
        "celeba_hq": "4, 24+24, 16+16, 16+16, 8+8, 4+4, 2",
    },
}


def _experiment(variant, name, num_images, warmup_steps, **settings):
    """An experiment of a variant on `num_images` training images, with the kernels, learning rate and name of the variant.

    The paper's variant warms up for an epoch, the release for `warmup_steps`. By default both evaluate once per epoch and train
    until the learning rate is 1e-5.
    """
    epoch = math.ceil(num_images / settings["batch_size"])
    warmup = epoch if variant == "paper" else warmup_steps
    kernel = {} if variant == "paper" else _RELEASE_KERNEL
    settings = {
        "variant": variant,
        "learning_rate": 1e-3,
        "warmup_steps": warmup,
        "decay": _DECAY[variant],
        "num_steps": _until_stop(warmup, _DECAY[variant]),
        "evaluate_every": epoch,
        "source": "table 1; code of February 2019" if variant == "paper" else "released configuration",
        **kernel,
        **settings,
    }
    return MaCowExperiment(name if variant == "paper" else f"{name}_release", **settings)


def _of_variant(variant):
    """Published experiments of a variant."""

    def cifar10(name, **changes):
        kernel = {} if variant == "paper" else {"kernel_width": 3}
        return _experiment(variant, name, _NUM_IMAGES["cifar10"], 50, **{**_CIFAR10, **kernel, **changes})

    def imagenet64(name, **changes):
        settings = {
            "dataset": "imagenet64",
            "num_bits": 8,
            "steps": "4, 16+16, 16+16, 12+12, 12",
            "batch_size": 512,
            "init_batch_size": 256,
            "evaluation_batch_size": 100,
            **_FOUR_LEVELS,
        }
        return _experiment(variant, name, _NUM_IMAGES["imagenet64"], 500, **{**settings, **changes})

    def celeba_hq(name, **changes):
        settings = {
            "dataset": "celeba_hq",
            "image_size": 256,
            "num_bits": 5,
            "steps": _STEPS[variant]["celeba_hq"],
            "widths": "24, 256, 256, 256, 256, 256, 512",
            "factors": "4, 4, 4, 4, 4",
            "coupling": "additive",
            "batch_size": 40,
            "init_batch_size": 32,
            "evaluation_batch_size": 20,
        }
        return _experiment(variant, name, _NUM_IMAGES["celeba_hq"], 500, **{**settings, **changes})

    def lsun64(category, suffix, **changes):
        settings = {
            "dataset": f"lsun_{category}",
            "num_bits": 5,
            "steps": "4, 16+16, 16+16, 12+12, 12",
            "batch_size": 128,
            "init_batch_size": 512,
            "evaluation_batch_size": 100,
            **_FOUR_LEVELS,
        }
        return _experiment(variant, f"lsun_{category}{suffix}", _LSUN_IMAGES[category], 500, **{**settings, **changes})

    def lsun128(category, suffix, **changes):
        settings = {
            "dataset": f"lsun_{category}_128",
            "image_size": 128,
            "num_bits": 5,
            "steps": _STEPS[variant]["lsun128"],
            "widths": "24, 256, 256, 256, 256, 512",
            "factors": "4, 4, 4, 4",
            "coupling": "additive",
            "prior_coupling": "affine" if variant == "paper" else "additive",
            "batch_size": 160,
            "init_batch_size": 512,
            "evaluation_batch_size": 50,
        }
        name = f"lsun_{category}_128{suffix}"
        return _experiment(variant, name, _LSUN_IMAGES[category], 500, **{**settings, **changes})

    no_text = "not in the paper's text"
    return [
        cifar10("cifar10_fine_grained"),
        cifar10("cifar10_var", **_Q1),
        cifar10(
            "cifar10_org",
            steps="4, 24, 24, 12",
            factors="2, 2",
            note="steps are ours: no such configuration is known",
        ),
        imagenet64("imagenet64_fine_grained"),
        imagenet64(
            "imagenet64_var", note="dequantizer of the release, with 3x3 masks" if variant == "paper" else "", **_Q2
        ),
        imagenet64(
            "imagenet64_org",
            steps="4, 28, 28, 20, 12",
            factors="2, 2, 2",
            note="steps are ours: no such configuration is known",
        ),
        celeba_hq("celeba_hq_uniform"),
        celeba_hq("celeba_hq_var", **_Q3),
        *(lsun64(category, "_uniform", note=no_text) for category in _LSUN_IMAGES),
        *(
            lsun64(category, "_var", note=f"{no_text}; dequantizer as of ImageNet64", **_Q2)
            for category in _LSUN_IMAGES
        ),
        *(lsun128(category, "_uniform", note=no_text) for category in _LSUN_IMAGES),
        *(lsun128(category, "_var", note=no_text, **_Q3) for category in _LSUN_IMAGES),
    ]


_PUBLISHED = [experiment for variant in VARIANTS for experiment in _of_variant(variant)]

EXPERIMENTS = {experiment.name: experiment for experiment in _PUBLISHED}

# These test the claims of tables 1 and 2 at a size that two cores train in minutes, by the protocol shared by all papers
# (reproductions/claims). Widths, and one more step in the release, are chosen such that all arms have half a million parameters.
# The dequantizer is the smallest that its structure allows, one step per level: 22 to 25% of them (published: 3 to 4%).
_CLAIMS_SIZE = {
    "dataset": "cifar10_16",
    "image_size": 16,
    "augmentation": "none",
    "factors": "4",
    "dequantization_steps": "1, 1",
    "dequantization_widths": "4, 8",
    "context_planes": "8, 8",
    "batch_size": 32,
    "init_batch_size": 256,
    "evaluation_batch_size": 250,
    "num_steps": 3000,
    "warmup_steps": 300,
    "decay": 1.0,
    "evaluate_every": 600,
    "scale": "claims",
    "source": "tables 1 and 2, reduced",
    "note": "claims study",
}
_CLAIMS_ARMS = {
    "paper": {
        "org": {"steps": "1, 2, 1", "factors": "2", "widths": "16, 136, 136"},
        "fine_grained": {"steps": "1, 1+1, 1", "widths": "16, 134, 134"},
        "var": {"steps": "1, 1+1, 1", "widths": "16, 70, 70", **_Q1},
    },
    "release": {
        "org": {"steps": "1, 3, 1", "factors": "2", "widths": "16, 138, 138"},
        "fine_grained": {"steps": "1, 2+1, 1", "widths": "16, 134, 134"},
        "var": {"steps": "1, 1+1, 1", "widths": "16, 120, 120", **_Q1},
    },
}


# With and without VFlow's three extra channels, at the same number of parameters. With six channels, three levels would have
# twice as many parameters.
_AUGMENTED = {
    "augment_channels": 3,
    "augmenter": "flow",
    "augmenter_width": 16,
    "augmenter_steps": 2,
    "steps": "1, 2",
    "widths": "16, 48",
}
_TWO_LEVELS = {"factors": "", "source": "VFlow, section 4, reduced", "note": "claims study of VFlow"}
_CLAIMS_OF_VFLOW = {
    "two_levels": {"steps": "1, 5", "widths": "16, 148", **_TWO_LEVELS},
    "two_levels_augmented": {**_AUGMENTED, **_TWO_LEVELS},
}


def _claims_of_variant(variant):
    """Arms of the claims study of a variant. The paper's variant also has two arms on 5 bits, and those of VFlow's study."""
    arms = dict(_CLAIMS_ARMS[variant])
    if variant == "paper":
        arms |= {f"{arm}_5bit": {**arms[arm], "num_bits": 5} for arm in ("fine_grained", "var")}
        arms |= _CLAIMS_OF_VFLOW
    suffix = "" if variant == "paper" else "_release"
    published = EXPERIMENTS[f"cifar10_fine_grained{suffix}"]
    return [
        dataclasses.replace(published, name=f"claims_{arm}{suffix}", **{**_CLAIMS_SIZE, **changes})
        for arm, changes in arms.items()
    ]


EXPERIMENTS |= {experiment.name: experiment for variant in VARIANTS for experiment in _claims_of_variant(variant)}


def at_size(experiment: MaCowExperiment, height: int, width: int) -> MaCowExperiment:
    """Returns the experiment for images of another size, without the inner levels for which they have too few pixels."""
    changes = {"image_size": min(height, width)}
    for prefix, bottom in (("", experiment.bottom), ("dequantization_", experiment.dequantization_bottom)):
        steps, widths, factors = (
            list(getattr(experiment, f"{prefix}{name}")) for name in ("steps", "widths", "factors")
        )
        squeezes = len(steps) - 1 if bottom else len(steps)
        for _ in range(min(squeezes - halvings_of(height, width, squeezes), len(steps) - 2)):
            del steps[-2], widths[-2], factors[-1]
        changes |= {
            f"{prefix}steps": tuple(steps),
            f"{prefix}widths": tuple(widths),
            f"{prefix}factors": tuple(factors),
        }
    return dataclasses.replace(experiment, **changes)


def small(experiment: MaCowExperiment) -> MaCowExperiment:
    """Returns the experiment sized for two CPU cores: same structure, narrower and shallower, fewer and smaller batches."""
    batch_size = max(2, min(16, 16 * 32 * 32 // experiment.image_size**2))

    def fewer(steps):
        return tuple((1,) * len(level) for level in steps)

    def narrower(widths, most):
        return tuple(min(width, most) for width in widths)

    return dataclasses.replace(
        experiment,
        steps=fewer(experiment.steps),
        widths=narrower(experiment.widths, 64),
        dequantization_steps=fewer(experiment.dequantization_steps),
        dequantization_widths=narrower(experiment.dequantization_widths, 32),
        context_planes=narrower(experiment.context_planes, 16),
        batch_size=min(experiment.batch_size, batch_size),
        init_batch_size=min(experiment.init_batch_size, 256),
        evaluation_batch_size=min(experiment.evaluation_batch_size, 8 * batch_size),
        num_steps=min(experiment.num_steps, 4000),
        warmup_steps=200,
        decay=1.0,
        evaluate_every=1000,
        scale="small",
    )
