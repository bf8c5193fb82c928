"""Compares every number of results/ with those of another commit.

    python -m tests.golden.compare_results REVISION [--moved OLD NEW] [--any-place]

Read are the tables, records and pages (csv, json, md): all number tokens of a file, in their order, words aside; and arrays
(npy, npz), value by value. Pictures are not. What a file's numbers differ in, and files that are missing or new, are printed;
the status is 1 if there is any. --moved says that what was below OLD is below NEW now (repeatable). With --any-place a file
may be anywhere: one that is missing is found by its numbers among the new ones.
"""

import argparse
import io
import pathlib
import re
import subprocess
import sys
import tarfile

import numpy as np

TEXTS, ARRAYS = (".csv", ".json", ".md"), (".npy", ".npz")
# A sign belongs to a number unless it joins it to a word, as in dates and names.
NUMBER = re.compile(r"(?<![\w.)-])[-+\u2212]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_SHOWN = 5


def numbers(path, content):
    """The numbers of a file, as strings.

    Args:
      path: its name, whose suffix says how to read it.
      content: `bytes`.
    """
    suffix = pathlib.PurePath(path).suffix
    if suffix in TEXTS:
        return NUMBER.findall(content.decode("utf-8"))
    arrays = np.load(io.BytesIO(content), allow_pickle=False)
    named = {"": arrays} if isinstance(arrays, np.ndarray) else {name: arrays[name] for name in sorted(arrays.files)}
    return [
        token
        for name, array in named.items()
        for token in (f"{name}{list(array.shape)}{array.dtype}", *map(repr, array.ravel().tolist()))
    ]


def is_read(path):
    """Whether a file has numbers that are compared."""
    return pathlib.PurePath(path).suffix in TEXTS + ARRAYS


def read_tree(root):
    """`{path: numbers}` of results/ below a directory."""
    root = pathlib.Path(root)
    paths = (path for path in sorted((root / "results").rglob("*")) if path.is_file() and is_read(path))
    return {path.relative_to(root).as_posix(): numbers(path, path.read_bytes()) for path in paths}


def read_commit(root, revision):
    """`{path: numbers}` of results/ in a commit of the repository at `root`.

    Raises:
      SystemExit: if there is no such commit, or no results in it.
    """
    done = subprocess.run(["git", "archive", revision, "results"], cwd=root, capture_output=True)
    if done.returncode:
        sys.exit(f"{done.stderr.decode().strip()} (results/ of {revision})")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        members = [member for member in archive.getmembers() if member.isfile() and is_read(member.name)]
        return {member.name: numbers(member.name, archive.extractfile(member).read()) for member in members}


def moved_to(path, moves):
    """Where a path is now, by the first of the `(old, new)` prefixes that fits."""
    for old, new in moves:
        if path == old or path.startswith(f"{old.rstrip('/')}/"):
            return f"{new.rstrip('/')}{path[len(old.rstrip('/')) :]}"
    return path


def differences(old, new, moves=(), any_place=False):
    """Sentences on what differs between two results of `read_tree` or `read_commit`."""
    old = {moved_to(path, moves): found for path, found in old.items()}
    added = {path: found for path, found in new.items() if path not in old}
    sentences = []
    for path, before in old.items():
        if path in new:
            sentences += _difference(path, before, new[path])
            continue
        place = next((other for other, found in added.items() if found == before), None) if any_place else None
        if place is None:
            sentences.append(f"{path}: missing ({len(before)} numbers)")
        else:
            del added[place]
    return sentences + [f"{path}: new ({len(found)} numbers)" for path, found in added.items()]


def _difference(path, before, after):
    """What lies between the numbers that the two begin with and those that they end with."""
    if before == after:
        return []
    shortest = min(len(before), len(after))
    first = next((i for i in range(shortest) if before[i] != after[i]), shortest)
    last = next((i for i in range(shortest - first) if before[-1 - i] != after[-1 - i]), shortest - first)
    was, now = before[first : len(before) - last], after[first : len(after) - last]
    return [
        f"{path}: from number {first} of {len(before)} on, {len(was)} numbers ({_some(was)}) are {len(now)} ({_some(now)}) now"
    ]


def _some(tokens):
    return ", ".join([*tokens[:_SHOWN], *(["..."] if len(tokens) > _SHOWN else [])]) or "none"


def main():
    """Compares the working tree with a commit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision", help="commit to compare with, such as HEAD~1")
    parser.add_argument("--moved", nargs=2, action="append", default=[], metavar=("OLD", "NEW"))
    parser.add_argument("--any-place", action="store_true", help="a file may have moved")
    arguments = parser.parse_args()
    root = pathlib.Path(__file__).resolve().parents[2]
    old, new = read_commit(root, arguments.revision), read_tree(root)
    sentences = differences(old, new, arguments.moved, arguments.any_place)
    print("\n".join(sentences) or f"All {sum(map(len, new.values())):,} numbers of {len(new)} files are equal.")
    sys.exit(bool(sentences))


if __name__ == "__main__":
    main()
