"""The command `tfflows`: the papers' reproductions, and what else can be done from a shell.

`tfflows glow --dataset=cifar10` is `python -m reproductions.glow --dataset=cifar10`: the same flags, help and exit status.
Only what the named command needs is imported.
"""

import dataclasses
import importlib
import importlib.util
import runpy
import sys
from collections.abc import Sequence

import tfflows
from reproductions.driver.start_up import start_up
from tfflows.choices import did_you_mean
from tfflows.papers import list_papers, load_paper, package_of

_USAGE_ERROR = 2


@dataclasses.dataclass(frozen=True)
class Command:
    """A command that is not a paper's.

    Attributes:
      module: Module with a function `main(arguments) -> exit status`, called with what follows the command's name.
      summary: What it does, for `--help`.
      computes: Whether it needs TensorFlow.
    """

    module: str
    summary: str
    computes: bool = True


COMMANDS = {
    "bench-compression": Command("reproductions.bench_compression", "Measure compression with a trained model."),
    "compress": Command("reproductions.compress_images", "Compress images without loss, with a trained model."),
    "decompress": Command("reproductions.decompress_images", "Give back the images of a compressed file."),
    "export": Command("reproductions.export_model", "Write a trained model as a SavedModel."),
    "import": Command("reproductions.import_weights", "Make a workdir of weights under the authors' names."),
    "list": Command("reproductions.list_papers", "List the papers and the trained models.", computes=False),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command, and returns its exit status; the reproductions of papers exit by themselves.

    Args:
      arguments: What follows `tfflows` on the command line; None takes that of the process.
    """
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("--help", "-h", "--helpshort", "--helpfull", "help"):
        print(_help())
        return 0
    if name == "--version":
        print(f"tfflows {tfflows.__version__}")
        return 0
    papers = list_papers()
    if name in COMMANDS:
        if COMMANDS[name].computes:
            start_up()
        return importlib.import_module(COMMANDS[name].module).main(rest)
    if name in papers:
        return _run_paper(name, rest)
    known = sorted([*COMMANDS, *papers])
    meant = did_you_mean(name, known)
    print(
        f"tfflows: There is no command {name!r}.{meant} Choose one of: {', '.join(known)}. See tfflows --help.",
        file=sys.stderr,
    )
    return _USAGE_ERROR


def summary_of(paper: str) -> str:
    """Returns the first line about a paper, without importing TensorFlow: that of the package of its reproduction.

    Args:
      paper: One of `tfflows.papers.list_papers()`.
    """
    text = importlib.import_module(package_of(paper)).__doc__ or ""
    return text.strip().partition("\n")[0]


def _help():
    titles = {name: summary_of(name) for name in list_papers()}
    width = max(map(len, [*titles, *COMMANDS, "--version"]))
    lines = [
        "Usage: tfflows COMMAND [flags]",
        "",
        __doc__.partition("\n")[0].partition(": ")[2].capitalize(),
        "",
        "Papers:",
    ]
    lines += [f"  {name:<{width}}  {title}" for name, title in titles.items()]
    lines += ["", "Other commands:"]
    lines += [f"  {name:<{width}}  {command.summary}" for name, command in sorted(COMMANDS.items())]
    lines += [
        f"  {'--version':<{width}}  Print the version.",
        "",
        "tfflows COMMAND --help lists the flags of a command.",
    ]
    return "\n".join(lines)


def _run_paper(name, arguments):
    """What `python -m PACKAGE` does, or the driver for a reproduction whose package has no `__main__`."""
    # Flags are parsed from here, usage and records show it.
    sys.argv = [f"tfflows {name}", *arguments]
    module = f"{package_of(name)}.__main__"
    if importlib.util.find_spec(module) is not None:
        runpy.run_module(module, run_name="__main__")
        return 0
    from reproductions.driver.main import main as run_driver

    run_driver(load_paper(name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
