"""The flags, the same in every reproduction."""

import functools
import math

from absl import flags

from reproductions.experiment import Experiment
from reproductions.fields import annotations_of, settings_of
from reproductions.renamed import RENAMED
from tfflows.tracing import memory

FLAGS = flags.FLAGS

MODES = ("train", "evaluate", "sample", "interpolate", "manipulate", "reconstruct")

# Flags that set a field of the experiment, with that field and their help; by default they leave it as it is.
FIELD_FLAGS = {
    "steps": ("num_steps", "Train so many steps in all, instead of the experiment's."),
    "batch_size": ("batch_size", "Images a step over all devices, instead of the experiment's."),
    "precision": ("precision", "mixed_bfloat16: networks compute in bfloat16, all else in float32 (default)."),
    "tf32": ("tf32", "Let GPUs round the factors of float32 products to ten bits: faster, but breaks parity."),
    "evaluate_train": (
        "evaluate_train",
        "Measure the images that are trained on too, for the gap between test and training.",
    ),
    "holdout": (
        "holdout",
        "Hold out so many training images, the last ones: they are measured on the way instead of the test images.",
    ),
}

# Flags that change how fast and in how much memory something is computed; in what it ends, only by rounding. Records hold them.
EXECUTION_FLAGS = {
    "jit": functools.partial(flags.DEFINE_bool, default=False, help="Compile loss and gradients with XLA."),
    "memory": functools.partial(
        flags.DEFINE_enum,
        default="plain",
        enum_values=list(memory.MODES),
        help="recompute: keep each step's input and run its network again in the backward pass; reversible: keep the latent "
        "alone and rebuild the rest through the inverse, in memory that does not grow with depth. A third more time.",
    ),
    "accumulate": functools.partial(
        flags.DEFINE_integer,
        default=1,
        help="Cut each device's batch in so many parts; the result is that of the whole.",
        lower_bound=1,
    ),
    "side_by_side": functools.partial(
        flags.DEFINE_integer,
        default=1,
        help="Train and evaluate without a GPU and without --jit: compute so many parts of each device's batch side by side, "
        "each operation on one thread. Give the number of cores: faster than all cores at each operation.",
        lower_bound=1,
    ),
    "steps_per_execution": functools.partial(
        flags.DEFINE_integer,
        default=1,
        help="Steps that the devices take without waiting for Python; changes no figure.",
        lower_bound=1,
    ),
}


def define_flags() -> None:
    """Defines the flags on `absl.flags.FLAGS`, also under the names that they once had."""
    text, integer, number, boolean = (
        flags.DEFINE_string,
        flags.DEFINE_integer,
        flags.DEFINE_float,
        flags.DEFINE_bool,
    )
    # What to run.
    text("dataset", None, "Data set; takes the paper's own experiment on it. folder:DIR reads your own images.")
    text("experiment", None, "Experiment, if not the paper's own for --dataset. --list shows them.")
    text("variant", None, "Of a paper that exists in several forms, such as MaCow: paper (default) or release.")
    text(
        "stage",
        "all",
        "Of a paper that trains in stages, such as AGAVE: vae, pixelcnn or joint. all: one after the other; with another --mode "
        "than train the last.",
    )
    boolean("list", False, "Print a table of the experiments and exit.")
    flags.DEFINE_enum("mode", "train", MODES, "train also evaluates and samples at its end.")
    flags.DEFINE_enum("scale", "paper", ["paper", "small"], "small: the same structure, minutes on two CPU cores.")
    flags.DEFINE_multi_string("set", [], "field=value: override a field of the experiment; repeatable.")
    for flag, (field, help_text) in FIELD_FLAGS.items():
        _define_field_flag(flag, field, help_text)
    integer(
        "importance_samples",
        1,
        "With --mode=evaluate: noise draws an image, for the importance-weighted bound.",
        lower_bound=1,
    )
    integer("evaluation_images", None, "With --mode=evaluate: the first so many test images only.", lower_bound=1)
    integer("seed", 0, "Of initial parameters, order of the images and noise.", lower_bound=0, upper_bound=2**31 - 1)
    text("init_from", None, "Weights by the authors' names to start from: .npz, .safetensors, .pt or TF1 checkpoint.")
    # Where.
    text("workdir", None, "Checkpoints, logs, samples, results. Default: workdirs/PAPER/EXPERIMENT-SCALE-seedN.")
    text("data_dir", None, "TFDS directory (or that of the LSUN archives). Default: $TFDS_DATA_DIR.")
    text("results_dir", None, "Directory that also gets the result record, as results/obtained does.")
    text("attributes", None, "CelebA's list_attr_celeba.txt (image_list.txt beside it), to manipulate CelebA-HQ.")
    # On what devices.
    flags.DEFINE_enum(
        "strategy",
        "auto",
        ["auto", "one_device", "mirrored", "multi_worker"],
        "auto: every GPU of this machine, or its CPU, mirrored; multi_worker reads TF_CONFIG.",
    )
    integer("virtual_devices", 0, "Split the CPU into so many devices, to try replication.", lower_bound=0)
    for name, define in EXECUTION_FLAGS.items():
        define(name)
    # What is kept.
    integer("checkpoint_every", 1000, "Steps between checkpoints.", lower_bound=1)
    integer("log_every", 50, "Steps between lines of metrics.jsonl.", lower_bound=1)
    flags.DEFINE_enum(
        "select",
        "last",
        ["last", "best_test"],
        "Checkpoint to report. The papers take the best on the test set; with --holdout it is the best on the images held out.",
    )
    # Pictures.
    flags.DEFINE_list("temperature", ["0.7", "1.0"], "Temperatures of the samples, comma-separated.")
    integer("samples", 64, "Number of samples.", lower_bound=1)
    integer("sample_seed", 0, "Of the samples' noise.", lower_bound=0, upper_bound=2**31 - 1)
    integer("label", None, "Class of the samples of a conditional model. Default: a row a class.", lower_bound=0)
    flags.DEFINE_list(
        "images", ["0", "1"], "Test images to interpolate between (pairs), to manipulate or to reconstruct."
    )
    integer("frames", 9, "Pictures along an interpolation or a manipulation.", lower_bound=2)
    text("attribute", None, "Attribute or class (name or number) to manipulate along. Default: all.")
    number("strength", 1.0, "Manipulation goes from -strength to strength times the direction.", lower_bound=0.0)
    integer("direction_images", 10_000, "Training images that a direction is estimated from.", lower_bound=2)
    for old, new in RENAMED.items():
        if new in FLAGS:
            # Not a flag of this module: `--help` leaves it out.
            flags.DEFINE_alias(old, new, module_name="reproductions.renamed")


def _define_field_flag(flag, field, help_text):
    """A flag with the type, choices and lower bound of a field of `Experiment`."""
    kind, own = annotations_of(Experiment)[field], settings_of(Experiment)[field]
    if own.choices:
        flags.DEFINE_enum(flag, None, list(own.choices), help_text)
    elif kind is bool:
        flags.DEFINE_bool(flag, None, help_text)
    else:
        flags.DEFINE_integer(flag, None, help_text, lower_bound=own.at_least)


def temperatures() -> list[float]:
    """The floats of --temperature.

    Raises:
      ValueError: If one is no number or negative.
    """
    return _parsed("temperature", FLAGS.temperature, float)


def image_numbers() -> list[int]:
    """The integers of --images; raises as `temperatures`."""
    return _parsed("images", FLAGS.images, int)


def _parsed(name, texts, kind):
    try:
        values = [kind(text) for text in texts]
    except ValueError:
        raise ValueError(f"--{name} needs numbers separated by commas, got {','.join(texts)!r}.") from None
    if not values or not all(0 <= value < math.inf for value in values):
        raise ValueError(f"--{name} needs numbers of at least 0, got {','.join(texts)!r}.")
    return values
