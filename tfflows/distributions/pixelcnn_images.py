"""Images whose pixels follow one another: PixelCNN++."""

import tensorflow as tf

from tfflows.distributions.discretized_logistic_mixture import DiscretizedLogisticMixture
from tfflows.distributions.image_model import ImageModel, refuse_reversible
from tfflows.distributions.quantization import bits_per_dim
from tfflows.math.discretized_logistic_mixture import to_levels, to_pixels
from tfflows.math.random import fold_in, uniform_rows
from tfflows.networks.pixelcnn.sampling import cached_sample
from tfflows.tracing.walk import variables_of_layers

# Of the released code: uniform numbers are not nearer to 0 and 1.
_MIN_UNIFORM = 1e-5


class PixelCNNImages(ImageModel):
    """`ln P(x) = sum_i ln P(x_i | x_<i)`: each pixel under a mixture of discretized logistics given those before it.

    Exact, so `elbo` is the log-probability itself. May be conditioned on the features of another image.

    #### References

    Salimans et al. 2017; conditioned: Lucas & Verbeek 2018, section 3.
    """

    def __init__(self, network, num_components, image_shape, name="pixelcnn"):
        """Creates the model.

        Args:
          network: `tfflows.networks.PixelCNN` with `10 num_components` filters, of images of three channels.
          num_components: Python `int`.
          image_shape: Python `int`s `[H, W, 3]`.
          name: Python `str`.

        Raises:
          ValueError: if network, components and images do not fit.
        """
        super().__init__(image_shape, name)
        if network.filters != 10 * num_components or self.image_shape[-1] != 3:
            raise ValueError(
                f"{num_components} components of three colours need {10 * num_components} filters and images of three "
                f"channels; got {network.filters} and {self.image_shape}."
            )
        self.network = network
        self._layer_variables = variables_of_layers(network)
        self._num_components = num_components

    def log_prob(self, images, features=None, dropout_keys=None):
        """`ln P(images | features)`, nats `[B]`; features as the network takes them; keys of dropout masks, None for none."""
        images = self._checked(images)
        return self._log_prob(images, self.network(to_pixels(images), features, dropout_keys))

    def _log_prob(self, images, parameters):
        pixels = DiscretizedLogisticMixture(parameters, self._num_components)
        return tf.reduce_sum(pixels.log_prob(images), axis=[1, 2])

    def elbo(self, images, keys, condition=None):
        """`ln P(images)`, nats `[B]`; keys and condition are not used."""
        del keys, condition
        return self.log_prob(images)

    def training_loss(self, images, labels, keys):
        """Minus the log-probability under dropout, in nats an image, and the metrics: all `[B]`."""
        del labels
        refuse_reversible()
        log_prob = self.log_prob(images, dropout_keys=fold_in(keys, "dropout"))
        return -log_prob, {"bits_per_dim": bits_per_dim(log_prob, self.num_dimensions)}

    def initialize(self, images, labels, keys):
        """Data-dependent init from one batch, under dropout as in the released code; returns the network's output on it."""
        del labels
        return self.network.initialize(to_pixels(self._checked(images)), None, fold_in(keys, "dropout"))

    def sample(self, num_samples, keys, temperature=1.0, condition=None):
        """uint8 images `[num_samples, H, W, 3]`; temperature: factor of all noise."""
        del condition
        return self.sample_given(None, num_samples, keys, temperature)

    def sample_given(self, features, num_samples, keys, temperature=1.0):
        """As `sample`, given features. Colours are rounded to levels before the next one sees them, so that draws are exact."""
        height, width, _ = self.image_shape
        shape = [height, width, self._num_components + 3]
        uniforms = uniform_rows(fold_in(keys, "pixels"), num_samples, shape)
        uniforms = tf.ensure_shape(
            _MIN_UNIFORM + (1 - 2 * _MIN_UNIFORM) * uniforms, [tf.get_static_value(num_samples), *shape]
        )
        component, logistic = tf.split(uniforms, [self._num_components, 3], axis=-1)
        pixels = cached_sample(
            self.network, self._num_components, component, logistic, features, temperature, rounded=True
        )
        return to_levels(pixels)
