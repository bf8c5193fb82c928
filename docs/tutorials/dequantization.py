# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Dequantization, bounds and bits/dim
#
# Every number in this project is *bits per dimension*: `-log2 P(x) / M` for an image of M numbers. This page measures
# what that means, why noise is added to pixels, and why some models only give a bound. Every experiment has an answer
# that is known.

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.bijectors import Chain, LogisticMixtureLogitCDF
from tfflows.data import array_source
from tfflows.distributions import DequantizedFlow, bits_per_dim
from tfflows.evaluation import Evaluator
from tfflows.math.random import row_keys

tfb, tfd = tfp.bijectors, tfp.distributions

# %% [markdown]
# ## 8 bits for noise
#
# A pixel has 256 levels. If all are equally likely, no code can do better than 8 bits. A density over the *continuous*
# values `v = (level + u) / 256 - 1/2`, with noise u in [0, 1), gives the discrete probability as the mass of a bin, so
# `log2 P = log2 p(v) - 8` for each number. `DequantizedFlow` does that for any density:

# %%
uniform = tfd.TransformedDistribution(
    tfd.Sample(tfd.Normal(0.0, 1.0), [4, 4, 1]),
    Chain(
        [tfb.Shift(-0.5), tfb.NormalCDF()]
    ),  # the image of a standard normal under its distribution function is uniform
)
images = np.random.default_rng(0).integers(0, 256, [100, 4, 4, 1], np.uint8)
for num_bits in (8, 5, 1):
    model = DequantizedFlow(uniform, num_bits=num_bits)
    nats = model.elbo(images, row_keys(seed=0))
    print(f"{num_bits} bits a pixel: {bits_per_dim(nats, 16).numpy().mean():.3f} bits/dim")

# %% [markdown]
# ## Without noise the likelihood means nothing
#
# Let the data be black or white, half and half: 1 bit per pixel. Fit a mixture of two logistics to them, once to the
# levels themselves and once to levels with noise.


# %%
def fit(with_noise, steps=1000):
    """Returns the bits/dim of training steps; a lower bound on honest ones is 1."""
    logits = tf.Variable([0.0, 0.0])
    means = tf.Variable([-0.5, 0.5])
    log_scales = tf.Variable([-3.0, -3.0])
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.02, steps))

    @tf.function
    def step(v):
        with tf.GradientTape() as tape:
            mixture = LogisticMixtureLogitCDF(logits, means, log_scales)
            density = tfd.TransformedDistribution(tfd.Logistic(0.0, 1.0), mixture)
            bits = -tf.reduce_mean(density.log_prob(v)) / np.log(2) + 8
        variables = [logits, means, log_scales]
        optimizer.apply_gradients(zip(tape.gradient(bits, variables), variables, strict=True))
        return bits

    noise = (np.arange(256) + 0.5) / 256 if with_noise else np.full(256, 0.5)
    values = ((np.array([[0], [255]]) + noise) / 256 - 0.5).astype(np.float32)
    curve = [float(step(values)) for _ in range(steps)]
    return curve


curves = {"with noise": fit(True), "without": fit(False)}
plt.figure(figsize=(6, 3))
for name, curve in curves.items():
    plt.plot(curve, label=name)
plt.axhline(1, color="gray", linestyle=":", label="what the data hold")
plt.xlabel("step"), plt.ylabel("bits/dim"), plt.legend()
plt.tight_layout()
plt.show()
print(f"with noise {curves['with noise'][-1]:.2f} bits/dim, without {curves['without'][-1]:.2f}")

# %% [markdown]
# Without noise, the density becomes a spike at each level, and its logarithm grows without limit: below 1 bit, below 0.
# With noise, the bits cannot fall below those of the discrete data. Jensen's inequality makes the result a bound: the
# mean over u of `log p(v)` is at most the log of the mean, which is `log P(level)` (Theis et al. 2016).
#
# ## How tight is the bound?
#
# Let the density be smooth at the scale of one level, then the bound is tight. Let it vary within the bin and a gap
# opens. More noise draws, combined as `log mean exp` (*importance weighting*, Burda et al. 2016), close it, at the
# price of more computation. Here p is a normal with a standard deviation of 0.4 levels around the lower edge of level
# 128; every image is that level.

# %%
narrow = tfd.TransformedDistribution(tfd.Sample(tfd.Normal(0.0, 1.0), [1, 1, 1]), Chain([tfb.Scale(0.4 / 256)]))
model = DequantizedFlow(narrow)
level = np.full([2000, 1, 1, 1], 128, np.uint8)
truth = -np.log2(tfd.Normal(0.0, 0.4).cdf(1.0) - 0.5)
draws = [1, 2, 4, 16, 64]
bounds = [
    float(tf.reduce_mean(bits_per_dim(model.importance_weighted_log_prob(level, row_keys(seed=1), n), 1)))
    for n in draws
]
for n, bound in zip(draws, bounds, strict=True):
    print(f"{n:3d} draws: {bound:.3f} bits/dim (exact: {truth:.3f})")

# %% [markdown]
# This is the reason why a paper's number belongs to a number of draws: Flow++, VFlow and AGAVE print theirs after
# thousands or hundreds. A record of ours says how many it has, and only one with as many as the paper is compared with
# it.
#
# ## The measured value has an error
#
# A test set is a sample too. `Evaluator` gives the bits/dim of every image, so its standard error is at hand. The same
# noise is used for every model, which makes differences between models much more certain than each of the two values.

# %%
source = array_source(np.random.default_rng(0).binomial(255, 0.5, [200, 4, 4, 1]).astype(np.uint8))
normal = tfd.TransformedDistribution(tfd.Sample(tfd.Normal(0.0, 1.0), [4, 4, 1]), Chain([tfb.Scale(1 / 32)]))
result = Evaluator(tf.distribute.get_strategy(), DequantizedFlow(normal), source, batch_size=50).evaluate()
print(f"{result.mean:.4f} ± {result.standard_error:.4f} bits/dim of {len(result.per_image)} images")
