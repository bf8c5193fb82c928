"""The checkout of the repository that this package runs from, if it runs from one and not from an installed wheel."""

import pathlib

ROOT = pathlib.Path(__file__).parents[1]


def in_checkout() -> bool:
    """Whether this package lies in a checkout, with `results/` beside it, and not among installed packages."""
    return (ROOT / "setup.cfg").is_file() and (ROOT / "results").is_dir()


def results_directory() -> pathlib.Path:
    """Returns `results/` of the checkout; outside of one, `results` in the current directory."""
    return ROOT / "results" if in_checkout() else pathlib.Path("results")
