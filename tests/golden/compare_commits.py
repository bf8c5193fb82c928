"""Continues each golden run in two source trees, and compares what comes out bit for bit.

    python -m tests.golden.compare_commits --old TREE --new TREE [NAME ...]

A tree is a checkout, such as `git worktree add /tmp/parent HEAD~1` makes. In each, one process continues the stored workdirs
of this tree to step 5 with that tree's `reproductions/PAPER/run.py`. A line a run says whether all tensors of the two
checkpoints (parameters, averages, slots of the optimizer, sums of the metrics) and the bits/dim of each image are equal;
the status is 1 if any is not.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

from tests.golden.runs import BY_NAME, RUNS

CONTINUE = pathlib.Path(__file__).resolve().with_name("runs.py")


def read_tensors(workdir):
    """`{name: array}` of the last checkpoint in a workdir, without the time that training took."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(workdir / "checkpoints"))
    names = sorted(name for name in reader.get_variable_to_shape_map() if name != "loop/seconds")
    return {name: reader.get_tensor(name) for name in names}


def differing_tensors(workdir, other):
    """Names of the tensors of the last checkpoints that are not equal bit for bit."""
    ours, theirs = read_tensors(workdir), read_tensors(other)
    return sorted(
        name
        for name in ours.keys() | theirs.keys()
        if name not in ours or name not in theirs or not _same_bits(ours[name], theirs[name])
    )


def _same_bits(ours, theirs):
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    return (ours.dtype, ours.shape, ours.tobytes()) == (theirs.dtype, theirs.shape, theirs.tobytes())


def differing_values(workdir, other):
    """Names of the files of bits/dim of each image that are not equal bit for bit."""
    names = sorted({path.name for directory in (workdir, other) for path in directory.glob("*_bits_per_dim.npy")})
    return [
        name
        for name in names
        if not ((workdir / name).exists() and (other / name).exists())
        or not _same_bits(np.load(workdir / name), np.load(other / name))
    ]


def continue_in(tree, directory, names):
    """Continues runs with the code of a tree, their workdirs below `directory`."""
    tree = pathlib.Path(tree).resolve()
    # One thread: sums over several come in any order.
    threads = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    environment = {**os.environ, **threads, "PYTHONPATH": str(tree), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, str(CONTINUE), str(directory), *names]
    done = subprocess.run(
        command, cwd=tree, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\nThe runs of {tree} did not come to their end; see above.")


def main():
    """Runs and compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--old", required=True, help="source tree")
    parser.add_argument("--new", required=True, help="source tree")
    parser.add_argument("names", nargs="*", help="runs; all if none is named")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in BY_NAME]
    if unknown:
        parser.error(f"There is no run {unknown[0]!r}; the runs are {', '.join(BY_NAME)}.")
    names = arguments.names or [run.name for run in RUNS]
    failed = False
    with tempfile.TemporaryDirectory() as old, tempfile.TemporaryDirectory() as new:
        continue_in(arguments.old, old, names)
        continue_in(arguments.new, new, names)
        for name in names:
            workdirs = [BY_NAME[name].workdir(pathlib.Path(directory) / name) for directory in (old, new)]
            differing = differing_tensors(*workdirs) + differing_values(*workdirs)
            failed = failed or bool(differing)
            print(
                f"{name}: " + (f"{len(differing)} differ, first {differing[0]}" if differing else "equal"), flush=True
            )
    sys.exit(failed)


if __name__ == "__main__":
    main()
