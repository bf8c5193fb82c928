"""The experiments of AGAVE (Lucas & Verbeek 2018) and of its two parts, as data.

The paper leaves open much that a training run needs. The choices made here are numbered in the README of this folder.
"""

import dataclasses

from reproductions.experiment import Experiment
from reproductions.fields import setting

AGAVE, IAF_VAE, PIXELCNN = MODELS = ("agave", "iaf_vae", "pixelcnn")


@dataclasses.dataclass(frozen=True)
class AgaveExperiment(Experiment):
    """An experiment with AGAVE, or with an IAF-VAE or a PixelCNN++ on its own.

    Attributes:
      model: Model, `agave`, `iaf_vae` or `pixelcnn`.
      kl_weight: Weight of the KL term, lambda in the paper.
      auxiliary: Whether the objective has the auxiliary term (eq. 7) or not (eq. 6).
      auxiliary_size: Side of the auxiliary image: that of the image, half of it or a quarter of it.
      auxiliary_levels: Number of levels of each color of the auxiliary image.
      open_edges: Whether the outer bins of its likelihood include the tails.
      scale_per_colour: Whether its logistics have one scale per color, or one for all colors.
      initial_log_scale: Initial value of the log-scales, for images in [-1/2, 1/2].
      width: Channels of the streams of the PixelCNN++ and of the features.
      num_blocks: Units of the PixelCNN++ per resolution.
      num_components: Number of logistics in a mixture.
      dropout_rate: Dropout rate of the PixelCNN++ and the feature stream during training.
      features: Units of the feature stream, `gated` or `plain`.
      injection: Where the features enter: `both` streams, or only the `horizontal` one.
      vae_width: Channels of the ladder.
      latent_channels: Channels of each latent.
      vae_depth: Number of resolutions of the ladder.
      vae_blocks: Blocks per resolution.
      free_bits: Minimum KL of the VAE on its own, in nats per channel of latents; a smaller KL costs the same.
      joint_free_bits: The same in joint training.
      compatibility: Form of the VAE's layers: `released`, or `fixed` initial gains and transposed norms.
      pretraining_steps: Steps of the VAE and of the PixelCNN++ each before joint training; 0 trains them jointly from the start.
      optimizer: Optimizer, `adamax` (as in the released IAF) or `adam` (as in the released PixelCNN++).
      decay: Factor of the learning rate per step.
    """

    model: str = setting(AGAVE, choices=MODELS)
    kl_weight: float = setting(12.0, at_least=0)
    auxiliary: bool = True
    auxiliary_size: int = 32
    auxiliary_levels: int = setting(256, choices=(2, 4, 8, 16, 32, 64, 128, 256))
    open_edges: bool = False
    scale_per_colour: bool = True
    initial_log_scale: float = 0.0
    width: int = setting(160, at_least=1)
    num_blocks: int = setting(5, at_least=1)
    num_components: int = setting(10, at_least=1)
    dropout_rate: float = setting(0.5, at_least=0, below=1)
    features: str = setting("gated", choices=("gated", "plain"))
    injection: str = setting("both", choices=("both", "horizontal"))
    vae_width: int = setting(160, at_least=1)
    latent_channels: int = setting(32, at_least=1)
    vae_depth: int = setting(1, at_least=1)
    vae_blocks: int = setting(20, at_least=1)
    free_bits: float = setting(0.1, at_least=0)
    joint_free_bits: float = setting(0.0, at_least=0)
    compatibility: str = setting("released", choices=("released", "fixed"))
    pretraining_steps: int = setting(0, at_least=0)
    optimizer: str = setting("adamax", choices=("adamax", "adam"))
    decay: float = setting(1.0, above=0, at_most=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_bits != 8:
            raise ValueError(f"num_bits must be 8 for AGAVE and its parts, got {self.num_bits}.")
        if self.auxiliary_size * self.auxiliary_factor != self.image_size or self.auxiliary_factor not in (1, 2, 4):
            raise ValueError(
                f"auxiliary_size must be image_size, half or a quarter of it, got {self.auxiliary_size} for "
                f"image_size={self.image_size}."
            )

    @property
    def auxiliary_factor(self) -> int:
        """How many times smaller the auxiliary image is: 1, 2 or 4."""
        return self.image_size // max(self.auxiliary_size, 1)


_EPOCH = 50_000 // 128

_CIFAR10 = {
    "dataset": "cifar10",
    "image_size": 32,
    "num_bits": 8,
    "batch_size": 128,
    "init_batch_size": 128,
    "evaluation_batch_size": 100,
    "pretraining_steps": 400 * _EPOCH,
    "num_steps": 200 * _EPOCH,
    "learning_rate": 0.002,
    "ema_decay": 0.9995,
    "evaluate_every": 10 * _EPOCH,
}
_PIXELCNN = {
    "model": PIXELCNN,
    "init_batch_size": 16,
    "pretraining_steps": 0,
    "num_steps": 1500 * _EPOCH,
    "learning_rate": 1e-3,
    "decay": 0.999995,
    "optimizer": "adam",
}
_LAMBDAS = (1, 2, 4, 8, 16)  # table 1 has 12
_LEVELS = (128, 64, 32, 16, 8)


def _cifar10(name, source, **changes):
    return AgaveExperiment(name, **{**_CIFAR10, "source": source, **changes})


_PUBLISHED = [
    _cifar10("cifar10", "table 1; lambda 12"),
    _cifar10("cifar10_auxiliary_16", "section 4.2", auxiliary_size=16, note="lambda is ours"),
    _cifar10("cifar10_auxiliary_8", "section 4.2", auxiliary_size=8, note="lambda is ours"),
    *(_cifar10(f"cifar10_lambda_{value}", "figure 4", kl_weight=float(value)) for value in _LAMBDAS),
    *(
        _cifar10(f"cifar10_levels_{value}", "figure 5; lambda 8", kl_weight=8.0, auxiliary_levels=value)
        for value in _LEVELS
    ),
    _cifar10("cifar10_no_auxiliary", "eq. 6", kl_weight=1.0, auxiliary=False, note="the two networks without the loss"),
    _cifar10("cifar10_pixelcnn", "Salimans et al. 2017; released code", note="PixelCNN++, 2.92", **_PIXELCNN),
    # 53,659,080 parameters as without classes, and 64 units of 10 x 320 weights: 53,863,880, derived, not printed.
    _cifar10(
        "cifar10_pixelcnn_conditional",
        "Salimans et al. 2017; released code, class_conditional",
        conditional=True,
        note="class-conditional PixelCNN++",
        **_PIXELCNN,
    ),
    _cifar10(
        "cifar10_iaf_vae",
        "released code, its README",
        model=IAF_VAE,
        batch_size=256,
        init_batch_size=256,
        scale_per_colour=False,
        pretraining_steps=0,
        num_steps=2000 * (50_000 // 256),
        ema_decay=0.999,
        evaluate_every=10 * (50_000 // 256),
        note="IAF-VAE, 3.11",
    ),
]

# These test the claims of the paper at a size that two cores train in minutes, by the protocol shared by all papers
# (reproductions/claims). All arms except the two parts on their own are the same networks, trained jointly from the start.
_CLAIMS_SIZE = {
    "dataset": "cifar10_16",
    "image_size": 16,
    "auxiliary_size": 16,
    "width": 18,
    "num_blocks": 1,
    "num_components": 5,
    "vae_width": 32,
    "latent_channels": 8,
    "vae_blocks": 2,
    "kl_weight": 2.0,
    "batch_size": 32,
    "init_batch_size": 128,
    "evaluation_batch_size": 250,
    "pretraining_steps": 0,
    "num_steps": 3000,
    "warmup_steps": 300,
    "dropout_rate": 0.0,  # too few steps to overfit
    "initial_log_scale": -2.0,  # Adamax takes a thousand steps to get there from the published 0
    "ema_decay": 0.99,
    "evaluate_every": 600,
    "scale": "claims",
    "source": "eq. 6 and 7, figures 4 and 5, reduced",
    "note": "claims study",
}
_CLAIMS_ARMS = {
    "guided": {},
    "no_auxiliary": {"auxiliary": False, "kl_weight": 1.0},
    **{f"lambda_{value}": {"kl_weight": float(value)} for value in (1, 4, 8, 12, 16)},
    # Other auxiliary images, with lambda 8 as in figure 5.
    **{f"levels_{value}": {"auxiliary_levels": value, "kl_weight": 8.0} for value in (64, 16, 4)},
    **{f"auxiliary_{size}": {"auxiliary_size": size, "kl_weight": 8.0} for size in (8, 4)},
    "pixelcnn": {"model": PIXELCNN, "width": 30},
    "iaf_vae": {"model": IAF_VAE, "vae_width": 32, "vae_blocks": 6, "scale_per_colour": False},
}
_CLAIMS = [_cifar10(f"claims_{arm}", **{**_CLAIMS_SIZE, **changes}) for arm, changes in _CLAIMS_ARMS.items()]

EXPERIMENTS = {experiment.name: experiment for experiment in _PUBLISHED + _CLAIMS}


def small(experiment: AgaveExperiment) -> AgaveExperiment:
    """Returns the experiment sized for two CPU cores: same structure, narrower and shallower, fewer and smaller batches."""
    return dataclasses.replace(
        experiment,
        width=min(experiment.width, 16),
        num_blocks=1,
        num_components=min(experiment.num_components, 5),
        vae_width=min(experiment.vae_width, 32),
        latent_channels=min(experiment.latent_channels, 8),
        vae_blocks=min(experiment.vae_blocks, 4),
        batch_size=min(experiment.batch_size, 16),
        init_batch_size=min(experiment.init_batch_size, 64),
        evaluation_batch_size=min(experiment.evaluation_batch_size, 64),
        pretraining_steps=min(experiment.pretraining_steps, 1000),
        num_steps=min(experiment.num_steps, 2000),
        warmup_steps=100,
        decay=1.0,
        ema_decay=0.99,
        evaluate_every=1000,
        scale="small",
    )


def at_size(experiment: AgaveExperiment, height: int, width: int) -> AgaveExperiment:
    """Returns the experiment for images of another size, with an auxiliary image that is smaller by the same factor."""
    size = min(height, width)
    return dataclasses.replace(experiment, image_size=size, auxiliary_size=size // experiment.auxiliary_factor)


# Of joint training alone.
_JOINT = ("name", "kl_weight", "auxiliary", "joint_free_bits", "features", "injection")
_VAE_ALONE = (
    "auxiliary_size",
    "auxiliary_levels",
    "open_edges",
    "scale_per_colour",
    "initial_log_scale",
    "vae_width",
    "latent_channels",
    "vae_depth",
    "vae_blocks",
    "free_bits",
    "compatibility",
)
_PIXELCNN_ALONE = ("width", "num_blocks", "num_components", "dropout_rate")
# Fields on which the training of a stage does not depend.
UNUSED_BY_STAGES = {"vae": (*_JOINT, *_PIXELCNN_ALONE), "pixelcnn": (*_JOINT, *_VAE_ALONE)}

# The field that holds the number of steps of a stage.
STEPS_OF_STAGES = {"vae": "pretraining_steps", "pixelcnn": "pretraining_steps", "joint": "num_steps"}


def has_free_bits(experiment: AgaveExperiment) -> bool:
    """Whether the mean of a batch, not an image, decides which terms of its loss count."""
    return experiment.free_bits > 0 or experiment.joint_free_bits > 0


def stages(experiment: AgaveExperiment) -> dict[str, AgaveExperiment]:
    """Returns `{stage: experiment}` in order: VAE and PixelCNN++ on their own, then both jointly.

    Without pretraining there is only the stage `joint`.
    The VAE is trained on the auxiliary image with a KL weight of 1, and the PixelCNN++ without features. Both are independent.

    Args:
      experiment: The experiment of the last stage.
    """
    if experiment.model != AGAVE or not experiment.pretraining_steps:
        return {"joint": experiment}
    alone = {"num_steps": experiment.pretraining_steps, "pretraining_steps": 0}
    return {
        "vae": dataclasses.replace(experiment, name=f"{experiment.name}_vae", model=IAF_VAE, **alone),
        "pixelcnn": dataclasses.replace(experiment, name=f"{experiment.name}_pixelcnn", model=PIXELCNN, **alone),
        "joint": experiment,
    }
