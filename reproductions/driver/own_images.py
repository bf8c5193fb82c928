"""Own images of a run: which of them are chosen, what was read of them, and what changed since it began."""

import collections
import hashlib
import json
import os
import pathlib
from collections.abc import Mapping, Sequence

from reproductions.reporting.records import name_elsewhere
from tfflows.data import ImageSource, dataset_spec, is_own
from tfflows.devices.agreement import source_fingerprint
from tfflows.files import as_file_name, atomic_write, read_json
from tfflows.training.workdir import EXPERIMENT_FILE, read_experiment

# What was read of own images, in the workdir.
IMAGES_FILE = "images.json"

# In the `experiment.json` of a run on own images of which a hash chooses those of --holdout, --evaluation_images and the like.
# Runs of before take the first ones, and hold out the last ones.
HASHED_SUBSETS = "hashed_subsets"


def hashes_subsets(dataset: str, workdirs: Sequence[pathlib.Path]) -> bool:
    """Whether a hash chooses among the images of a run: if they are own ones, and the run has not begun otherwise.

    Args:
      dataset: Name of the data set.
      workdirs: Directories of the stages of the run.

    Raises:
      WorkdirError: If one of them holds an `experiment.json` that cannot be read.
    """
    if not is_own(dataset) or dataset_spec(dataset).kind == "any_tfds":
        return False
    begun = [read_experiment(path) for path in workdirs if (path / EXPERIMENT_FILE).exists()]
    return all(stored.get(HASHED_SUBSETS, False) for stored in begun)


def name_of_run(dataset: str, data_dir: str | os.PathLike | None) -> str:
    """Own images as a part of the name of a workdir: their name, and a hash of the path.

    Args:
      dataset: Canonical name of the data set.
      data_dir: As for `tfflows.data.canonical_name`.
    """
    spec = dataset_spec(dataset)
    place = spec.origin
    if spec.kind != "any_tfds":
        place = os.path.realpath(os.path.join(os.path.expanduser(str(data_dir or "")), place))
    digest = hashlib.sha256(place.encode(errors="surrogateescape")).hexdigest()[:8]
    name = as_file_name(pathlib.PurePath(place).stem if spec.kind == "npz" else pathlib.PurePath(place).name)
    ascii_name = name.encode("ascii", "ignore").decode().strip("._-")
    return f"{ascii_name}-{digest}" if ascii_name else digest


def describe(source: ImageSource, **asked: int | None) -> dict[str, object]:
    """Returns what `IMAGES_FILE` holds of a split.

    Args:
      source: The split.
      **asked: Arguments of `load_dataset` that chose among its images.
    """
    return {
        "data set": source.name,
        "images": source.num_images,
        "shape": list(source.image_shape),
        "chosen": {name: value for name, value in asked.items() if value},
        "skipped": list(source.skipped),
        "notes": list(source.notes),
        "fingerprint": source_fingerprint(source),
        "files": list(source.files),
    }


def read_report(workdir: pathlib.Path, name: str = IMAGES_FILE) -> dict[str, dict]:
    """Returns what a workdir says of its images, `{split: what was read}`; nothing if it does not say it in a form of today."""
    try:
        content = read_json(workdir / name)
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {split: own for split, own in content.items() if isinstance(own, dict)}


def write_report(workdir: pathlib.Path, read: Mapping[str, Mapping], name: str = IMAGES_FILE) -> None:
    """Writes what was read, beside what the file says of other splits of the same data set.

    Args:
      workdir: The workdir.
      read: `{split: what describe returns}`.
      name: Name of the file.
    """
    datasets = {own["data set"] for own in read.values()}
    others = {split: own for split, own in read_report(workdir, name).items() if own.get("data set") in datasets}
    content = json.dumps({**others, **read}, indent=2) + "\n"
    path = workdir / name
    if not path.exists() or path.read_bytes() != content.encode():
        atomic_write(path, content)


def report_elsewhere(dataset: str, preparation: Mapping[str, object] | None) -> str:
    """Name of the file that says what was read of images on which a model was not trained."""
    return f"{pathlib.Path(IMAGES_FILE).stem}-{name_elsewhere(dataset, preparation)}.json"


def changes_of_images(before: Mapping[str, Mapping], now: Mapping[str, Mapping]) -> str:
    """Returns what happened to the images of a run since its last start, in a few words; empty if nothing did.

    Splits are compared if the same part of them was read, files by their names.

    Args:
      before: `{split: what describe returned}` at the last start, possibly of an earlier version.
      now: The same of this start; splits that were not read may be missing.
    """
    pairs = {
        split: (before[split], own)
        for split, own in now.items()
        if split in before
        and before[split].get("data set") == own["data set"]
        and (
            before[split]["chosen"] == own["chosen"]
            if "chosen" in before[split]
            else split != "test" or not own["chosen"]
        )
    }
    if any("files" not in old or not own["files"] for old, own in pairs.values()):
        counts = [f"{split} {old.get('images')} to {own['images']}" for split, (old, own) in pairs.items()]
        differ = any(old.get("images") != own["images"] for old, own in pairs.values())
        other = any(old.get("fingerprint", own["fingerprint"]) != own["fingerprint"] for old, own in pairs.values())
        return (
            f"number of images: {', '.join(counts)}" if differ else "other images in the same number" if other else ""
        )
    old_split = {file: split for split, (old, _) in pairs.items() for file in old["files"]}
    new_split = {file: split for split, (_, own) in pairs.items() for file in own["files"]}
    moves = collections.Counter(
        (old_split[file], split) for file, split in new_split.items() if old_split.get(file, split) != split
    )
    parts = [
        _count(len(new_split.keys() - old_split.keys()), "added"),
        _count(len(old_split.keys() - new_split.keys()), "removed"),
        *(_count(number, f"moved from {old} to {new}") for (old, new), number in sorted(moves.items())),
    ]
    changed = [split for split, (old, own) in pairs.items() if old["files"] == own["files"]]
    if any(pairs[split][0]["fingerprint"] != pairs[split][1]["fingerprint"] for split in changed):
        parts.append("the content of others changed" if any(parts) else "the content of files changed")
    return ", ".join(part for part in parts if part)


def _count(number, what):
    return f"{number:,} file{'s' if number > 1 else ''} {what}" if number else ""
