# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Compress a photograph
#
# A model that gives an image `b` bits/dim can store it in `b` bits per color value, and get it back exactly. tfflows
# does so with all of its model families. This needs the extra `tfflows[compression]`.

# %%
import logging
import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

import tfflows
from tfflows.compression import compress, decompress
from tfflows.evaluation import file_bits_per_dim

logging.getLogger("absl").setLevel(logging.WARNING)

# %% [markdown]
# The photograph is a part of one that comes with scikit-learn. Averages of 2x2 pixels remove the traces of its JPEG
# coding, which would make the task too easy.

# %%
photograph = load_sample_image("china.jpg")[60:380, 120:504].astype(np.uint16)
photograph = (photograph[::2, ::2] + photograph[1::2, ::2] + photograph[::2, 1::2] + photograph[1::2, 1::2] + 2) // 4
photograph = photograph.astype(np.uint8)
print(photograph.shape, f"{photograph.size:,} bytes as they are")

# %% [markdown]
# The model is the small Glow that comes with the repository, trained on CIFAR-10. An image of any size is cut into
# tiles of the model's size, 32x32. With `verify`, the default, each tile is decoded again before the file is returned.

# %%
model = tfflows.load("glow_cifar10")
start = time.perf_counter()
compressed = compress([photograph], model.distribution, experiment=model.settings, model_name="glow_cifar10")
middle = time.perf_counter()
[(_, back)] = decompress(compressed.data, model.distribution, experiment=model.settings)
print(f"there in {middle - start:.1f} s (and checked), back in {time.perf_counter() - middle:.1f} s")
print("every pixel is the same:", np.array_equal(photograph, back))

# %% [markdown]
# ## How many bits?
#
# The model promises its bits/dim; the codec has to hold the promise. The file also has *initial noise*: random bits
# from which the first tiles take the noise that dequantizes them. Later tiles take it from what is written already
# ("bits back"), so this cost is paid once for each file.

# %%
tiles = photograph.reshape(5, 32, 6, 32, 3).swapaxes(1, 2).reshape(-1, 32, 32, 3)
promised = model.bits_per_dim(tiles).numpy()
sizes = {
    "the model": promised.mean(),
    "coded by it": compressed.net_bits_per_dim,
    "the whole file": compressed.bits_per_dim,
    **{name: file_bits_per_dim(photograph[np.newaxis], name)[0] for name in ("png", "webp")},
}
for name, bits in sizes.items():
    print(f"{name}: {bits:.3f} bits/dim")

# %% [markdown]
# The model has seen nothing like this photograph, only small pictures of CIFAR-10, and its tiles know nothing of their
# neighbors. It needs fewer bits than PNG, and more than WebP, which sees the photograph as a whole. On test images of
# CIFAR-10 it needs fewer than both: [compression](../../results/compression.md).
#
# ## Where the bits are

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 4))
axes[0].imshow(photograph)
shown = axes[1].imshow(promised.reshape(5, 6), cmap="magma", extent=(0, 192, 160, 0))
figure.colorbar(shown, ax=axes[1], label="bits/dim", shrink=0.8)
for axis in axes:
    axis.axis("off")
plt.tight_layout()
plt.show()

# %% [markdown]
# From the shell, with many images in one file:
#
#     tfflows compress --model=glow_cifar10 images/ -o out.tff
#     tfflows decompress out.tff -d back/
