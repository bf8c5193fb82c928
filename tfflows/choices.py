"""Names that arguments take, apart from what they stand for, so that a command can list them without TensorFlow."""

# What `tfflows.data.augmentation.augment` can do to training images.
AUGMENTATIONS = ("none", "shift", "shift_flip_affine", "flip", "crop_flip")

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
