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
    """Reads list_attr_celeba.txt: the names, and a map from file name to int8 `[40]` of +1 and -1."""
    with open(path, encoding="utf-8") as file:
        count = file.readline().strip()
        names = tuple(file.readline().split())
        if not count.isdigit() or len(names) != NUM_ATTRIBUTES:
            raise ValueError(
                f"{path}: expected a line with the number of images, then one with "
                f"{NUM_ATTRIBUTES} names; found {count!r} and {len(names)} names."
            )
        rows = {}
        for number, line in enumerate(file, start=3):
            fields = line.split()
            if not fields:
                continue
            if len(fields) != NUM_ATTRIBUTES + 1 or not set(fields[1:]) <= {"1", "-1"}:
                raise ValueError(
                    f"{path}, line {number}: expected a file name and {NUM_ATTRIBUTES} values, each 1 or -1."
                )
            rows[fields[0]] = np.array(fields[1:], np.int8)
    if len(rows) != int(count):
        raise ValueError(f"{path}: its first line says {count} images, but it holds {len(rows)}.")
    return names, rows


def read_index_map(path: pathlib.Path) -> list[str]:
    """Reads CelebA-HQ's index map: the CelebA file name of each CelebA-HQ image, by number."""
    with open(path, encoding="utf-8") as file:
        lines = [fields for fields in (line.split() for line in file) if fields]
    columns = lines[0] if lines else []
    if "idx" not in columns or "orig_file" not in columns:
        raise ValueError(f"{path}: the first line must name the columns idx and orig_file.")
    index_column, file_column = columns.index("idx"), columns.index("orig_file")
    try:
        originals = {int(fields[index_column]): fields[file_column] for fields in lines[1:]}
    except (IndexError, ValueError) as error:
        raise ValueError(f"{path}: a line does not fit the columns {' '.join(columns)}.") from error
    if sorted(originals) != list(range(NUM_CELEBA_HQ_IMAGES)):
        raise ValueError(
            f"{path}: expected the numbers 0 to {NUM_CELEBA_HQ_IMAGES - 1}, found {len(originals)} different ones."
        )
    return [originals[index] for index in range(NUM_CELEBA_HQ_IMAGES)]


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
