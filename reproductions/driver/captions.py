"""What the pictures of a run say, and how their files are called."""

import hashlib
from collections.abc import Sequence

from absl import logging

from reproductions.driver.session import Session
from tfflows.evaluation.grids import check_text_can_be_drawn, join_caption
from tfflows.extras import MissingExtraError

_LONGEST = 60  # letters of a list of numbers in a file's name


def caption_of(session: Session, step: int, shown: str = "") -> str | None:
    """Returns the caption of pictures: the model, its data set, the training step, and what is shown.

    It is the same wherever the data are stored. Without Pillow it is None, for pictures without texts, and a warning is logged.

    Args:
      session: The session.
      step: Training step of the parameters; 0 for weights of a file.
      shown: What is shown, beyond samples.
    """
    try:
        check_text_can_be_drawn()
    except MissingExtraError as error:
        logging.warning("Pictures have no captions. %s", error)
        return None
    experiment = session.experiment
    scale = " (small)" if experiment.scale == "small" else ""
    kind, colon, place = experiment.dataset.partition(":")
    dataset = f"{kind}{colon}{place.rstrip('/').rpartition('/')[2]}"
    model = f"{session.reproduction.title.partition(':')[0]} {experiment.name}{scale}"
    # Weights of a file have no step.
    return join_caption(model, f"data set {dataset}", f"step {step:,}" if step else "", shown)


def numbers_in_name(numbers: Sequence[int]) -> str:
    """Returns a list of numbers as part of a file's name: all of them, or the first ones and a hash of the list.

    Args:
      numbers: The numbers.
    """
    text = "_".join(map(str, numbers))
    if len(text) <= _LONGEST:
        return text
    start = text[: _LONGEST // 2].rpartition("_")[0]
    return f"{start}_to_{numbers[-1]}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def number_in_name(value: float) -> str:
    """Returns a number as part of a file's name: without needless decimals, but distinct for each number.

    Args:
      value: The number.
    """
    short = f"{value:g}"
    return short if float(short) == value else repr(float(value))
