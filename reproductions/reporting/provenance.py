"""How a result was obtained: versions, commit, command, hardware, date."""

import datetime
import importlib.metadata
import os
import pathlib
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import tfflows

_PACKAGES = {
    "tensorflow": "tensorflow",
    "keras": "keras",
    "tfp": "tensorflow-probability",
    "numpy": "numpy",
}
# Results and texts are left out, so that the record of a queue's first run does not make the second one dirty.
_CODE = (":(top)tfflows", ":(top)reproductions", ":(top)setup.cfg", ":(top,exclude)*.md")


def collect_provenance() -> dict[str, object]:
    """Returns the fields `versions`, `commit`, `command`, `hardware` and `date` of a record.

    `commit` is None if the running code is not under git, or if there is no commit yet.
    """
    return {
        "versions": {
            "python": platform.python_version(),
            "tfflows": tfflows.__version__,
            **{name: _version(package) for name, package in _PACKAGES.items()},
        },
        "commit": git_commit(pathlib.Path(tfflows.__file__).parent),
        "command": command_line(),
        "hardware": _hardware(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def command_line() -> str:
    """Returns the command that started this process, for a shell."""
    program, *arguments = sys.argv
    if program.startswith("tfflows "):  # the installed command, which is no file of Python's
        return f"{program} {shlex.join(arguments)}".rstrip()
    return shlex.join([pathlib.Path(sys.executable).name, *sys.argv])


def git_commit(package: str | os.PathLike) -> str | None:
    """Returns the commit of the repository that tracks a package, with '-dirty' appended if code was changed.

    Args:
      package: Directory of the package. A package installed into an environment inside some repository is not tracked by that
        repository, and gives None.
    """
    package = pathlib.Path(package)
    if _git(package, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    commit = _git(package, "rev-parse", "--verify", "HEAD")
    if not commit:
        return None
    changes = _git(package, "status", "--porcelain", "--untracked-files=all", "--", *_CODE)
    return f"{commit}-dirty" if changes else commit


def short_commit(commit: str | None) -> str:
    """Returns a commit for a table: its first ten digits, and '-dirty' if it ends so."""
    if commit is None:
        return "none"
    digest, dash, dirty = commit.partition("-")
    return f"{digest[:10]}{dash}{dirty}"


def hardware_text(hardware: Mapping[str, Any]) -> str:
    """Returns the hardware of a record for a table: its GPUs, or else its cores.

    Args:
      hardware: Field of a record.

    Example:
      >>> from reproductions.reporting.provenance import hardware_text
      >>> hardware_text({"cpu": "Some CPU", "cores": 2, "gpus": []})
      '2 x Some CPU'
    """
    gpus = list(hardware.get("gpus", ()))
    if gpus:
        return ", ".join(f"{gpus.count(name)} x {name}" for name in dict.fromkeys(gpus))
    return f"{hardware.get('cores', '?')} x {hardware.get('cpu', 'CPU')}"


def _git(directory: pathlib.Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=directory, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def _hardware() -> dict[str, object]:
    import tensorflow as tf  # imported here because tables do not need it

    gpus = [
        tf.config.experimental.get_device_details(gpu).get("device_name", "GPU")
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    return {"cpu": _cpu_name(), "cores": _num_cores(), "gpus": gpus}


def _num_cores() -> int | None:
    if hasattr(os, "sched_getaffinity"):  # the cores that this process may use
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _cpu_name() -> str:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
