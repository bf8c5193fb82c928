"""Tiny models of every form: they train, invert, and no variable is left behind."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf

from reproductions.glow import model as glow
from reproductions.glow.experiments import EXPERIMENTS, GlowExperiment
from tests.reproductions.choices import own_choices
from tests.slow import slow_but
from tfflows.distributions.dequantizers import bits_per_dim
from tfflows.interop.glow import released_variables
from tfflows.math.random import row_keys
from tfflows.tracing.variables import named_variables, parameter_table

CHOICES = own_choices(GlowExperiment)
TINY = dataclasses.replace(EXPERIMENTS["cifar10"], image_size=8, levels=2, depth=1, width=8, beta_2=0.9, num_bits=5)
SHAPE, NUM_CLASSES, BATCH = [8, 8, 3], 3, 8

PAPER = {
    "actnorm_form": "scale_then_shift",
    "coupling_scale": "exp",
    "coupling_order": "scale_then_shift",
    "conditioning_half": "second",
    "padding": "zeros",
    "split_prior": "standard",
    "top_prior": "standard",
    "optimizer": "adam",
}
FORMS = {
    **{
        f"{permutation}_{coupling}": {"permutation": permutation, "coupling": coupling}
        for permutation in ("reverse", "shuffle", "invertible", "invertible_lu")
        for coupling in ("additive", "affine")
    },
    "conditional": {"coupling": "additive", "conditional": True, "class_weight": 0.01},
    "conditional_without_classifier": {"conditional": True, "top_prior": "standard"},
    "paper_but_for_its_priors": {o: v for o, v in PAPER.items() if o not in ("split_prior", "top_prior")},
    "invertible_lu_paper": {"permutation": "invertible_lu_paper"},
    "paper": PAPER,
}
# Each permutation, both couplings, labels, and the paper's choices.
BY_DEFAULT = (
    "reverse_additive",
    "shuffle_affine",
    "invertible_affine",
    "invertible_lu_additive",
    "conditional",
    "paper",
)
ALL_FORMS = pytest.mark.parametrize("form", slow_but(BY_DEFAULT, FORMS))


def test_every_choice_is_tried():
    used = {(option, value) for changes in FORMS.values() for option, value in changes.items() if option in CHOICES}
    used |= {(option, getattr(TINY, option)) for option in CHOICES}
    assert used == {(option, value) for option, choices in CHOICES.items() for value in choices}


def batch(seed=0):
    """Smooth images, so that there is something to learn, and labels."""
    noise = tf.random.stateless_normal([BATCH, 2, 2, 3], [seed, 1])
    images = tf.clip_by_value(128 + 50 * tf.image.resize(noise, [8, 8]), 0, 255)
    return tf.cast(images, tf.uint8), tf.constant([0, 1, 2, 0, 1, 2, 0, 1], tf.int32)


class Trained:
    """A tiny model, initialized and trained for a few steps, with the gradients of each step."""

    def __init__(self, form, num_steps=3):
        self.experiment = dataclasses.replace(TINY, **FORMS[form])
        self.model = glow.build(self.experiment, SHAPE, NUM_CLASSES, seed=0)
        images, self.labels = batch()
        self.model.initialize(images, self.labels, row_keys(0))
        variables = list(self.model.trainable_variables)
        optimizer = glow.optimizer(self.experiment, 3e-3)
        optimizer.build(variables)

        @tf.function(autograph=False)
        def step(number):
            with tf.GradientTape() as tape:
                loss, metrics = self.model.training_loss(images, self.labels, row_keys(1, number))
                loss = tf.reduce_mean(loss)
            gradients = tape.gradient(loss, variables)
            optimizer.apply(gradients, variables)
            return loss, metrics, gradients

        names = {id(variable): name for name, variable in named_variables(self.model).items()}
        self.losses, self.gradients = [], []
        for number in range(num_steps):
            loss, self.metrics, gradients = step(tf.constant(number))
            self.losses.append(loss.numpy())
            assert all(gradient is not None for gradient in gradients)
            self.gradients.append({names[id(v)]: np.asarray(g) for v, g in zip(variables, gradients, strict=True)})

    @property
    def condition(self):
        return self.model.condition_of(self.labels)


trained = functools.cache(Trained)


@ALL_FORMS
def test_every_variable_gets_a_gradient_within_two_steps(form):
    first, second = trained(form).gradients[:2]
    assert set(first) == {name for name, variable in named_variables(trained(form).model).items() if variable.trainable}
    for name in first:
        moved = np.abs(first[name]) + np.abs(second[name])
        if name.endswith("levels/1/prior/network/kernel"):
            # The image that the top prior convolves is zero: only the border's channel, the last, is alive.
            assert not moved[:, :, :-1].any() and moved[:, :, -1].any()
            dead = glow.dead_parameters(trained(form).experiment, SHAPE)
            assert dead == moved[:, :, :-1].size
        else:
            assert moved.any(), name


@ALL_FORMS
def test_training_lowers_the_loss(form):
    losses = trained(form).losses
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


@ALL_FORMS
def test_inverts_after_training(form):
    model, condition = trained(form).model, trained(form).condition
    images, _ = batch(seed=1)
    v = model.dequantize(images, row_keys(2))
    kwargs = {} if condition is None else {"condition": condition}
    bijector = model.flow.bijector
    latents = bijector.inverse(v, **kwargs)
    again, log_det = bijector.forward_and_log_det(tf.identity(latents), condition)
    np.testing.assert_allclose(again, v, atol=1e-4)
    np.testing.assert_allclose(log_det, -bijector.inverse_log_det_jacobian(v, **kwargs), rtol=1e-4, atol=1e-2)
    samples = model.sample(BATCH, row_keys(3), temperature=0.7, condition=condition)
    assert samples.dtype == tf.uint8 and samples.shape == [BATCH, *SHAPE]


@pytest.mark.parametrize("form", ["invertible_affine", "conditional", "paper"])
def test_log_likelihood_is_that_of_the_autodiff_jacobian(form):
    model, condition = trained(form).model, trained(form).condition
    condition = None if condition is None else condition[:1]
    v = model.dequantize(batch()[0][:1], row_keys(0))
    size = v.shape.num_elements()
    copies = tf.repeat(v, size, axis=0)
    with tf.GradientTape() as tape:
        tape.watch(copies)
        latents, _ = model.flow.bijector.inverse_and_log_det(
            copies, None if condition is None else tf.repeat(condition, size, axis=0)
        )
    jacobian = tf.reshape(tape.gradient(latents, copies, output_gradients=tf.eye(size)), [size, size])
    log_det = np.linalg.slogdet(jacobian.numpy().astype(np.float64))[1]
    normal = -0.5 * np.sum(latents[0].numpy() ** 2 + np.log(2 * np.pi))
    expected = normal + log_det - size * 5 * np.log(2)
    np.testing.assert_allclose(model.elbo_of_dequantized(v, condition)[0], expected, rtol=1e-4)


def test_losses_of_conditional_models():
    run = trained("conditional")
    metrics = run.metrics
    assert set(metrics) == {"bits_per_dim", "class_bits", "classification_error"}
    images, labels = batch()
    loss, metrics = run.model.training_loss(images, labels, row_keys(1))
    np.testing.assert_allclose(loss, metrics["bits_per_dim"] + 0.01 * metrics["class_bits"], rtol=1e-6)
    elbo = run.model.elbo(images, row_keys(1), labels)
    np.testing.assert_allclose(metrics["bits_per_dim"], bits_per_dim(elbo, 192), rtol=1e-5)
    assert set(np.unique(metrics["classification_error"])) <= {0.0, 1.0}
    # At init the logits are zero, and a class costs log2 of their number, in bits an image.
    fresh = glow.build(run.experiment, SHAPE, NUM_CLASSES, seed=0)
    _, metrics = fresh.training_loss(images, labels, row_keys(1))
    np.testing.assert_allclose(metrics["class_bits"], np.log2(3), rtol=1e-6)


def test_logits_are_of_the_top_latent_before_it_is_whitened():
    run = trained("conditional")
    images, labels = batch()
    v = run.model.dequantize(images, row_keys(1))
    z = v
    for index, level in enumerate(run.model.flow.bijector.levels):
        z = level.flow.inverse_and_log_det(z)[0]
        z = z if index else z[..., :6]
    expected = run.model.classifier(tf.reduce_mean(z, axis=[1, 2]))
    np.testing.assert_allclose(run.model.class_logits(v, labels), expected, rtol=1e-3, atol=1e-5)
    assert expected.shape == [BATCH, NUM_CLASSES] and np.abs(expected).max() > 0


def test_labels_change_the_likelihood_of_conditional_models_alone():
    images, labels = batch()
    model = trained("conditional").model
    assert np.abs(model.elbo(images, row_keys(1), labels) - model.elbo(images, row_keys(1), 2 - labels)).max() > 1e-2
    with pytest.raises(ValueError, match="top_prior needs a condition"):
        model.elbo(images, row_keys(1))
    with pytest.raises(ValueError, match="takes no condition"):
        trained("reverse_affine").model.elbo(images, row_keys(1), labels)


def test_seeds_make_models():
    variables = [
        named_variables(glow.build(dataclasses.replace(TINY, permutation="shuffle"), SHAPE, 0, seed=seed))
        for seed in (0, 0, 1)
    ]
    same = [np.array_equal(a, b) for a, b in zip(variables[0].values(), variables[1].values(), strict=True)]
    assert all(same)
    differing = [name for name, v in variables[0].items() if not np.array_equal(v, variables[2][name])]
    assert any("indices" in name for name in differing) and any("kernel" in name for name in differing)
    # Steps do not share their draws.
    kernels = [v.numpy().tobytes() for name, v in variables[0].items() if name.endswith("hidden2/kernel")]
    assert len(set(kernels)) == len(kernels) == 2


def test_uninitialized_affine_coupling_starts_at_the_released_scale():
    model = glow.build(dataclasses.replace(TINY, permutation="reverse", levels=1), SHAPE, 0, seed=0)
    _, log_det = model.flow.bijector.inverse_and_log_det(tf.zeros([1, *SHAPE]))
    np.testing.assert_allclose(log_det, 4 * 4 * 6 * np.log(0.8807971), rtol=1e-5)


def test_paper_forms_start_at_the_identity():
    model = glow.build(dataclasses.replace(TINY, permutation="reverse", **PAPER), SHAPE, 0, seed=0)
    v = model.dequantize(batch()[0], row_keys(0))
    latents, log_det = model.flow.bijector.inverse_and_log_det(v)
    np.testing.assert_array_equal(log_det, np.zeros(BATCH))
    np.testing.assert_allclose(np.sort(latents, axis=1), np.sort(np.reshape(v, [BATCH, -1]), axis=1), atol=1e-7)


def test_optimizers():
    adam = glow.optimizer(dataclasses.replace(TINY, optimizer="adam", beta_2=0.999), 0.1)
    adamax = glow.optimizer(TINY, 0.1)
    assert type(adam).__name__ == "Adam" and (adam.beta_1, adam.beta_2, adam.epsilon) == (0.9, 0.999, 1e-8)
    assert type(adamax).__name__ == "GlowAdamax" and adamax.beta_2 == 0.9


def test_variables_are_listed_once_with_stable_names():
    model = trained("conditional").model
    names = named_variables(model)
    assert {id(v) for v in names.values()} == {id(v) for v in model.variables}
    assert {id(v) for v in released_variables(model).values()} == {id(v) for v in model.variables}
    assert "flow/bijector/levels/0/flow/bijectors/1/bijectors/0/bias" in names
    table = parameter_table(model)
    assert "classifier/kernel" in table and "total" in table


def test_images_that_cannot_be_halved():
    with pytest.raises(ValueError, match="height must be a multiple of"):
        glow.build(TINY, [10, 10, 3], 0, seed=0)


def test_conditional_models_need_classes():
    with pytest.raises(ValueError, match="num_classes"):
        glow.build(dataclasses.replace(TINY, conditional=True, class_weight=0.01), SHAPE, 0, seed=0)
