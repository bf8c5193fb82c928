# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Glow on your own images
#
# A folder of images is all that is needed. This page makes one, so that it runs anywhere: crops of the two photographs
# that come with scikit-learn, in different sizes. Put the path of a folder of yours in its place.

# %%
import logging
import pathlib
import tempfile

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

logging.getLogger("absl").setLevel(logging.WARNING)
folder = pathlib.Path(tempfile.mkdtemp()) / "photographs"
folder.mkdir()
rng = np.random.default_rng(0)
for number, photograph in enumerate(load_sample_images().images):
    for crop in range(80):
        size = rng.integers(80, 200)
        top, left = (rng.integers(0, side - size) for side in photograph.shape[:2])
        pixels = photograph[top : top + size, left : left + size]
        Image.fromarray(pixels).save(folder / f"{number}-{crop:02d}.png")

# %% [markdown]
# ## Ten lines
#
# `load_dataset` reads the folder: the central square of each image, reduced to 32x32; every tenth image or so becomes
# the test split, by a hash of its path. The model is the small Glow that comes with the repository. It was trained on
# CIFAR-10, and `fit` goes on from there, which is much quicker than to begin anew. (The crops of this page overlap, so
# its test images are not really new to the model; images of yours will be.)

# %%
import tfflows
from tfflows.data import load_dataset

train = load_dataset(f"folder:{folder}", "train", image_size=32)
test = load_dataset(f"folder:{folder}", "test", image_size=32)
model = tfflows.load("glow_cifar10")
before = model.bits_per_dim(test.images).numpy().mean()
model.fit(train, num_steps=150, batch_size=16, learning_rate=5e-4, warmup_steps=20, cooldown_steps=50)
after = model.bits_per_dim(test.images).numpy().mean()
print(f"{len(test.images)} test images: {before:.3f} bits/dim before, {after:.3f} after")

# %% [markdown]
# With `workdir="workdirs/mine"` the same call writes checkpoints and logs, resumes after an interruption, and
# `tfflows.load("workdirs/mine")` gives the model back. From the shell, a whole training from the beginning is one
# command:
#
#     tfflows glow --scale=small --dataset=folder:~/Pictures/holiday --image_size=64
#
# [Your own images](../guides/own_images.md) has the details, [Go on and fine-tune](../guides/fine_tune.md) the rest.
#
# ## What it has learned
#
# Samples at temperature 0.7, and the straight line between the latents of two test images. Every point on the line is
# decoded to an image; the first and the last are the images themselves.

# %%
samples = model.sample(16, temperature=0.7, seed=0).numpy()
frames = model.interpolate(test.images[0], test.images[-1], num_frames=9)


def row(images):
    return np.concatenate(list(np.asarray(images)), axis=1)


figure, axes = plt.subplots(3, 1, figsize=(9, 3.9), height_ratios=[1, 1, 16 / 9])
for axis, shown, title in zip(
    axes, (train.images[:16], samples, frames), ("training images", "samples", "between two test images"), strict=True
):
    axis.imshow(row(shown))
    axis.set_title(title, fontsize=9)
    axis.axis("off")
plt.tight_layout()
plt.show()

# %% [markdown]
# A likelihood is also a measure of how usual an image is, but pixel by pixel. Turned upside down the images cost
# hardly more; uniform noise costs far more than the 8 bits that would store it as it is; and a plain gray image, which
# is in no photograph, costs least of all.

# %%
others = {
    "test images": test.images,
    "upside down": test.images[:, ::-1],
    "plain gray": np.full_like(test.images, 128),
    "uniform noise": rng.integers(0, 256, test.images.shape, np.uint8),
}
for name, images in others.items():
    print(f"{name}: {model.bits_per_dim(np.ascontiguousarray(images)).numpy().mean():.2f} bits/dim")
