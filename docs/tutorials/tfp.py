# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Bijectors in TFP code
#
# The bijectors of tfflows are bijectors of TensorFlow Probability, so whatever TFP does with bijectors and
# distributions works: this page uses them in a sampler, as the prior of a variational autoencoder, and in a joint
# distribution.

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.bijectors import ActNorm, AffineCoupling, Chain, InvertibleConv
from tfflows.data import load_dataset
from tfflows.keras import FlowModel

tfb, tfd = tfp.bijectors, tfp.distributions


def make_flow(dimensions, steps, event_shape, scale):
    """Glow steps on vectors, which are images of one pixel here."""
    keras.utils.set_random_seed(0)
    half = dimensions // 2
    bijectors = []
    for seed in range(steps):
        network = keras.Sequential(
            [keras.layers.Dense(64, "gelu"), keras.layers.Dense(2 * half, kernel_initializer="zeros")]
        )
        network.build([None, 1, 1, half])
        bijectors += [
            ActNorm([dimensions]),
            InvertibleConv(dimensions, seed=seed),
            AffineCoupling(network, scale=scale),
        ]
    reshape = tfb.Reshape(event_shape_out=event_shape, event_shape_in=[1, 1, dimensions])
    return Chain([reshape, *bijectors])


def standard_normal(dimensions):
    return tfd.Sample(tfd.Normal(0.0, 1.0), [1, 1, dimensions])


# %% [markdown]
# ## NeuTra: a flow that straightens a posterior
#
# Hamiltonian Monte Carlo moves badly through densities with narrow, curved valleys. NeuTra (Hoffman et al. 2019,
# [arXiv:1903.03704](https://arxiv.org/abs/1903.03704)) fits a flow to the density by variational inference and then
# samples in the flow's latent space, where the density is nearly a round Gaussian. The target is the banana: `x1 ~ N(0,
# 1)`, `x2 ~ N(x1^2, 0.1)`.


# %%
def target_log_prob(x):
    return tfd.Normal(0.0, 1.0).log_prob(x[..., 0]) + tfd.Normal(x[..., 0] ** 2, 0.1).log_prob(x[..., 1])


flow = make_flow(2, steps=4, event_shape=[2], scale="exp")
surrogate = tfd.TransformedDistribution(standard_normal(2), flow)
optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(5e-3, 1000))


@tf.function
def fit_step(seed):
    with tf.GradientTape() as tape:
        x, log_prob = surrogate.experimental_sample_and_log_prob(256, seed=seed)
        loss = tf.reduce_mean(log_prob - target_log_prob(x))  # the reverse divergence; 0 for a perfect fit
    variables = surrogate.trainable_variables
    optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
    return loss


for step in range(1000):
    loss = fit_step(tf.constant([0, step]))
print(f"KL(flow, target): {loss:.3f} nats")

# %% [markdown]
# `TransformedTransitionKernel` runs any kernel in the latent space of any bijector, with ours as with TFP's own. Both
# samplers get the same number of leapfrog steps. What counts is the number of *effective* samples.


# %%
@tf.function
def run(kernel_is_neutra):
    hmc = tfp.mcmc.HamiltonianMonteCarlo(target_log_prob, step_size=0.1, num_leapfrog_steps=4)
    if kernel_is_neutra:
        hmc = tfp.mcmc.TransformedTransitionKernel(
            tfp.mcmc.HamiltonianMonteCarlo(target_log_prob, step_size=0.4, num_leapfrog_steps=4), flow
        )
    kernel = tfp.mcmc.SimpleStepSizeAdaptation(hmc, num_adaptation_steps=400)
    return tfp.mcmc.sample_chain(
        1000, tf.zeros([16, 2]), kernel=kernel, num_burnin_steps=500, trace_fn=None, seed=[0, 1]
    )


chains = {name: run(is_neutra) for name, is_neutra in (("HMC", False), ("NeuTra", True))}
for name, chain in chains.items():
    effective = tfp.mcmc.effective_sample_size(chain, cross_chain_dims=1)
    print(f"{name}: {effective.numpy().round()} effective samples of 16,000")

# %%
figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), sharex=True, sharey=True)
for axis, (name, chain) in zip(axes, chains.items(), strict=True):
    axis.plot(*chain.numpy()[:, 0].T, linewidth=0.3, color="gray")
    axis.scatter(*chain.numpy()[:, 0].T, s=3)
    axis.set_title(f"{name}: one chain")
plt.tight_layout()
plt.show()

# %% [markdown]
# ## A flow as the prior of a variational autoencoder
#
# First an autoencoder of binary digits with two latents and the usual prior, N(0, I). Its divergence from the prior
# counts only a tenth in training, as is common where latents are to say much. The latents then no longer look like draws
# from the prior.

# %%
source = load_dataset("digits", "train")
digits, labels = source.images.reshape(-1, 64).astype(np.float32) / 240, source.labels
digits = (np.random.default_rng(0).uniform(size=digits.shape) < digits).astype(np.float32)

keras.utils.set_random_seed(1)
encoder = keras.Sequential([keras.layers.Dense(128, "gelu"), keras.layers.Dense(4)])
decoder = keras.Sequential([keras.layers.Dense(128, "gelu"), keras.layers.Dense(64)])
encoder.build([None, 64]), decoder.build([None, 2])
variables = [*encoder.trainable_variables, *decoder.trainable_variables]
variables = [variable.value for variable in variables]
optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(3e-3, 1500))


def posterior(x):
    mean, raw_scale = tf.split(encoder(x), 2, axis=-1)
    return tfd.MultivariateNormalDiag(mean, tf.nn.softplus(raw_scale))


def elbo(x, prior, seed, weight=1.0):
    z = posterior(x).sample(seed=seed)
    pixels = tfd.Independent(tfd.Bernoulli(logits=decoder(z)), 1)
    return tf.reduce_mean(pixels.log_prob(x) + weight * (prior.log_prob(z) - posterior(x).log_prob(z)))


normal = tfd.MultivariateNormalDiag(tf.zeros(2))


@tf.function
def train_step(x, seed):
    with tf.GradientTape() as tape:
        loss = -elbo(x, normal, seed, weight=0.1)
    optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))


rng = np.random.default_rng(0)
for step in range(1500):
    train_step(digits[rng.integers(0, len(digits), 128)], tf.constant([1, step]))

# %% [markdown]
# The bound holds for any prior, and the best one is the average of all posteriors. A flow learns it by maximum
# likelihood from draws of the posteriors, and takes the place of N(0, I). It is a distribution like any other, so nothing
# else changes.

# %%
learned = tfd.TransformedDistribution(standard_normal(2), make_flow(2, steps=8, event_shape=[2], scale="sigmoid"))
model = FlowModel(learned, seed=0)
draws = tf.reshape(posterior(digits).sample(10, seed=[0, 5]), [-1, 2])
model.adapt(draws)
model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(3e-3, 30 * 57)))
model.fit(draws, batch_size=256, epochs=30, verbose=0)

priors = {"N(0, I)": normal, "a flow": learned}
for name, prior in priors.items():
    bound = np.mean([float(elbo(digits, prior, [2, draw])) for draw in range(10)])
    print(f"prior {name}: a bound of {bound:.2f} nats per digit")

# %%
figure, axes = plt.subplots(1, 2, figsize=(8, 3.6), sharex=True, sharey=True)
means = posterior(digits).mean().numpy()
reach = 1.1 * np.abs(means).max()
side = np.linspace(-reach, reach, 140, dtype=np.float32)
for axis, (name, prior) in zip(axes, priors.items(), strict=True):
    density = prior.prob(np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)).numpy().reshape(140, 140)
    axis.contourf(side, side, density, levels=12, cmap="Blues")
    axis.scatter(*means.T, s=2, c=labels, cmap="tab10")
    axis.set(title=f"prior: {name}", xticks=[], yticks=[])
plt.tight_layout()
plt.show()

# %% [markdown]
# Blue is the density of the prior, and a point is the posterior mean of a digit, colored by its class.
#
# ## In a joint distribution
#
# A flow can be a part of a larger model. Here a point of the banana, whose density the flow above has learned, is seen
# through noise; `JointDistributionNamed` puts the two together, and gives samples, densities and posteriors of the
# whole.

# %%
joint = tfd.JointDistributionNamed(
    {
        "point": surrogate,
        "seen": lambda point: tfd.MultivariateNormalDiag(point, tf.fill([2], 0.3)),
    }
)
draw = joint.sample(5, seed=[0, 4])
print({name: tuple(value.shape) for name, value in draw.items()}, joint.log_prob(draw).shape)
posterior = joint.experimental_pin(seen=tf.constant([1.0, 0.2]))
print(
    "unnormalized log-posterior of two points:",
    posterior.log_prob(point=tf.constant([[1.0, 1.0], [0.5, 0.25]])).numpy(),
)
