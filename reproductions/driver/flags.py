"""The command-line flags, the same in every reproduction."""

import functools
import math

from absl import flags

from reproductions.experiment import Experiment
from reproductions.fields import RENAMED, annotations_of, settings_of
from tfflows.choices import AUTO, CLUSTERS, EXACT, MEMORY_MODES, SAMPLERS

FLAGS = flags.FLAGS

MODES = ("train", "evaluate", "sample", "interpolate", "manipulate", "reconstruct")

# Flags that set a field of the experiment, with the field and the help text. By default they leave the field as it is.
FIELD_FLAGS = {
    "steps": (
        "num_steps",
        "Total number of training steps, in place of the experiment's. Stages share them, in the experiment's proportions; with "
        "--stage they are that stage's.",
    ),
    "batch_size": ("batch_size", "Images per training step over all devices, in place of the experiment's."),
    "image_size": (
        "image_size",
        "Height and width of the images in pixels. Own images are brought to it by --resize; of other data sets only those "
        "that can be prepared at this size.",
    ),
    "resize": (
        "resize",
        "How own images (folder:, tfds:, npz:) are brought to --image_size. crop: the central square, reduced. fit: the whole "
        "image, squeezed to a square. none: all have one size, and stay as they are. Default: crop if --image_size is given, "
        "the images differ in size, or a model of another size is evaluated on them.",
    ),
    "test_share": (
        "test_share",
        "Share of own images that becomes the test split, if they come without one. An image's place is a hash of its path.",
    ),
    "precision": (
        "precision",
        "mixed_bfloat16: networks compute in bfloat16, everything else in float32. Default: float32.",
    ),
    "tf32": ("tf32", "Let GPUs round the factors of float32 products to ten bits. Faster, but breaks parity."),
    "evaluate_train": (
        "evaluate_train",
        "Also evaluate the training images, for the gap between test and training bits/dim.",
    ),
    "holdout": (
        "holdout",
        "Hold out N training images and evaluate them during training in place of the test images: the last ones, or of own "
        "images those that a hash of their paths chooses.",
    ),
}


class AutoOrNumber(flags.ArgumentParser):
    """A positive integer, or `auto`."""

    def parse(self, argument: str | int) -> str | int:
        """Returns the value of a flag.

        Raises:
          ValueError: If it is something else.
        """
        if argument == AUTO:
            return argument
        if not str(argument).isdecimal() or int(argument) < 1:
            raise ValueError(f"a positive integer or {AUTO} is needed, not {argument!r}")
        return int(argument)

    def flag_type(self) -> str:
        """Returns what help and errors call such values."""
        return f"a positive integer or {AUTO}"


# Flags that change the speed and the memory of a computation, and its result by rounding only. Records hold them.
EXECUTION_FLAGS = {
    "jit": functools.partial(
        flags.DEFINE_bool,
        default=False,
        help="Compile with XLA: loss and gradients, bounds, samples. Those of PixelCNN++ and AGAVE then tell how far they are "
        "after each batch only.",
    ),
    "memory": functools.partial(
        flags.DEFINE_enum,
        default="plain",
        enum_values=list(MEMORY_MODES),
        help="recompute: keep only the input of each flow step and run its network again in the backward pass. reversible: keep "
        "only the latent and rebuild the rest through the inverse, in memory that does not grow with depth. Both take about a "
        "third more time.",
    ),
    "accumulate": functools.partial(
        flags.DEFINE_integer,
        default=1,
        help="Split each device's batch into N parts and accumulate their gradients. The result is that of the whole batch.",
        lower_bound=1,
    ),
    "side_by_side": functools.partial(
        flags.DEFINE,
        AutoOrNumber(),
        default=AUTO,
        help="Compute N parts of each device's batch side by side, each operation on one thread, which is faster than sharing "
        "each operation among all cores. auto: as many as cores on a CPU; 1 with --jit, small batches, or a loss that the images "
        "of a batch share (batch norm, free bits). A run that goes on keeps its number.",
        serializer=flags.ArgumentSerializer(),
    ),
    "steps_per_execution": functools.partial(
        flags.DEFINE_integer,
        default=None,
        help="Training steps that the devices run without waiting for Python. Does not change any result. Default: 20 on GPUs, "
        "otherwise 1.",
        lower_bound=1,
    ),
}


# Places on one machine: workers may give each its own.
LOCAL_FLAGS = ("workdir", "data_dir", "results_dir", "attributes")


def flag_names() -> list[str]:
    """Returns the names of the flags that `define_flags` defined, under their current names."""
    return sorted(flag.name for flag in FLAGS.flags_by_module_dict()[__name__])


def define_flags() -> None:
    """Defines the flags on `absl.flags.FLAGS`, under their current and their former names."""
    text, integer, number, boolean = (
        flags.DEFINE_string,
        flags.DEFINE_integer,
        flags.DEFINE_float,
        flags.DEFINE_bool,
    )
    # What to run.
    text(
        "dataset",
        None,
        "Data set; selects the paper's own experiment on it, or the one nearest in size. folder:DIR reads your own images, "
        "npz:FILE arrays, tfds:NAME[:CONFIG] any image data set that TFDS has prepared.",
    )
    boolean("strict", False, "Refuse a folder in which an image cannot be read, rather than skip that image.")
    text("experiment", None, "Experiment, if not the paper's own one for --dataset. --list shows all experiments.")
    text(
        "variant",
        None,
        "Form of the models, where the paper's text and the released code differ: paper or release. Default: release; for MaCow "
        "paper. --list says what it changes.",
    )
    text(
        "stage",
        "all",
        "Stage of a paper that trains in stages, such as AGAVE: vae, pixelcnn or joint. all: one after the other; in modes other "
        "than train, the last stage.",
    )
    boolean("list", False, "Print a table of the experiments and exit.")
    flags.DEFINE_enum("mode", "train", MODES, "What to do. train also evaluates and samples at the end.")
    flags.DEFINE_enum(
        "scale",
        "paper",
        ["paper", "small"],
        "Size of the experiment. small: the same structure, trained in minutes on two CPU cores.",
    )
    flags.DEFINE_multi_string("set", [], "field=value: override a field of the experiment. Can be repeated.")
    for flag, (field, help_text) in FIELD_FLAGS.items():
        _define_field_flag(flag, field, help_text)
    integer(
        "importance_samples",
        1,
        "With --mode=evaluate: number of noise draws per image for the importance-weighted bound.",
        lower_bound=1,
    )
    integer(
        "evaluation_images",
        None,
        "Evaluate only N test images: the first ones, or, with your own images, those that a hash of their paths chooses. "
        "The record says so, and is not compared with the paper.",
        lower_bound=1,
    )
    boolean("image_files", False, "Print the bits/dim of the test images as PNG and WebP files beside the model's.")
    integer(
        "seed",
        0,
        "Seed of the initial parameters, the order of the images and the noise.",
        lower_bound=0,
        upper_bound=2**31 - 1,
    )
    text(
        "init_from",
        None,
        "Weights to start from: the workdir of another run, or a checkpoint in it (its moving averages, if it has them), or a "
        "file under the authors' names: .npz, .safetensors, .pt or a TF1 checkpoint.",
    )
    boolean(
        "init_raw", False, "With --init_from=WORKDIR: start from the parameters themselves instead of their averages."
    )
    # Where.
    text(
        "workdir",
        None,
        "Directory for checkpoints, logs, samples and results. Default: workdirs/PAPER/EXPERIMENT-SCALE-seedN; own images add "
        "their name and a hash of their path to that.",
    )
    text("data_dir", None, "TFDS directory, or the directory of the LSUN archives. Default: $TFDS_DATA_DIR.")
    text(
        "results_dir",
        None,
        "Second directory to write the result record to, such as results/obtained. Default: only WORKDIR/results.",
    )
    text(
        "attributes",
        None,
        "CelebA's list_attr_celeba.txt, with image_list.txt in the same directory, to manipulate CelebA-HQ.",
    )
    # On what devices.
    flags.DEFINE_enum(
        "strategy",
        "auto",
        ["auto", "one_device", "mirrored", "multi_worker"],
        "auto: all workers of the cluster; without one all GPUs of this machine, mirrored, or its CPU if it has none.",
    )
    flags.DEFINE_enum(
        "cluster",
        "tf_config",
        list(CLUSTERS),
        "Where the machines that train together are named. tf_config: in the variable TF_CONFIG, if it is set. slurm: by srun, "
        "each of whose tasks is a worker. none: nowhere.",
    )
    integer("virtual_devices", 0, "Split the CPU into N virtual devices, to try replication.", lower_bound=0)
    for name, define in EXECUTION_FLAGS.items():
        define(name)
    # What is kept.
    integer("checkpoint_every", 1000, "Steps between checkpoints.", lower_bound=1)
    integer("log_every", 50, "Steps between lines of metrics.jsonl.", lower_bound=1)
    flags.DEFINE_enum(
        "select",
        "last",
        ["last", "best_test"],
        "Checkpoint to report. best_test is the best one on the test images, as in the papers, or with --holdout on the "
        "held-out images.",
    )
    # Pictures.
    flags.DEFINE_list("temperature", ["0.7", "1.0"], "Temperatures of the samples, comma-separated.")
    integer(
        "samples",
        64,
        "Number of samples. --samples_as=files or npy writes them for other programs in place of a picture.",
        lower_bound=1,
    )
    flags.DEFINE_enum(
        "samples_as",
        "grid",
        ["grid", "files", "npy"],
        "What samples are written as. grid: one picture with a caption. files: a folder of single PNG files. npy: one uint8 "
        "array [N, H, W, C]. The last two take the memory of one batch, and come with an array of labels for conditional models.",
    )
    flags.DEFINE_enum(
        "sampler",
        EXACT,
        list(SAMPLERS),
        "How masked convolutions (MaCow) are inverted. exact: a loop over pixels. jacobi: passes over whole images until nothing "
        "changes by more than 1e-5, which can be faster on a GPU.",
    )
    integer("sample_seed", 0, "Seed of the samples' noise.", lower_bound=0, upper_bound=2**31 - 1)
    text("label", None, "Class of the samples of a conditional model, by name or number. Default: one row per class.")
    flags.DEFINE_list(
        "images", ["0", "1"], "Numbers of the test images to interpolate between (in pairs), manipulate or reconstruct."
    )
    integer("frames", 9, "Number of pictures along an interpolation or a manipulation.", lower_bound=2)
    text("attribute", None, "Attribute or class (name or number) along which to manipulate. Default: all of them.")
    number("strength", 1.0, "Manipulate from -strength to strength times the direction.", lower_bound=0.0)
    integer(
        "direction_images",
        10_000,
        "Number of training images from which to estimate a direction; with your own images, those that a hash of their paths "
        "chooses.",
        lower_bound=2,
    )
    for old, new in RENAMED.items():
        if new in FLAGS:
            # Registered under another module, so that `--help` leaves it out.
            flags.DEFINE_alias(old, new, module_name="reproductions.fields")


def _define_field_flag(flag, field, help_text):
    """Defines a flag with the type, choices and lower bound of a field of `Experiment`."""
    kind, own = annotations_of(Experiment)[field], settings_of(Experiment)[field]
    if own.choices:
        flags.DEFINE_enum(flag, None, list(own.choices), help_text)
    elif kind is bool:
        flags.DEFINE_bool(flag, None, help_text)
    elif kind is float:
        flags.DEFINE_float(flag, None, help_text)
    else:
        flags.DEFINE_integer(flag, None, help_text, lower_bound=own.at_least)


def temperatures() -> list[float]:
    """Returns the values of --temperature.

    Raises:
      ValueError: If a value is not a number or is negative.
    """
    return _parsed("temperature", FLAGS.temperature, float)


def image_numbers() -> list[int]:
    """Returns the values of --images.

    Raises:
      ValueError: If a value is not an integer or is negative.
    """
    return _parsed("images", FLAGS.images, int)


def steps_per_execution() -> int:
    """Returns the value of --steps_per_execution, or its default on this machine."""
    from tfflows.devices.strategies import default_steps_per_execution  # `--help` needs no TensorFlow

    return FLAGS.steps_per_execution or default_steps_per_execution()


def _parsed(name, texts, kind):
    try:
        values = [kind(text) for text in texts]
    except ValueError:
        raise ValueError(f"--{name} needs numbers separated by commas, got {','.join(texts)!r}.") from None
    if not values or not all(0 <= value < math.inf for value in values):
        raise ValueError(f"--{name} needs numbers of at least 0, got {','.join(texts)!r}.")
    return values
