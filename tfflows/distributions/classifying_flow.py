"""A flow of labelled images with a second loss: a linear classifier on the last level's output."""

import math

import tensorflow as tf

from tfflows.distributions.dequantized_flow import DequantizedFlow
from tfflows.distributions.quantization import bits_per_dim
from tfflows.networks import ZeroDense
from tfflows.tracing.walk import variables_of_layers


class ClassifyingFlow(DequantizedFlow):
    """A conditional flow whose loss is `bits_per_dim + class_weight * cross_entropy / ln 2`.

    The logits are a linear map, zero at init, of the spatial mean of the top latent before it is whitened.

    Source: the released Glow code (`--ycond --weight_y`).
    """

    metric_names = ("bits_per_dim", "class_bits", "classification_error")

    def __init__(self, flow, num_bits, num_classes, class_weight, name="classifying_flow"):
        """Args: flow: over a `MultiScale` whose last prior is conditional; class_weight: Python `float`; rest as above."""
        super().__init__(flow, num_bits, name=name)
        self.class_weight = class_weight
        self.classifier = ZeroDense(num_classes)
        self.classifier.build([None, flow.bijector.part_shapes[-1][-1]])
        self._layer_variables = variables_of_layers(self.classifier)

    def class_logits(self, v, labels):
        """Logits `[B, num_classes]` of dequantized images `v`."""
        bijector = self.flow.bijector
        top = bijector.split_latent(bijector.inverse(v, condition=labels))[-1]
        prior = bijector.levels[-1].prior
        top = prior.forward(top, condition=labels)
        return self.classifier(tf.reduce_mean(top, axis=[1, 2]))

    def training_loss(self, images, labels, keys):
        """As `DequantizedFlow.training_loss`; metrics also `class_bits` (an image) and `classification_error`."""
        v = self.dequantize(images, keys)
        logits = self.class_logits(v, labels)
        bits = bits_per_dim(self.elbo_of_dequantized(v, labels), self.num_dimensions)
        class_bits = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits) / math.log(2.0)
        error = tf.cast(tf.argmax(logits, axis=-1, output_type=tf.int32) != labels, tf.float32)
        metrics = {"bits_per_dim": bits, "class_bits": class_bits, "classification_error": error}
        return bits + self.class_weight * class_bits, metrics
