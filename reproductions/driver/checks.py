"""What can be refused before anything is computed: flags that do not fit the experiment, and places that cannot be written to."""

import math
import pathlib
import shutil

from reproductions.driver.flags import image_numbers, temperatures
from reproductions.driver.session import Session
from tfflows.evaluation.grids import grid_bytes
from tfflows.evaluation.latents import DEFAULT_BATCH_SIZE
from tfflows.extras import require
from tfflows.files import available_memory, check_writable

# Bytes of memory per byte of a picture: the images, their batches, the grid without and with texts, and what is compressed.
_COPIES = 6
# A file takes whole blocks of the disk.
_BLOCK = 4096
_LABEL = 4  # bytes


def check_request(session: Session) -> None:
    """Checks the flags of pictures, results and evaluation against the experiment; computes and changes nothing else.

    --results_dir is made, since only that shows whether it can be.

    Raises:
      ValueError: If a flag cannot be followed; the message names it.
    """
    flags = session.flags
    temperatures()
    image_numbers()
    if not math.isfinite(flags.strength):
        raise ValueError(f"--strength must be finite, got {flags.strength}.")
    if flags.image_files:
        require("PIL.Image", "images")
        if session.experiment.num_bits != 8:
            raise ValueError(
                f"--image_files compares images of 8 bits, and {session.experiment.name} models "
                f"{session.experiment.num_bits}; remove the flag."
            )
    check_label(session)
    check_attribute(session)
    check_results_dir(session)
    check_pictures_fit(session)


def check_label(session: Session) -> None:
    """Raises ValueError if --label is given for an unconditional model, or is not a class of the data set."""
    label = session.flags.label
    if label is None:
        return
    if not session.experiment.conditional:
        raise ValueError(
            f"--label={label} needs a conditional model, and {session.experiment.name} is not one; remove the flag, or choose a "
            "conditional experiment."
        )
    if session.data.num_classes:
        session.data.class_number(label)


def check_attribute(session: Session) -> None:
    """Checks what a manipulation moves images along, and in how many steps.

    Raises:
      ValueError: If --attributes is given for a data set without attributes or names no such file, --attribute is none of them or
        of the classes, or there is nothing to move along; with --mode=manipulate also if there would be no picture in the middle.
    """
    flags, dataset = session.flags, session.experiment.dataset
    manipulates = flags.mode == "manipulate"
    if manipulates and (flags.frames % 2 == 0 or not flags.strength):
        raise ValueError(
            "--mode=manipulate has the image itself in the middle: it needs an odd number of --frames and a --strength above 0, "
            f"got --frames={flags.frames} and --strength={flags.strength}."
        )
    if flags.attributes is not None:
        if dataset != "celeba_hq":
            raise ValueError(f"--attributes is for celeba_hq, not for {dataset}; remove the flag.")
        from tfflows.data.celeba import read_attribute_names  # no other data set has them

        names = read_attribute_names(flags.attributes)
    elif manipulates or flags.attribute is not None:
        names = attribute_names(session)
        if not names:
            hint = "; give --attributes=list_attr_celeba.txt" if dataset == "celeba_hq" else ""
            raise ValueError(f"{dataset} has neither attributes nor classes to manipulate images along{hint}.")
    if flags.attribute is None:
        return
    numbers = [] if flags.attributes is not None else [str(number) for number in range(session.data.num_classes)]
    if flags.attribute not in (*names, *numbers):
        raise ValueError(f"There is no --attribute={flags.attribute} of {dataset}; valid: {', '.join(names)}.")


def attribute_names(session: Session) -> list[str]:
    """Returns what images can be moved along: the attributes of --attributes, or the classes, by name or else by number."""
    if session.flags.attributes is not None:
        from tfflows.data.celeba import read_attribute_names

        return list(read_attribute_names(session.flags.attributes))
    return list(session.data.class_names) or [str(number) for number in range(session.data.num_classes)]


def check_images(session: Session, numbers: list[int]) -> None:
    """Raises ValueError if one of the test images given by --images does not exist."""
    count = session.data.test_source.num_images
    if max(numbers) >= count:
        raise ValueError(f"--images got {max(numbers)}, but test images are numbered 0 to {count - 1}.")


def check_results_dir(session: Session) -> None:
    """Raises ValueError if --results_dir cannot be written to."""
    directory = session.flags.results_dir
    if directory and session.chief:
        try:
            check_writable(directory)
        except OSError as error:
            raise ValueError(f"Cannot write to --results_dir={directory}: {error}. Give another directory.") from error


def check_pictures_fit(session: Session) -> None:
    """Raises ValueError if the pictures that are asked for do not fit into memory or on the disk of the workdir."""
    flags = session.flags
    num_images = len(flags.images)
    if flags.mode == "evaluate":
        return
    if flags.mode in ("train", "sample"):
        flag, (memory, disk) = f"--samples={flags.samples}", _needs_of_samples(session)
    elif flags.mode == "reconstruct":
        flag, (memory, disk) = f"--images with {num_images} numbers", _needs_of_grid(session, 3 * num_images, 3)
    else:
        rows = num_images // 2 if flags.mode == "interpolate" else num_images
        flag, (memory, disk) = f"--frames={flags.frames}", _needs_of_grid(session, rows * flags.frames, flags.frames)
    free = available_memory()
    if free is not None and memory > free:
        other = ", or --samples_as=npy" if flag.startswith("--samples") and flags.samples_as == "grid" else ""
        raise ValueError(
            f"{flag} needs about {_in_gigabytes(memory)} of memory, and {_in_gigabytes(free)} are free; give fewer{other}."
        )
    place = next(path for path in (session.workdir.absolute(), *session.workdir.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free
    if disk > free:
        raise ValueError(
            f"{flag} needs up to {_in_gigabytes(disk)} of disk, and {_in_gigabytes(free)} are free in {place}; give fewer."
        )


def _needs_of_samples(session):
    """Bytes of memory and of disk that samples take as what --samples_as says, at all temperatures."""
    flags = session.flags
    count, size = flags.samples, math.prod(session.data.image_shape)
    if flags.samples_as == "grid":
        memory, disk = _needs_of_grid(session, count)
        return memory, disk * len(flags.temperature)
    # One batch of images, but all labels.
    memory = _COPIES * min(count, DEFAULT_BATCH_SIZE) * size + 2 * _LABEL * count
    each = size if flags.samples_as == "npy" else (size // _BLOCK + 1) * _BLOCK
    return memory, (each + _LABEL) * count * len(flags.temperature)


def _needs_of_grid(session, count, num_columns=None):
    size = grid_bytes(max(1, count), session.data.image_shape, num_columns)
    return _COPIES * size, size


def check_pictures_can_be_written(session: Session) -> None:
    """Raises ValueError if the workdir, which must exist, cannot be written to."""
    reason = why_not_writable(session.workdir)
    if session.chief and reason:
        raise ValueError(
            f"Cannot write pictures to {session.workdir}: {reason}. Copy the workdir to where you may write, and give --workdir."
        )


def why_not_writable(directory: pathlib.Path) -> str:
    """Returns why a directory cannot be written to, empty if it can."""
    try:
        check_writable(directory)
    except OSError as error:
        return str(error)
    return ""


def _in_gigabytes(size):
    return f"{size / 2**30:,.1f} GiB"
