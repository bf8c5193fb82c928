"""Builds VFlow from an experiment: a Flow++ over the image and channels z, and the flow that draws z (sections 3 and 6)."""

from collections.abc import Sequence

import tensorflow_probability as tfp

from reproductions.flowpp import model as flowpp
from reproductions.flowpp.model import Networks, context_network, noise_flow, stages
from reproductions.vflow.experiments import VFlowExperiment
from tfflows.bijectors import Chain, Logit
from tfflows.distributions.augmented_flow import AugmentedFlow
from tfflows.distributions.augmenters import FlowAugmenter, GaussianAugmenter, NormalAugmenter, make_augmenter
from tfflows.distributions.dequantized_flow import DequantizedFlow
from tfflows.distributions.dequantizers import UniformDequantizer, VariationalDequantizer
from tfflows.math.random import derive_seed

tfd = tfp.distributions


def build(experiment: VFlowExperiment, image_shape: Sequence[int], num_classes: int, seed: int) -> DequantizedFlow:
    """Builds the model of an experiment, over uint8 images.

    Args:
      experiment: The experiment.
      image_shape: Shape `[H, W, C]` of the images.
      num_classes: Unused, because no model of the paper is conditional.
      seed: Seed of the initial parameters.

    Returns:
      The model. Its loss is in nats per image, as in the released code, and the optimizer clips the gradient of that loss.

    Raises:
      ValueError: If the experiment is conditional, or image and z cannot be split and squeezed as its stages ask.
    """
    del num_classes
    if experiment.conditional:
        raise ValueError(f"{experiment.name} is conditional, but no VFlow is.")
    return DequantizedFlow(
        flow(experiment, image_shape, seed),
        experiment.num_bits,
        dequantizer(experiment, image_shape, derive_seed(seed, "dequantizer")),
        dropout=experiment.dropout_rate > 0,
        loss_unit="nats",
    )


def flow(
    experiment: VFlowExperiment, image_shape: Sequence[int], seed: int
) -> tfd.TransformedDistribution | AugmentedFlow:
    """Builds the bound on the density of dequantized images, by a flow over their logits and z; without z, the density itself."""
    own_seed = derive_seed(seed, "flow")
    if not experiment.augment_channels:
        return flowpp.flow_distribution(experiment, image_shape, own_seed)
    *sides, channels = image_shape
    networks = Networks(experiment.width, experiment.num_blocks, experiment.mixer, experiment.invertible_conv)
    joint_shape = [*sides, channels + experiment.augment_channels]
    layers, latent_shape = stages(experiment, experiment.stages, joint_shape, networks, own_seed)
    base = tfd.Sample(tfd.Normal(0.0, 1.0), sample_shape=latent_shape)
    joint = tfd.TransformedDistribution(base, Chain(layers, name="vflow"), name="vflow")
    q = augmenter(experiment, image_shape, derive_seed(seed, "augmenter"))
    return AugmentedFlow(joint, q, preprocessing=Logit(margin=0.05))


def augmenter(
    experiment: VFlowExperiment, image_shape: Sequence[int], seed: int
) -> NormalAugmenter | GaussianAugmenter | FlowAugmenter:
    """Builds q(z | x), which gets the logits of the dequantized image (section 6, appendix B)."""
    width = experiment.augmenter_width or experiment.width
    if experiment.augmenter != "flow":
        return make_augmenter(
            experiment.augmenter, image_shape, experiment.augment_channels, width, seed=seed, dtype=experiment.precision
        )
    networks = Networks(
        width,
        experiment.augmenter_blocks,
        experiment.augmenter_mixer,
        experiment.noise_invertible_conv,
        experiment.context_width,
    )
    noise_shape = [*image_shape[:-1], experiment.augment_channels]
    bijector = noise_flow(experiment, experiment.augmenter_stages, noise_shape, networks, seed, "augmenter")
    context = context_network(experiment, image_shape, seed)
    return FlowAugmenter(bijector, context, experiment.augment_channels, experiment.checkerboard)


def dequantizer(
    experiment: VFlowExperiment, image_shape: Sequence[int], seed: int
) -> UniformDequantizer | VariationalDequantizer:
    """Builds the dequantizer of Flow++ with the couplings of VFlow."""
    return flowpp.dequantizer(experiment, image_shape, seed, experiment.noise_invertible_conv)
