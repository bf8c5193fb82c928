"""Builds AGAVE, IAF-VAE and PixelCNN++ from an experiment."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from reproductions.agave.experiments import IAF_VAE, PIXELCNN, AgaveExperiment
from reproductions.experiment import check_sides
from tfflows.distributions.agave import AGAVE
from tfflows.distributions.iaf_ladder import IAFLadder
from tfflows.distributions.iaf_vae import IAFVAE
from tfflows.distributions.pixelcnn_images import PixelCNNImages
from tfflows.math.discretized_logistic_mixture import num_parameters
from tfflows.math.random import derive_seed
from tfflows.networks import FeatureStream, ImageHead, PixelCNN
from tfflows.tracing.variables import named_variables
from tfflows.training.optimizers import IAFAdamax, PixelCNNAdam
from tfflows.training.schedules import GeometricDecay, Linear, LinearWarmup, Piecewise


def build(
    experiment: AgaveExperiment, image_shape: Sequence[int], num_classes: int, seed: int
) -> AGAVE | IAFVAE | PixelCNNImages:
    """Builds the model of an experiment, over uint8 images.

    Args:
      experiment: The experiment.
      image_shape: Shape `[H, W, C]` of the images. Pixels of three colours are coupled (green depends on red, blue on both); a
        gray pixel has none to couple.
      num_classes: Number of classes, for a conditional PixelCNN++.
      seed: Seed of the initial parameters.

    Returns:
      The model. Its loss is in nats per image.

    Raises:
      ValueError: If the experiment is conditional and not of a PixelCNN++ on its own, or there are no classes, or the image's
        sides do not fit its networks.
    """
    if experiment.conditional and experiment.model != PIXELCNN:
        raise ValueError(
            f"{experiment.name} is conditional, but no AGAVE or IAF-VAE is, only a PixelCNN++ on its own (model={PIXELCNN})."
        )
    if experiment.conditional and num_classes < 1:
        raise ValueError(
            f"{experiment.name} is conditional and needs labels: num_classes must be positive, got {num_classes}."
        )
    if experiment.model != IAF_VAE:
        check_sides(image_shape, 2, "--set model=iaf_vae")
    if experiment.model != PIXELCNN:
        check_sides(image_shape, experiment.vae_depth, "--set vae_depth=N")
    if experiment.model == PIXELCNN:
        classes = num_classes if experiment.conditional else 0
        return pixelcnn(experiment, image_shape, derive_seed(seed, "pixelcnn"), num_classes=classes)
    latent = vae(experiment, image_shape, derive_seed(seed, "vae"))
    if experiment.model == IAF_VAE:
        return latent
    return AGAVE(
        latent,
        pixelcnn(experiment, image_shape, derive_seed(seed, "pixelcnn"), experiment.width),
        feature_stream(experiment, image_shape, derive_seed(seed, "stream")),
        weight=experiment.kl_weight,
        auxiliary=experiment.auxiliary,
        free_bits=experiment.joint_free_bits,
        pretrained=experiment.pretraining_steps > 0,
    )


def vae(experiment: AgaveExperiment, image_shape: Sequence[int], seed: int) -> IAFVAE:
    """Builds the encoder and the decoder of the auxiliary image (Kingma et al. 2016)."""
    options = {"compatibility": experiment.compatibility, "dtype": experiment.precision}
    channels = image_shape[-1]
    ladder = IAFLadder(
        experiment.vae_width,
        experiment.latent_channels,
        experiment.vae_depth,
        experiment.vae_blocks,
        channels,
        seed=derive_seed(seed, "ladder"),
        **options,
    )
    head = ImageHead(
        experiment.vae_width, 2 / experiment.auxiliary_factor, channels, seed=derive_seed(seed, "head"), **options
    )
    return IAFVAE(
        ladder,
        head,
        image_shape,
        experiment.auxiliary_levels,
        experiment.scale_per_colour,
        experiment.open_edges,
        experiment.free_bits,
        experiment.initial_log_scale,
    )


def pixelcnn(
    experiment: AgaveExperiment,
    image_shape: Sequence[int],
    seed: int,
    feature_channels: int = 0,
    num_classes: int = 0,
) -> PixelCNNImages:
    """Builds the autoregressive decoder (Salimans et al. 2017), conditioned on features or labels if there are any."""
    network = PixelCNN(
        experiment.width,
        num_parameters(experiment.num_components, image_shape[-1]),
        experiment.num_blocks,
        feature_channels=feature_channels,
        injection=experiment.injection,
        # After pretraining, the weights on the features start at 0, so that nothing is lost.
        feature_init_scale=0.0 if experiment.pretraining_steps else 1.0,
        dropout_rate=experiment.dropout_rate,
        channels=image_shape[-1],
        seed=seed,
        num_classes=num_classes,
        dtype=experiment.precision,
    )
    return PixelCNNImages(network, experiment.num_components, image_shape)


def feature_stream(experiment: AgaveExperiment, image_shape: Sequence[int], seed: int) -> FeatureStream:
    """Builds the network that computes the pixel decoder's features from f(z) (section 3)."""
    return FeatureStream(
        experiment.width,
        experiment.num_blocks,
        experiment.features,
        experiment.dropout_rate,
        image_shape[-1],
        seed=seed,
        dtype=experiment.precision,
    )


def parts_of_stages(model: AGAVE) -> dict[str, dict[str, tf.Variable]]:
    """Returns the variables that a model takes over from pretraining, `{stage: {name in that stage's model: variable}}`."""
    pixels = named_variables(model.pixels)
    return {
        "vae": named_variables(model.vae),
        "pixelcnn": {name: variable for name, variable in pixels.items() if "/feature/" not in name},
    }


def optimizer(
    experiment: AgaveExperiment, learning_rate: float | keras.optimizers.schedules.LearningRateSchedule
) -> keras.optimizers.Optimizer:
    """Builds the optimizer: Adamax as in the released IAF, or Adam as in the released PixelCNN++."""
    return {"adamax": IAFAdamax, "adam": PixelCNNAdam}[experiment.optimizer](learning_rate)


def build_schedule(experiment: AgaveExperiment) -> keras.optimizers.schedules.LearningRateSchedule:
    """Builds the learning rate: linear warm-up from 0 over `warmup_steps`, then a factor `decay` per step, or constant for 1."""
    peak, warmup = experiment.learning_rate, experiment.warmup_steps
    if experiment.decay == 1:
        return LinearWarmup(peak, warmup)
    pieces = [Linear(warmup, 0.0, peak)] if warmup else []
    return Piecewise([*pieces, GeometricDecay(None, peak, experiment.decay)])
