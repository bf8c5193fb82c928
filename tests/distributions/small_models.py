"""The smallest model of every kind, of images `[4, 4, 3]`, and every kind of noise beside an image."""

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.bijectors import (
    ActNorm,
    AffineCoupling,
    Chain,
    GaussianPrior,
    InvertibleConv,
    Level,
    Logit,
    MultiScale,
    Squeeze,
)
from tfflows.distributions.agave import AGAVE
from tfflows.distributions.augmented_flow import AugmentedFlow
from tfflows.distributions.augmenters import FlowAugmenter, GaussianAugmenter, NormalAugmenter
from tfflows.distributions.classifying_flow import ClassifyingFlow
from tfflows.distributions.conditional_noise import ConditionalNoise
from tfflows.distributions.dequantized_flow import DequantizedFlow
from tfflows.distributions.dequantizers import UniformDequantizer, VariationalDequantizer
from tfflows.distributions.iaf_ladder import IAFLadder
from tfflows.distributions.iaf_vae import IAFVAE
from tfflows.distributions.pixelcnn_images import PixelCNNImages
from tfflows.networks import FeatureStream, ImageHead, PixelCNN, TopPrior

tfb, tfd = tfp.bijectors, tfp.distributions

SHAPE = [4, 4, 3]
NUM_CLASSES = 3
WIDTH = 2


class Pixelwise(keras.layers.Layer):
    """A dense layer on the channels of the input and of the context, if there is one, whatever the keys of dropout."""

    def __init__(self, channels, filters, dtype="float32"):
        super().__init__(dtype=dtype)
        self.dense = keras.layers.Dense(filters, "tanh", kernel_initializer="zeros", dtype=dtype)
        self.dense.build([None, channels])
        self.built = True

    def call(self, x, condition=None, dropout_keys=None):
        del dropout_keys
        return self.dense(tf.concat([x, *([] if condition is None else [condition["context"]])], axis=-1))


def step(channels, context=0, dtype="float32"):
    """Actnorm, 1x1 convolution, coupling."""
    network = Pixelwise(channels - channels // 2 + context, 2 * (channels // 2), dtype)
    coupling = AffineCoupling(
        network,
        parameter_order="contiguous",
        transformed_channels=channels // 2,
        conditional=context > 0,
        dtype=dtype,
    )
    return Chain([ActNorm([channels], dtype=dtype), InvertibleConv(channels, 1, dtype=dtype), coupling])


def normal_flow(bijector, shape, dtype="float32"):
    """The bijector's image of a standard normal."""
    base = tfd.Sample(tfd.Normal(tf.zeros([], dtype), 1.0), bijector.inverse_event_shape(tf.TensorShape(shape)))
    return tfd.TransformedDistribution(base, bijector)


def conditional_noise(dtype="float32"):
    return ConditionalNoise(step(3, WIDTH, dtype), Pixelwise(3, WIDTH, dtype), pattern=None)


def variational_dequantizer(dtype="float32"):
    sigmoid = tfb.Invert(tfb.Sigmoid())
    return VariationalDequantizer(Chain([step(3, WIDTH, dtype), sigmoid]), Pixelwise(3, WIDTH, dtype), pattern=None)


def normal_augmenter(dtype="float32"):
    return NormalAugmenter(2)


def gaussian_augmenter(dtype="float32"):
    return GaussianAugmenter(Pixelwise(3, 4, dtype), 2)


def flow_augmenter(dtype="float32"):
    return FlowAugmenter(step(2, WIDTH, dtype), Pixelwise(3, WIDTH, dtype), 2, pattern=None)


def augmented_flow(dtype="float32", augmenter=gaussian_augmenter, preprocessing=None):
    return AugmentedFlow(normal_flow(step(5, dtype=dtype), [4, 4, 5], dtype), augmenter(dtype), preprocessing)


def logit_augmented_flow(dtype="float32"):
    return augmented_flow(dtype, flow_augmenter, Logit(dtype=dtype))


def conditional_flow(dtype="float32"):
    """A flow of one level, given a label."""
    network = TopPrior([2, 2, 12], num_classes=NUM_CLASSES, dtype=dtype)
    network.build()
    prior = GaussianPrior(network, conditional=True, parameter_order="contiguous", dtype=dtype)
    bijector = MultiScale([Level(Chain([Squeeze(), step(12, dtype=dtype)]), prior)], SHAPE)
    return normal_flow(bijector, SHAPE, dtype)


def dequantized_flow(dtype="float32", dequantizer=None):
    return DequantizedFlow(normal_flow(step(3, dtype=dtype), SHAPE, dtype), 5, dequantizer)


def variational_flow(dtype="float32"):
    return dequantized_flow(dtype, variational_dequantizer(dtype))


def dequantized_augmented_flow(dtype="float32"):
    return DequantizedFlow(augmented_flow(dtype), 8)


def classifying_flow(dtype="float32"):
    return ClassifyingFlow(conditional_flow(dtype), 8, NUM_CLASSES, class_weight=0.1)


def iaf_vae(dtype="float32", scale=2, num_blocks=1, **options):
    ladder = IAFLadder(WIDTH, latent_channels=2, num_blocks=num_blocks, dtype=dtype)
    return IAFVAE(ladder, ImageHead(WIDTH, scale=scale, dtype=dtype), SHAPE, **options)


def pixelcnn(dtype="float32", num_blocks=0, num_components=1, **options):
    network = PixelCNN(WIDTH, filters=10 * num_components, num_blocks=num_blocks, dtype=dtype, **options)
    return PixelCNNImages(network, num_components, SHAPE)


def agave(dtype="float32", num_blocks=0, num_components=1, **options):
    stream = FeatureStream(WIDTH, num_blocks=num_blocks, dtype=dtype)
    pixels = pixelcnn(dtype, num_blocks, num_components, feature_channels=WIDTH)
    return AGAVE(iaf_vae(dtype), pixels, stream, **options)


NOISES = {
    "conditional_noise": conditional_noise,
    "variational_dequantizer": variational_dequantizer,
    "uniform_dequantizer": lambda dtype="float32": UniformDequantizer(),
    "normal_augmenter": normal_augmenter,
    "gaussian_augmenter": gaussian_augmenter,
    "flow_augmenter": flow_augmenter,
}
MODELS = {
    "dequantized_flow": dequantized_flow,
    "variational_flow": variational_flow,
    "dequantized_augmented_flow": dequantized_augmented_flow,
    "classifying_flow": classifying_flow,
    "iaf_vae": iaf_vae,
    "pixelcnn": pixelcnn,
    "agave": agave,
}


def scattered(module, deviation=0.15):
    """The module, each trained variable moved off its initial value."""
    generator = np.random.default_rng(0)
    for variable in module.trainable_variables:
        variable.assign_add(tf.cast(deviation * generator.standard_normal(variable.shape), variable.dtype))
    return module


def images(count=2, seed=0):
    """uint8 `[count, 4, 4, 3]`."""
    return tf.constant(np.random.default_rng(seed).integers(0, 256, [count, *SHAPE], dtype=np.uint8))


def labels(count=2):
    return tf.range(count) % NUM_CLASSES


def values(channels=3, count=2, dtype="float32", seed=0):
    """Numbers in (-1/2, 1/2), `[count, 4, 4, channels]`."""
    return tf.constant(np.random.default_rng(seed).uniform(-0.45, 0.45, [count, 4, 4, channels]), dtype)
