# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # What each paper added
#
# Six papers, in the order of their ideas, on one small data set: the 1,797 handwritten digits of scikit-learn, 8x8
# pixels with 17 levels of gray. Each model is built from the experiment of its paper at `--scale=small`, so what you
# see are the layers of the real models, narrow and few.
#
# After so few steps the numbers below say **nothing about which paper is better**: sizes, learning rates and lengths of
# training all matter more. Comparisons that were made with care are in the [claims](../../results/claims.md).

# %%
import logging

import matplotlib.pyplot as plt
import numpy as np

from tfflows.data import load_dataset
from tfflows.papers import load_paper
from tfflows.training import Trainer, process_options

logging.getLogger("absl").setLevel(logging.WARNING)
process_options()
train, test = load_dataset("digits", "train"), load_dataset("digits", "test")

# %% [markdown]
# `load_paper(name)` gives a reproduction: the experiments as data, and the functions that build a model and its
# optimizer. Pixels have 8 bits, so a uniform guess costs 8 bits/dim.

# %%
results = {}


def train_small(paper, num_steps=100):
    """Trains the small model of a paper on the digits, and returns it."""
    reproduction = load_paper(paper)
    experiment = reproduction.at_size(reproduction.small(reproduction.nearest_experiment(8, 8)), 8, 8)
    model = reproduction.build_model(experiment, image_shape=(8, 8, 1), num_classes=0, seed=0)
    trainer = Trainer(model, reproduction.build_optimizer(experiment, 2e-3), seed=0)
    trainer.fit(train, num_steps, batch_size=32, init_batch_size=experiment.init_batch_size)
    bits = trainer.evaluate(test).mean
    parameters = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    print(f"{paper}: {bits:.2f} bits/dim after {num_steps} steps, {parameters:,} parameters")
    results[paper] = model, bits
    return model


# %% [markdown]
# ## RealNVP: couplings and several scales
#
# [RealNVP](../papers/realnvp.md) (2017) made deep flows of images practical. A coupling transforms half of the numbers
# given the other half; halves are the fields of a checkerboard, later halves of the channels. After each scale half of
# the numbers leave as noise. Batch norm keeps the activations in range.

# %%
model = train_small("realnvp")
print(repr(model.flow.bijector))
print("a coupling:", repr(model.flow.bijector.levels[0].flow.bijectors[1]))

# %% [markdown]
# ## Glow: learned 1x1 convolutions
#
# [Glow](../papers/glow.md) (2018) replaces fixed permutations of the channels by an invertible matrix that is learned,
# and batch norm by actnorm, which does not depend on the batch.

# %%
model = train_small("glow")
print("a step:", repr(model.flow.bijector.levels[0].flow.bijectors[1]))

# %% [markdown]
# ## Flow++: better noise, better couplings
#
# [Flow++](../papers/flowpp.md) (2019) asks where likelihood is lost. Pixels are whole numbers, and a flow needs noise
# to fill the steps between them; Flow++ learns that noise (*variational dequantization*). Its couplings are mixtures of
# logistics, with self-attention in their networks.

# %%
model = train_small("flowpp")
print("a step:", repr(model.flow.bijector.bijectors[2]))
print("the noise:", type(model.dequantizer).__name__)

# %% [markdown]
# ## MaCow: masked convolutions
#
# In [MaCow](../papers/macow.md) (2019) a pixel is transformed given its neighbors *on one side*, in a small window.
# That is autoregressive, but local, so an image is sampled in a number of sequential steps that grows with its side and
# not with its area.

# %%
model = train_small("macow")
print("a step:", repr(model.flow.bijector.bijectors[3]))

# %% [markdown]
# ## VFlow: more channels than the image has
#
# A flow cannot be wider than its data. [VFlow](../papers/vflow.md) (2020) draws further channels z from a learned `q(z
# | x)` and models `[x, z]` together. The result is a bound on the likelihood, paid for by width.

# %%
model = train_small("vflow")
print(f"an image has {8 * 8} numbers, the flow {model.latent_shape.num_elements()}")

# %% [markdown]
# ## AGAVE: a latent variable that an autoregressive decoder cannot ignore
#
# [AGAVE](../papers/agave.md) (2018) is no flow of pixels: a variational autoencoder, with flows inside its posterior,
# gives the global structure, and a PixelCNN++ the details. A loss of the autoencoder's own picture f(z) keeps the
# latents in use.

# %%
model = train_small("agave")
print(f"latents of an image: {model.latent_shape}")

# %% [markdown]
# ## Samples
#
# A few samples of each, at temperature 1. With a minute of training they are rough; that they look like strokes at all
# is what the likelihood has taught.

# %%
from tfflows.models import Model

figure, axes = plt.subplots(len(results), 1, figsize=(8, 6.4))
for axis, (paper, (model, bits)) in zip(axes, results.items(), strict=True):
    samples = Model(model).sample(16, seed=0)
    axis.imshow(np.concatenate(samples[..., 0], axis=1), cmap="gray", vmin=0, vmax=255)
    axis.set(xticks=[], yticks=[])
    axis.set_ylabel(f"{paper}\n{bits:.2f}", rotation=0, ha="right", va="center")
plt.tight_layout()
plt.show()
