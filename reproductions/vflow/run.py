"""VFlow: `python -m reproductions.vflow --dataset=cifar10`, or this file; see the README beside it."""

import itertools
import sys
from collections.abc import Sequence

from reproductions.driver.main import main
from reproductions.vflow.reproduction import VFLOW


def is_toy_study(arguments: Sequence[str]) -> bool:
    """Returns whether a command line asks for the study on two-dimensional data (section 5), which has its own driver."""
    words = [word for argument in arguments for word in argument.lstrip("-").split("=")]
    pairs = itertools.pairwise(words)
    return any(name in ("dataset", "experiment") and value.startswith("checkerboard") for name, value in pairs)


def run(arguments: Sequence[str]) -> None:
    """Runs a command line, given without the name of the program."""
    if is_toy_study(arguments):
        from reproductions.driver.start_up import start_up

        start_up()
        from reproductions.vflow.toy.run import main as run_toy_study

        run_toy_study()
    else:
        main(VFLOW)


if __name__ == "__main__":
    run(sys.argv[1:])
