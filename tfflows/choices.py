"""Names that arguments take, apart from what they stand for, so that a command can list them without TensorFlow.

And what a mistyped name may have meant.
"""

import difflib
from collections.abc import Iterable

# What `tfflows.data.augmentation.augment` can do to training images.
AUGMENTATIONS = ("none", "shift", "shift_flip_affine", "flip", "crop_flip")

# The splits that `tfflows.data.load_dataset` opens.
SPLITS = ("train", "test", "holdout")

# How `tfflows.data.preprocessing.resize` brings images to one size.
RESIZES = ("none", "crop", "fit")

# What `tfflows.distributions.augmenters.make_augmenter` can make.
AUGMENTERS = ("normal", "gaussian", "flow")

# What `tfflows.tracing.memory.memory_scope` can keep for the backward pass.
PLAIN, RECOMPUTE, REVERSIBLE = MEMORY_MODES = ("plain", "recompute", "reversible")

# The number of parts that are computed side by side: as many as cores, where that is faster.
AUTO = "auto"

# Where the machines that train together are named, see `tfflows.devices.clusters`.
CLUSTERS = ("tf_config", "slurm", "none")

# How `tfflows.tracing.sampler.sampler_scope` can have masked convolutions inverted.
EXACT, JACOBI = SAMPLERS = ("exact", "jacobi")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns a sentence for an error message, with a space before it; empty if no known name is near.

    Args:
      name: What was asked for.
      known: The names that there are.

    Example:
      >>> from tfflows.choices import did_you_mean
      >>> print("Unknown data set 'cifar'." + did_you_mean("cifar", ["cifar10", "mnist"]))
      Unknown data set 'cifar'. Did you mean 'cifar10'?
    """
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
