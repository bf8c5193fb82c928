"""Parity with the authors' code of both dates: the arrays of tests/data/macow, which its modules computed in float64."""

import functools
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from reproductions.macow import model as macow
from reproductions.macow.experiments import MaCowExperiment
from reproductions.macow.model import build_schedule
from tests.slow import slow_but
from tfflows.bijectors import Chain, MaskedConv
from tfflows.distributions.dequantizers import center, quantize, to_images
from tfflows.interop.macow import export_weights, load_weights
from tfflows.networks import MaskedNetwork

DATA = pathlib.Path(__file__).parents[2] / "data" / "macow"
MASKED_CONVS = sorted(path.stem for path in DATA.glob("*_maskedconv_*"))
# Each order of the pixels, each kind of convolution and of kernel once: a compiler decodes them.
COMPILED_BY_DEFAULT = [
    "a_maskedconv_A_additive",
    "a_maskedconv_B_cond",
    "a_maskedconv_C_k5x2",
    "a_maskedconv_D_k3x2",
    "j_paperera_maskedconv_A_k3",
]
MODULES = [
    "b_unit_affine",
    "b_unit_additive",
    "b_unit_cond",
    "c_step_affine",
    "c_step_additive",
    "c_step_bottom3ch",
    "c_step_cond",
    "c_prior_factor2",
    "c_prior_factor3",
    "c_prior_factor4",
    "j_paperera_unit",
]
MODELS = ["d_full_finegrained_3level", "d_full_original_3level", "j_paperera_full_original_3level_2ch"]


@functools.cache
def arrays(name):
    with np.load(DATA / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


def config(name):
    return json.loads(str(arrays(name)["config_json"]))


def images(name, key, dtype=np.float32):
    return tf.constant(arrays(name)[key].transpose(0, 2, 3, 1).astype(dtype))


def condition(name, dtype=np.float32):
    return {"context": images(name, "s", dtype)} if "s" in arrays(name) else None


def variant(name):
    return "paper" if name.startswith("j_") else "release"


def form(name, kernel_size=(2, 3)):
    settings = config(name)
    affine = settings.get("scale", True)
    kernel_size = (3, 3) if variant(name) == "paper" else tuple(settings.get("kernel_size", kernel_size))
    return macow._Flow(variant(name), kernel_size, affine, affine, settings.get("s_channels", 0), "float32")


# --------------------------------------------------------------------------------------------------- masked convolutions


def masked_conv(name):
    settings, release = config(name), variant(name) == "release"
    kernel_size = settings["kernel_size"] if release else [3, 3]
    channels = settings["in_channels"]
    network = MaskedNetwork(
        channels * (2 if settings["scale"] else 1),
        kernel_size,
        "shifted" if release else "masked",
        settings["order"],
        context_filters=settings.get("s_channels", 0),
        dtype="float64",
    )
    network.build([None, None, None, channels])
    made = MaskedConv(network, settings["scale"], conditional="s" in arrays(name), dtype=tf.float64)
    load_weights(made, DATA / f"{name}.npz")
    return made


@pytest.mark.parametrize("name", slow_but(COMPILED_BY_DEFAULT, MASKED_CONVS))
def test_masked_convolution(name):
    bijector, x, given = masked_conv(name), images(name, "x", np.float64), condition(name, np.float64)
    z, log_det = bijector.inverse_and_log_det(x, given)
    np.testing.assert_allclose(z, images(name, "z", np.float64), rtol=0, atol=1e-10)
    np.testing.assert_allclose(log_det, arrays(name)["logdet"], rtol=0, atol=1e-10)
    decode = tf.function(bijector.forward_and_log_det, jit_compile=True, autograph=False)
    back, inverse_log_det = decode(tf.identity(z), given)
    np.testing.assert_allclose(back, x, rtol=0, atol=1e-12)
    np.testing.assert_allclose(inverse_log_det, -log_det, rtol=0, atol=1e-10)
    if "sample_z" in arrays(name):
        sample, _ = decode(images(name, "sample_z", np.float64), given)
        np.testing.assert_allclose(sample, images(name, "sample_x", np.float64), rtol=0, atol=1e-9)


@pytest.mark.parametrize("key", list(np.load(DATA / "a_footprints.npz")))
def test_a_pixel_sees_what_the_authors_see(key):
    """Their pictures of what reaches the pixel in the middle, from gradients of ours."""
    order, size = key.split("_")[1:]
    kernel_size = [int(side) for side in size.removeprefix("k").split("x")]
    np.testing.assert_array_equal(footprint(order, kernel_size), arrays("a_footprints")[key])


def footprint(order, kernel_size, kind="shifted"):
    network = MaskedNetwork(4, kernel_size, kind, order, dtype="float64")
    network.build([None, None, None, 2])
    x = tf.random.stateless_normal([1, 9, 9, 2], [0, 1], dtype=tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        out = network(x)[0, 4, 4]
    jacobian = tape.jacobian(out, x)
    return tf.cast(tf.reduce_any(jacobian != 0, axis=[0, 1, 4]), tf.int32).numpy()


@pytest.mark.parametrize("order", "AB")
def test_a_pixel_of_the_paper_sees_the_four_before_it(order):
    expected = np.zeros([9, 9])
    expected[3, 3:6] = expected[4, 3] = 1
    seen = footprint(order, [3, 3], "masked")
    np.testing.assert_array_equal(seen, expected if order == "A" else expected[::-1, ::-1])


# ---------------------------------------------------------------------------------------------------------------- modules


def module(name):
    settings = config(name)
    channels = settings["in_channels"]
    if "prior" in name:
        own = macow._Flow("release", (2, 3), True, settings["scale"], 0, "float32")
        return macow.prior(own, channels, settings["factor"], settings["hidden_channels"], 0)
    if "step" in name:
        return macow.flow_step(form(name), channels, settings["hidden_channels"], 0)
    orders = ["AB"] if variant(name) == "paper" else ["AB", "CD"]
    return Chain([layer for own in orders for layer in macow.unit(form(name), channels, own, 0)], name="unit")


@pytest.mark.parametrize(
    "name",
    slow_but([name for name in MODULES if not name.endswith(("additive", "step_affine", "factor3", "_cond"))], MODULES),
)
def test_module(name):
    bijector = module(name)
    load_weights(bijector, DATA / f"{name}.npz")
    check(bijector, name, 2e-6)


def check(bijector, name, tolerance):
    """Encoding, its log-determinant, decoding of it and of another latent, in float32."""
    x, given = images(name, "x"), condition(name)
    z, log_det = bijector.inverse_and_log_det(x, given)
    scale = np.abs(arrays(name)["z"]).max()
    np.testing.assert_allclose(z, images(name, "z"), rtol=0, atol=tolerance * max(scale, 1))
    np.testing.assert_allclose(log_det, arrays(name)["logdet"], rtol=10 * tolerance, atol=10 * tolerance)
    back, inverse_log_det = bijector.forward_and_log_det(tf.identity(z), given)
    np.testing.assert_allclose(back, x, rtol=0, atol=10 * tolerance * max(np.abs(x).max(), 1))
    np.testing.assert_allclose(inverse_log_det, -log_det, rtol=10 * tolerance, atol=10 * tolerance)
    sample, _ = bijector.forward_and_log_det(images(name, "sample_z"), given)
    expected = images(name, "sample_x")
    # The authors' inverse adds up to 1e-8 to every divisor.
    np.testing.assert_allclose(sample, expected, rtol=0, atol=10 * tolerance * max(np.abs(expected).max(), 1))


# ----------------------------------------------------------------------------------------------------------------- models


def experiment(settings, **changes):
    steps = [level if isinstance(level, list) else [level] for level in settings["num_steps"]]
    return MaCowExperiment(
        "fixture",
        "cifar10",
        image_size=8,
        num_bits=8,
        steps=", ".join("+".join(map(str, level)) for level in steps),
        widths=", ".join(map(str, settings["hidden_channels"])),
        factors=", ".join(map(str, settings["factors"])),
        **changes,
    )


@functools.cache
def model(name):
    settings = config(name)
    kernel = {} if variant(name) == "paper" else {"kernel_height": 2, "kernel_width": 3}
    made = macow.build(
        experiment(settings, variant=variant(name), **kernel), images(name, "x").shape[1:], num_classes=0, seed=0
    )
    load_weights(made, DATA / f"{name}.npz")
    return made


@pytest.mark.parametrize("name", slow_but(["d_full_original_3level"], MODELS))
def test_model(name):
    # Behind the doubling of the images, with which the authors' flow begins too, but outside of it.
    flow = Chain(model(name).flow.bijector.bijectors[1:])
    check(flow, name, 2e-5)
    if "log_prob" in arrays(name):
        x = images(name, "x")
        size = np.prod(x.shape[1:])
        log_prob = model(name).flow.log_prob(x / 2) - size * np.log(2.0)
        np.testing.assert_allclose(log_prob, arrays(name)["log_prob"], rtol=0, atol=1e-4 * size * np.log(2.0))


@pytest.mark.parametrize("name", MODELS)
def test_weights_go_back_under_the_authors_names(name):
    expected = {key[6:]: value for key, value in arrays(name).items() if key.startswith("param/")}
    exported = export_weights(model(name))
    assert set(exported) == set(expected)
    for key, value in expected.items():
        np.testing.assert_array_equal(exported[key].reshape(value.shape), value, err_msg=key)


# ------------------------------------------------------------------------------------------------------------ dequantizer


@functools.cache
def with_dequantizer(**fields):
    """A model whose flow is small, with a dequantizer like the authors'."""
    settings = config("e_dequant_cifarlike")
    steps = ", ".join(str(number) for number in settings["num_steps"])
    widths = ", ".join(map(str, settings["hidden_channels"]))
    flow = config("d_full_original_3level")
    return macow.build(
        experiment(
            flow,
            variant="release",
            kernel_height=2,
            kernel_width=3,
            dequantization="variational",
            dequantization_steps=steps,
            dequantization_widths=widths,
            **fields,
        ),
        images("e_dequant_cifarlike", "eps").shape[1:],
        num_classes=0,
        seed=0,
    )


@functools.cache
def dequantizer():
    """The authors' weights, named as in their whole models."""
    made = with_dequantizer()
    weights = {f"flow.{key[6:]}": value for key, value in arrays("d_full_original_3level").items() if "param/" in key}
    for key, value in arrays("e_dequant_cifarlike").items():
        if key.startswith("param/"):
            weights[f"dequant_flow.module.{key[6:]}"] = value
    weights["flow.blocks.0.steps.0.glow_step.conv1x1.weight_inv"] = np.eye(3)  # the authors' cached inverse
    load_weights(made, weights)
    return made


@pytest.mark.slow
def test_dequantizer():
    name = "e_dequant_cifarlike"
    pixels = arrays(name)["image_uint8"].transpose(0, 2, 3, 1)
    model = dequantizer()
    centered = center(quantize(tf.constant(pixels), 8), 8)
    np.testing.assert_allclose(2 * centered, images(name, "s"), atol=1e-6)
    context = model.dequantizer.context_network(centered)
    np.testing.assert_allclose(context, images(name, "encoder_out"), rtol=0, atol=2e-5)
    u, log_q = model.dequantizer.transform_and_log_prob(images(name, "eps"), centered)
    np.testing.assert_allclose(u, images(name, "u"), rtol=0, atol=2e-5)
    np.testing.assert_allclose(log_q, arrays(name)["log_q"], rtol=2e-5, atol=2e-4)
    np.testing.assert_allclose(model.dequantizer.log_prob(u, centered), log_q, rtol=2e-4, atol=2e-3)


def test_up_convolutions_of_three_resolutions_are_numbered_as_they_are_applied():
    """As in the released dequantizers of ImageNet64, LSUN and CelebA-HQ, whose first one takes 96 channels to 64."""
    model = with_dequantizer(context_planes=(32, 64, 96))
    weights = export_weights(model)
    names = [f"encoder.up{level}.deconv.weight_v" for level in range(2)]
    assert [weights[name].shape[:2] for name in names] == [(96, 64), (64, 32)]
    assert [weights[f"encoder.down{level}.conv.weight_v"].shape[:2] for level in range(2)] == [(64, 32), (96, 64)]
    generator = np.random.default_rng(0)
    changed = {name: generator.normal(size=value.shape).astype(np.float32) for name, value in weights.items()}
    load_weights(model, changed)
    for name, layer in zip(names, model.dequantizer.context_network.up, strict=True):
        np.testing.assert_array_equal(layer.direction.numpy().transpose(3, 2, 0, 1), changed[name])
    # An earlier version exported them from the finest resolution to the coarsest.
    reversed_ = {
        name.replace("up0", "up2").replace("up1", "up0").replace("up2", "up1"): changed[name] for name in changed
    }
    with pytest.raises(ValueError, match=r"encoder\.up0\.deconv\.weight_v to .* in reversed order"):
        load_weights(model, reversed_)


# -------------------------------------------------------------------------------------------- preprocessing, learning rate


@pytest.mark.parametrize("num_bits", [8, 5, 3])
def test_preprocessing(num_bits):
    data = arrays("k_preprocess")
    centered = center(quantize(tf.constant(data["u8"]), num_bits), num_bits)
    np.testing.assert_allclose(2 * centered, data[f"pre_nonoise_{num_bits}bit"], rtol=0, atol=1e-6)
    dequantized = centered + data["noise"] / 2**num_bits
    np.testing.assert_allclose(2 * dequantized, data[f"pre_noise_{num_bits}bit"], rtol=0, atol=1e-6)
    back = to_images(tf.constant(data[f"pre_noise_{num_bits}bit"] / 2), num_bits)
    np.testing.assert_array_equal(back, np.round(255 * data[f"post_{num_bits}bit"]))


@pytest.mark.parametrize(("key", "warmup_steps"), [("cifar_warm50_spe98", 50), ("others_warm500_spe675", 500)])
def test_learning_rate_of_the_release(key, warmup_steps):
    expected = arrays("m_lr_schedule")[key]
    made = MaCowExperiment("e", "cifar10", 32, 8, learning_rate=1e-3, warmup_steps=warmup_steps, decay=0.999997)
    np.testing.assert_allclose(build_schedule(made)(np.arange(len(expected))), expected, rtol=1e-6)
