"""What can be refused before anything is computed: flags that do not fit the experiment, and places that cannot be written to."""

import math
import pathlib
import shutil

from reproductions.driver.flags import image_numbers, temperatures
from reproductions.driver.session import Session
from tfflows.data.celeba import read_attribute_names
from tfflows.extras import require
from tfflows.files import available_memory, check_writable

# Bytes of memory per byte of a picture: the images, their batches and the grid.
_COPIES = 3


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
    num_pictures = {
        "train": flags.samples,
        "sample": flags.samples,
        "interpolate": flags.frames * len(flags.images) // 2,
        "manipulate": flags.frames * len(flags.images),
    }
    check_pictures_fit(session, num_pictures.get(flags.mode, 0))


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
    if session.num_classes:
        session.class_number(label)


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
        names = read_attribute_names(flags.attributes)
    elif manipulates or flags.attribute is not None:
        names = attribute_names(session)
        if not names:
            hint = "; give --attributes=list_attr_celeba.txt" if dataset == "celeba_hq" else ""
            raise ValueError(f"{dataset} has neither attributes nor classes to manipulate images along{hint}.")
    if flags.attribute is None:
        return
    numbers = [] if flags.attributes is not None else [str(number) for number in range(session.num_classes)]
    if flags.attribute not in (*names, *numbers):
        raise ValueError(f"There is no --attribute={flags.attribute} of {dataset}; valid: {', '.join(names)}.")


def attribute_names(session: Session) -> list[str]:
    """Returns what images can be moved along: the attributes of --attributes, or the classes, by name or else by number."""
    if session.flags.attributes is not None:
        return list(read_attribute_names(session.flags.attributes))
    return list(session.class_names) or [str(number) for number in range(session.num_classes)]


def check_images(session: Session, numbers: list[int]) -> None:
    """Raises ValueError if one of the test images given by --images does not exist."""
    count = session.test_source.num_images
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


def check_pictures_fit(session: Session, count: int) -> None:
    """Raises ValueError if so many pictures of the experiment's size do not fit into memory or on the disk of the workdir."""
    if not count:
        return
    size = count * math.prod(session.image_shape)
    flag = "--samples" if session.flags.mode in ("train", "sample") else "--frames"
    memory = available_memory()
    if memory is not None and _COPIES * size > memory:
        raise ValueError(
            f"{flag}={getattr(session.flags, flag[2:])} needs about {_in_gigabytes(_COPIES * size)} of memory, and "
            f"{_in_gigabytes(memory)} are free; give fewer."
        )
    place = next(path for path in (session.workdir.absolute(), *session.workdir.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free
    if size > free:
        raise ValueError(
            f"{flag}={getattr(session.flags, flag[2:])} needs up to {_in_gigabytes(size)} of disk, and {_in_gigabytes(free)} "
            f"are free in {place}; give fewer."
        )


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
