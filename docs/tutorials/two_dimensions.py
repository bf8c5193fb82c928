# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # A flow in two dimensions
#
# A *normalizing flow* is an invertible map between data and noise. Two dimensions are enough to see how it becomes a
# density. The bijectors of tfflows work on images `[..., H, W, C]`, so a point in the plane is an image of one pixel
# with two channels.

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.bijectors import ActNorm, AffineCoupling, Chain, InvertibleConv, LogisticMixtureCoupling
from tfflows.keras import FlowModel

tfd = tfp.distributions

# %% [markdown]
# The data are four arms of a spiral. Their density is concentrated on thin curves, and it has a gap in the middle.

# %%
rng = np.random.default_rng(0)
arm = rng.integers(0, 4, 4000)
radius = rng.uniform(0.6, 2.6, 4000)
angle = arm * np.pi / 2 + radius + rng.normal(0, 0.1, 4000) / radius
points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)
points = points.astype(np.float32).reshape(-1, 1, 1, 2)

# %% [markdown]
# ## Two kinds of coupling
#
# A coupling leaves one coordinate as it is and transforms the other, by a map whose parameters are computed from the
# first. That makes it easy to invert, and its Jacobian is triangular. In Glow's *affine* coupling the map is a shift
# and a scale. In Flow++ it is the distribution function of a *mixture of logistics*, which can bend one line into
# several pieces. An invertible linear map between couplings makes every coordinate take its turn; an *actnorm*
# normalizes the scales.


# %%
def network(outputs, spread):
    """Two hidden layers. `spread` sets the components of a mixture apart from each other at the start."""
    layers = [keras.layers.Dense(64, "gelu"), keras.layers.Dense(64, "gelu")]
    bias = keras.initializers.RandomNormal(stddev=spread)
    model = keras.Sequential([*layers, keras.layers.Dense(outputs, kernel_initializer="zeros", bias_initializer=bias)])
    model.build([None, 1, 1, 1])
    return model


def affine_step(seed):
    return [ActNorm([2]), InvertibleConv(2, seed=seed), AffineCoupling(network(2, spread=0.0))]


def mixture_step(seed):
    mixture = network(2 + 3 * 8, spread=0.5)
    return [ActNorm([2]), InvertibleConv(2, seed=seed), LogisticMixtureCoupling(mixture, num_components=8)]


def flow(steps):
    keras.utils.set_random_seed(0)
    base = tfd.Sample(tfd.Normal(0.0, 1.0), [1, 1, 2])
    bijectors = [bijector for seed in range(4) for bijector in steps(seed)]
    return tfd.TransformedDistribution(base, Chain(bijectors))


# %% [markdown]
# ## Training
#
# `FlowModel` is a `keras.Model` around any density: its loss is the mean of `-log_prob`, in nats. `adapt` comes first.
# It sets the actnorms so that every layer's output has zero mean and unit variance on these points.

# %%
flows = {"affine": flow(affine_step), "mixture of logistics": flow(mixture_step)}
for name, density in flows.items():
    model = FlowModel(density, seed=0)
    model.adapt(points)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(4e-3, 20 * 60)), steps_per_execution=20)
    history = model.fit(points, batch_size=200, epochs=60, verbose=0).history
    print(f"{name}: {history['loss'][0]:.2f} nats after one epoch, {history['loss'][-1]:.2f} after sixty")

# %% [markdown]
# ## The densities
#
# A density is `log_prob` on a grid of points. Samples are noise that went through the flow the other way, `forward`.

# %%
side = np.linspace(-3, 3, 150, dtype=np.float32)
grid = np.stack(np.meshgrid(side, side), -1).reshape(-1, 1, 1, 2)
figure, axes = plt.subplots(1, 4, figsize=(12, 3.2))
axes[0].scatter(*points[:1500, 0, 0].T, s=2)
axes[0].set_title("data")
for axis, (name, density) in zip(axes[1:3], flows.items(), strict=True):
    prob = tf.exp(density.log_prob(grid)).numpy().reshape(150, 150)
    axis.imshow(prob, origin="lower", extent=(-3, 3, -3, 3), cmap="magma", vmax=np.quantile(prob, 0.995))
    axis.set_title(name)
samples = flows["mixture of logistics"].sample(1500, seed=[0, 0])
axes[3].scatter(*samples.numpy()[:, 0, 0].T, s=2, color="tab:orange")
axes[3].set_title("samples of the mixture flow")
for axis in axes:
    axis.set(xlim=(-3, 3), ylim=(-3, 3), aspect="equal", xticks=[], yticks=[])
plt.tight_layout()
plt.show()

# %% [markdown]
# With the same number of couplings, the mixture flow separates the arms better. A flow is a homeomorphism, so it can
# never tear the plane: thin bridges remain between regions that the data do not join. VFlow answers that with further
# dimensions: see [its study of a checkerboard](../../reproductions/vflow/toy/README.md).
#
# ## What the flow does
#
# `inverse` takes data to noise. If the flow has learned the density, the colored arms end up in one round Gaussian, and
# the volume that each step gains or loses is what `inverse_log_det_jacobian` says.

# %%
bijector = flows["mixture of logistics"].bijector
latents = bijector.inverse(points).numpy()[:, 0, 0]
back = bijector.forward(tf.identity(bijector.inverse(points)))
print(f"mean {latents.mean(0).round(2)}, standard deviation {latents.std(0).round(2)}")
print(f"largest error after going there and back: {np.abs(back - points).max():.1e}")

# %%
figure, axes = plt.subplots(1, 2, figsize=(6.4, 3.2))
for axis, shown, title in zip(axes, (points[:, 0, 0], latents), ("data", "latents"), strict=True):
    axis.scatter(*shown[:1500].T, s=2, c=arm[:1500], cmap="Set1")
    axis.set(title=title, aspect="equal", xlim=(-3.5, 3.5), ylim=(-3.5, 3.5), xticks=[], yticks=[])
plt.tight_layout()
plt.show()
