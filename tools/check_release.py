"""Builds what would be released, and checks it where nothing else is installed: `make release-check`.

The source archive and the wheel are built in `dist`. The wheel is installed in a new environment, with what its extra asks for,
and the first example of the README runs there, away from the checkout, of which it has only the trained model.
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import venv

ROOT = pathlib.Path(__file__).resolve().parents[1]
EXTRA = "reproductions"
COMMANDS = (["--version"], ["list"], ["glow", "--help"], ["realnvp", "--list"])


def build(directory: pathlib.Path) -> pathlib.Path:
    """Builds both archives in a directory, and returns the path of the wheel.

    Args:
      directory: Where they go; what it held is removed.
    """
    shutil.rmtree(directory, ignore_errors=True)
    shutil.rmtree(ROOT / "build" / "lib", ignore_errors=True)  # modules that are gone would be packed from there
    subprocess.run([sys.executable, "-m", "build", "--outdir", directory, ROOT], check=True)
    [wheel] = directory.glob("*.whl")
    return wheel


def first_example() -> str:
    """Returns the first example of the README."""
    found = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    if found is None:
        raise ValueError("README.md has no example: put one into its first screen.")
    return found[1]


def check(wheel: pathlib.Path) -> None:
    """Installs a wheel in a new environment, and runs the commands and the README's first example there.

    Args:
      wheel: The wheel.

    Raises:
      subprocess.CalledProcessError: If something fails.
    """
    with tempfile.TemporaryDirectory() as place:
        directory = pathlib.Path(place)
        venv.create(directory / "venv", with_pip=True)
        python = directory / "venv" / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", f"{wheel}[{EXTRA}]"], check=True, cwd=directory)
        for arguments in COMMANDS:
            subprocess.run([python.parent / "tfflows", *arguments], check=True, cwd=directory)
        shutil.copytree(ROOT / "results" / "models", directory / "results" / "models")
        (directory / "example.py").write_text(first_example(), encoding="utf-8")
        subprocess.run([python, "example.py"], check=True, cwd=directory)


def main() -> int:
    """Builds and checks; returns the exit status."""
    wheel = build(ROOT / "dist")
    try:
        check(wheel)
    except subprocess.CalledProcessError as error:
        print(f"{wheel.name} does not work where nothing else is installed: {error}", file=sys.stderr)
        return 1
    print(f"{wheel.name}: the README's first screen runs in a bare environment.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
