"""`tfflows list`: the installed papers, and the trained models."""

import argparse
import importlib.util
from collections.abc import Sequence

import tfflows
from reproductions.command import summary_of
from tfflows.papers import list_papers


def main(arguments: Sequence[str]) -> int:
    """Prints both, and returns the exit status.

    Args:
      arguments: Command-line arguments.
    """
    parser = argparse.ArgumentParser(prog="tfflows list", description="Lists the papers and the trained models.")
    parser.add_argument("--models_dir", help="directory of trained models")
    options = parser.parse_args(arguments)
    papers = {name: summary_of(name) for name in list_papers()}
    width = max(map(len, papers), default=0)
    print("Papers (tfflows PAPER --list shows the experiments of one):")
    for name, summary in papers.items():
        print(f"  {name:<{width}}  {summary}")
    if importlib.util.find_spec("tfflows.models") is not None:
        print("\nTrained models (tfflows.load(NAME) loads one):")
        models = tfflows.list_models(options.models_dir)
        for model in models:
            print(f"  {model}")
        if not models:
            print("  none")
    return 0
