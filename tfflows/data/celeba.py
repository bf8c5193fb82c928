"""The 40 attributes of CelebA for the images of CelebA-HQ.

CelebA-HQ publishes no attributes of its own. Each of its images is made from one of CelebA, and the index map that comes with it,
`image_list.txt` (columns idx, orig_idx, orig_file, proc_md5, final_md5), says from which. CelebAMask-HQ's
`CelebA-HQ-to-CelebA-mapping.txt` holds the first three columns and serves as well.

References:
  Karras et al. 2018, https://arxiv.org/abs/1710.10196; Liu et al. 2015, https://arxiv.org/abs/1411.7766.
"""

import os
import pathlib
import re
from collections.abc import Iterable

import numpy as np

NUM_CELEBA_HQ_IMAGES = 30_000
NUM_ATTRIBUTES = 40
INDEX_MAP_NAMES = ("image_list.txt", "CelebA-HQ-to-CelebA-mapping.txt")
_MAX_LINE = 10_000
_NUMBER = re.compile("[0-9]{1,9}")


def load_celeba_hq_attributes(
    attributes_file: str | os.PathLike, index_map_file: str | os.PathLike | None = None
) -> tuple[tuple[str, ...], np.ndarray]:
    """Attributes of all CelebA-HQ images, in the order of their own numbers (idx).

    Args:
      attributes_file: CelebA's list_attr_celeba.txt: a line with the count, a line with the names, then a line per image: the
        file name and +1 or -1 for each attribute.
      index_map_file: The index map; default: a file named as in `INDEX_MAP_NAMES` beside the attributes.

    Returns:
      The 40 names and an int8 array `[30000, 40]` of +1 and -1.

    Raises:
      FileNotFoundError: If a file is missing; the message says where the index map is published.
      ValueError: If a file is not in the published form; the message says which line.
    """
    attributes_file = pathlib.Path(attributes_file).expanduser()
    originals = read_index_map(_find_index_map(attributes_file, index_map_file))
    names, rows = read_celeba_attributes(attributes_file)
    absent = [original for original in originals if original not in rows]
    if absent:
        raise ValueError(
            f"{attributes_file} has no attributes for {absent[0]} and {len(absent) - 1} other "
            "images of the index map. Check that it is CelebA's list_attr_celeba.txt."
        )
    return names, np.stack([rows[original] for original in originals])


def read_celeba_attributes(path: pathlib.Path) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Reads list_attr_celeba.txt: the names, and a map from file name to int8 `[40]` of +1 and -1.

    Raises:
      FileNotFoundError: If it is missing.
      ValueError: If it is no text, or not in the published form; the message says which line.
    """
    lines = _lines(path)
    count, names = _head(path, lines)
    rows = {}
    for number, fields in lines:
        if not fields:
            continue
        if len(fields) != NUM_ATTRIBUTES + 1 or not set(fields[1:]) <= {"1", "-1"}:
            raise ValueError(f"{path}, line {number}: expected a file name and {NUM_ATTRIBUTES} values, each 1 or -1.")
        if fields[0] in rows:
            raise ValueError(f"{path}, line {number}: {fields[0]} has stood before.")
        rows[fields[0]] = np.array(fields[1:], np.int8)
    if len(rows) != count:
        raise ValueError(f"{path}, line 1: says {count} images, but the file holds {len(rows)}.")
    return names, rows


def read_attribute_names(path: str | os.PathLike) -> tuple[str, ...]:
    """Reads the 40 names in list_attr_celeba.txt, and no more of it; errors are those of `read_celeba_attributes`."""
    path = pathlib.Path(path).expanduser()
    return _head(path, _lines(path))[1]


def read_index_map(path: pathlib.Path) -> list[str]:
    """Reads CelebA-HQ's index map: the CelebA file name of each CelebA-HQ image, by number.

    Raises:
      FileNotFoundError: If it is missing.
      ValueError: If it is no text, or not in the published form; the message says which line.
    """
    lines = ((number, fields) for number, fields in _lines(path) if fields)
    first, columns = next(lines, (1, []))
    if "idx" not in columns or "orig_file" not in columns:
        raise ValueError(f"{path}, line {first}: the first line must name the columns idx and orig_file.")
    index_column, file_column = columns.index("idx"), columns.index("orig_file")
    originals = {}
    for number, fields in lines:
        if len(fields) <= max(index_column, file_column) or not _NUMBER.fullmatch(fields[index_column]):
            raise ValueError(f"{path}, line {number}: it does not fit the columns {' '.join(columns)}.")
        originals[int(fields[index_column])] = fields[file_column]
    if sorted(originals) != list(range(NUM_CELEBA_HQ_IMAGES)):
        raise ValueError(
            f"{path}: expected the numbers 0 to {NUM_CELEBA_HQ_IMAGES - 1}, found {len(originals)} different ones."
        )
    return [originals[index] for index in range(NUM_CELEBA_HQ_IMAGES)]


def _lines(path):
    """Iterates over the numbers and the words of the lines of a text file."""
    if path.exists() and not path.is_file():  # reading from a pipe would wait for ever
        raise ValueError(f"{path} is no regular file.")
    with open(path, "rb") as file:
        number = 0
        while line := file.readline(_MAX_LINE + 1):
            number += 1
            if len(line) > _MAX_LINE:
                raise ValueError(
                    f"{path}, line {number}: it has more than {_MAX_LINE:,} bytes, so this is no list of images."
                )
            try:
                yield number, line.decode("utf-8").split()
            except UnicodeDecodeError as error:
                raise ValueError(f"{path}, line {number}: it is no UTF-8 text.") from error


def _head(path, lines):
    """The number of images in the first line, and the names in the second."""
    _, count = next(lines, (1, []))
    if len(count) != 1 or not _NUMBER.fullmatch(count[0]):
        raise ValueError(f"{path}, line 1: expected the number of images, found {' '.join(count)[:50]!r}.")
    _, names = next(lines, (2, []))
    if len(names) != NUM_ATTRIBUTES:
        raise ValueError(f"{path}, line 2: expected {NUM_ATTRIBUTES} names of attributes, found {len(names)} names.")
    return int(count[0]), tuple(names)


def image_numbers(file_names: Iterable[str]) -> np.ndarray:
    """CelebA-HQ numbers (0 to 29,999) for the stored file names of a whole prepared set.

    Archives in circulation count from 0 or from 1; whether 0 or 30,000 occurs tells which.

    Raises:
      ValueError: If a name has no number, or the numbers fit neither count.
    """
    numbers = []
    for name in file_names:
        digits = re.findall(r"\d+", pathlib.PurePath(name).stem)
        if not digits:
            raise ValueError(f"The file name {name!r} of CelebA-HQ holds no image number.")
        numbers.append(int(digits[-1]))
    numbers = np.array(numbers)
    if numbers.max() == NUM_CELEBA_HQ_IMAGES and numbers.min() >= 1:
        numbers -= 1
    elif numbers.min() != 0 or numbers.max() >= NUM_CELEBA_HQ_IMAGES:
        raise ValueError(
            "The file names of CelebA-HQ must count from 0 to 29999 or from 1 to 30000 to be matched "
            f"with attributes; these go from {numbers.min()} to {numbers.max()}."
        )
    if len(np.unique(numbers)) != len(numbers):
        raise ValueError("Two stored images of CelebA-HQ have the same number.")
    return numbers


def _find_index_map(attributes_file: pathlib.Path, index_map_file) -> pathlib.Path:
    if index_map_file is not None:
        places = [pathlib.Path(index_map_file).expanduser()]
    else:
        places = [attributes_file.parent / name for name in INDEX_MAP_NAMES]
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError(
        "CelebA-HQ's index map was not found; looked for "
        + ", ".join(str(place) for place in places)
        + ". It is image_list.txt among the deltas of "
        "https://github.com/tkarras/progressive_growing_of_gans."
    )
