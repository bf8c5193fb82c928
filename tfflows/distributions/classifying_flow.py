"""A flow of labelled images with a second loss: a linear classifier on the last level's output."""

import math

import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.distributions.dequantized_flow import DequantizedFlow
from tfflows.distributions.dequantizers import bits_per_dim
from tfflows.math.random import RowKeys
from tfflows.networks import ZeroDense
from tfflows.tracing.variables import variables_of_layers

tfd = tfp.distributions


class ClassifyingFlow(DequantizedFlow):
    """A conditional flow whose loss is `bits_per_dim + class_weight * cross_entropy / ln 2`.

    The logits are a linear map, zero at init, of the spatial mean of the top latent before it is whitened.

    Example:
      At init all classes are equally probable: the class costs `log2 4 = 2` bits per image.

      >>> import tensorflow as tf
      >>> import tensorflow_probability as tfp
      >>> from tfflows.bijectors import Chain, GaussianPrior, Level, MultiScale, Squeeze
      >>> from tfflows.distributions.classifying_flow import ClassifyingFlow
      >>> from tfflows.math.random import row_keys
      >>> from tfflows.networks import TopPrior
      >>> tfd = tfp.distributions
      >>> network = TopPrior([2, 2, 4], num_classes=4)
      >>> network.build()
      >>> prior = GaussianPrior(network, conditional=True)
      >>> bijector = MultiScale([Level(Chain([Squeeze()]), prior)], image_shape=[4, 4, 1])
      >>> flow = tfd.TransformedDistribution(tfd.Sample(tfd.Normal(0.0, 1.0), [16]), bijector)
      >>> model = ClassifyingFlow(flow, num_bits=8, num_classes=4, class_weight=0.01)
      >>> images, labels = tf.zeros([3, 4, 4, 1], tf.uint8), tf.constant([0, 1, 2])
      >>> loss, metrics = model.training_loss(images, labels, row_keys(seed=0))
      >>> print(metrics["class_bits"].numpy())
      [2. 2. 2.]

    References:
      Kingma & Dhariwal 2018, https://arxiv.org/abs/1807.03039; released code (openai/glow), `--ycond --weight_y`.
    """

    metric_names = ("bits_per_dim", "class_bits", "classification_error")

    def __init__(
        self,
        flow: tfd.TransformedDistribution,
        num_bits: int,
        num_classes: int,
        class_weight: float,
        name: str = "classifying_flow",
    ) -> None:
        """Creates the model.

        Args:
          flow: Transformed standard normal by a `MultiScale` whose last prior is conditional.
          num_bits: Bits per colour, 1 to 8.
          num_classes: Number of classes.
          class_weight: Weight of the cross-entropy in bits per image.
          name: Name of the module.
        """
        super().__init__(flow, num_bits, name=name)
        self.class_weight = class_weight
        # Of a float32 flow the layer has Keras' global policy.
        self.classifier = ZeroDense(num_classes, dtype=None if flow.dtype == tf.float32 else flow.dtype.name)
        self.classifier.build([None, flow.bijector.part_shapes[-1][-1]])
        self._layer_variables = variables_of_layers(self.classifier)

    def class_logits(self, v: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Logits `[B, num_classes]` of dequantized images `v` `[B, H, W, C]` with labels int32 `[B]`."""
        bijector = self.flow.bijector
        top = bijector.split_latent(bijector.inverse(v, condition=labels))[-1]
        prior = bijector.levels[-1].prior
        top = prior.forward(top, condition=labels)
        return self.classifier(tf.reduce_mean(top, axis=[1, 2]))

    def training_loss(
        self, images: tf.Tensor, labels: tf.Tensor, keys: RowKeys
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """As `DequantizedFlow.training_loss`, with the further metrics `class_bits` (per image) and `classification_error`."""
        v = self.dequantize(images, keys)
        with self.training_pass():
            logits = self.class_logits(v, labels)
            bits = bits_per_dim(self.elbo_of_dequantized(v, labels), self.num_dimensions)
        class_bits = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits) / math.log(2.0)
        # Not in int32, which GPUs leave to the host.
        error = tf.cast(tf.argmax(logits, axis=-1) != tf.cast(labels, tf.int64), tf.float32)
        metrics = {"bits_per_dim": bits, "class_bits": class_bits, "classification_error": error}
        return bits + self.class_weight * class_bits, metrics
