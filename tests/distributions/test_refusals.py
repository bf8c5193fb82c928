"""What models of images cannot be made of, or asked for, is refused by a sentence that says what was given."""

import functools

import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.distributions.agave import AGAVE
from tfflows.distributions.augmented_flow import AugmentedFlow
from tfflows.distributions.augmenters import NormalAugmenter, make_augmenter
from tfflows.distributions.dequantized_flow import DequantizedFlow
from tfflows.distributions.iaf_ladder import IAFLadder
from tfflows.distributions.iaf_vae import IAFVAE
from tfflows.distributions.image_model import ImageModel
from tfflows.distributions.pixelcnn_images import PixelCNNImages
from tfflows.math.random import row_keys
from tfflows.networks import FeatureStream, ImageHead, PixelCNN
from tfflows.tracing.memory import memory_scope
from tfflows.tracing.variables import as_variable

tfb, tfd = tfp.bijectors, tfp.distributions

IMAGES, LABELS = tf.zeros([2, 4, 4, 3], tf.uint8), tf.zeros([2], tf.int32)


def flow():
    return tfd.TransformedDistribution(tfd.Sample(tfd.Normal(0.0, 1.0), [4, 4, 3]), tfb.Identity())


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("elbo", (IMAGES, row_keys(0))),
        ("training_loss", (IMAGES, LABELS, row_keys(0))),
        ("initialize", (IMAGES, LABELS, row_keys(0))),
        ("sample", (2, row_keys(0))),
        ("reconstruct", (IMAGES, row_keys(0))),
    ],
)
def test_a_method_that_a_model_lacks_is_named(method, arguments):
    with pytest.raises(TypeError, match=f"ImageModel has no {method}"):
        getattr(ImageModel([4, 4, 3], "bare"), method)(*arguments)


@pytest.mark.parametrize(("num_components", "channels", "filters"), [(2, 3, 20), (1, 1, 3)])
def test_filters_and_colours_that_do_not_fit_the_mixture(num_components, channels, filters):
    network = PixelCNN(4, filters=10, num_blocks=1)
    with pytest.raises(
        ValueError, match=f"need a network of {channels} channels with {filters} filters, got 3 channels"
    ):
        PixelCNNImages(network, num_components=num_components, image_shape=[4, 4, channels])


def test_an_unknown_unit_of_the_loss():
    with pytest.raises(ValueError, match=r"loss_unit must be one of.*'wrong'"):
        DequantizedFlow(flow(), num_bits=8, loss_unit="wrong")


def test_a_bijector_in_place_of_a_flow():
    with pytest.raises(TypeError, match=r"DequantizedFlow needs a distribution, got .*TransformedDistribution"):
        DequantizedFlow(tfb.Identity(), num_bits=8)


def test_the_name_is_that_given():
    augmented = AugmentedFlow(flow(), NormalAugmenter(1), name="with_noise")
    assert augmented.name == "with_noise" and AugmentedFlow(flow(), NormalAugmenter(1)).name == "augmented_flow"
    assert DequantizedFlow(flow(), num_bits=8, name="model").name == "model"


@pytest.mark.parametrize("name", ["num_channels", "width", "num_steps"])
def test_sizes_of_an_augmenter(name):
    sizes = {"num_channels": 2, "width": 4, "num_steps": 1}
    with pytest.raises(ValueError, match=f"{name} of an augmenter must be at least 1, got 0"):
        make_augmenter("flow", image_shape=[4, 4, 3], **{**sizes, name: 0})
    made = make_augmenter("gaussian", image_shape=[4, 4, 3], num_channels=1, width=1, num_steps=1)
    z, log_prob = made.sample_and_log_prob(tf.zeros([2, 4, 4, 3]), row_keys(0))
    assert z.shape == [2, 4, 4, 1] and log_prob.shape == [2]


def models():
    vae = IAFVAE(IAFLadder(4, latent_channels=2, num_blocks=1), ImageHead(4), [4, 4, 3])
    pixels = PixelCNNImages(PixelCNN(4, filters=10, num_blocks=0), num_components=1, image_shape=[4, 4, 3])
    features = PixelCNN(4, filters=10, num_blocks=0, feature_channels=4)
    guided = PixelCNNImages(features, num_components=1, image_shape=[4, 4, 3])
    return {
        "flow": DequantizedFlow(flow(), num_bits=8),
        "vae": vae,
        "pixelcnn": pixels,
        "agave": AGAVE(vae, guided, FeatureStream(4, num_blocks=0)),
    }


@pytest.mark.parametrize("wrong", [tf.zeros([2, 4, 4, 3]), tf.zeros([2, 8, 4, 3], tf.uint8)], ids=["dtype", "shape"])
def test_what_is_no_batch_of_the_models_images(wrong):
    made = models()
    calls = {name: functools.partial(model.elbo, wrong, row_keys(0)) for name, model in made.items()}
    calls["pixelcnn given features"] = functools.partial(made["pixelcnn"].log_prob, wrong)
    for call in calls.values():
        with pytest.raises(ValueError, match=r"The model takes batches of uint8 images \(4, 4, 3\), got a batch of"):
            call()


@pytest.mark.parametrize("name", ["vae", "pixelcnn", "agave"])
def test_models_without_an_inverse_are_not_rebuilt_from_latents(name):
    with memory_scope("reversible"), pytest.raises(ValueError, match="use the memory mode 'recompute'"):
        models()[name].training_loss(IMAGES, LABELS, row_keys(0))


@pytest.mark.parametrize(
    ("name", "parts"),
    [("vae", ["ladder", "head"]), ("pixelcnn", ["network"]), ("agave", ["vae", "stream", "pixels"])],
)
def test_variables_of_the_parts_are_those_of_the_model(name, parts):
    model = models()[name]
    expected = {id(as_variable(v)) for part in parts for v in getattr(model, part).trainable_variables}
    own = {id(variable) for variable in model.trainable_variables}
    assert expected and expected <= own and len(own) - len(expected) == (name == "vae")  # its scale
