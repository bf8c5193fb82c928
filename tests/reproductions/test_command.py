"""The command `tfflows`: what it finds, what it hands on, and what it does not import."""

import importlib.machinery
import importlib.metadata
import runpy
import subprocess
import sys
import types

import pytest

import tfflows
from reproductions import command
from reproductions.driver import main as driver
from reproductions.glow.reproduction import GLOW
from tfflows import papers

PAPERS = ("agave", "flowpp", "glow", "macow", "realnvp", "vflow")


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_help_names_papers_and_commands(arguments, capsys):
    assert command.main(arguments) == 0
    words = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert words == [*papers.list_papers(), *sorted(command.COMMANDS), "--version"]
    assert set(words) >= {*PAPERS, "list"}


def test_version(capsys):
    assert command.main(["--version"]) == 0
    assert capsys.readouterr().out == f"tfflows {tfflows.__version__}\n"


def test_an_unknown_command_names_those_there_are(capsys):
    assert command.main(["glwo", "--dataset=cifar10"]) == 2
    assert (
        "no command 'glwo'. Did you mean 'glow'? Choose one of: agave, bench-compression, compress, decompress, export, flowpp, "
        "glow, import, list, macow, realnvp, vflow." in capsys.readouterr().err
    )


def test_a_papers_command_is_its_package(monkeypatch):
    ran = []
    monkeypatch.setattr(runpy, "run_module", lambda *arguments, **rest: ran.append((*arguments, rest, sys.argv)))
    monkeypatch.setattr(sys, "argv", ["tfflows", "glow", "--list", "--scale=small"])
    assert command.main() == 0
    assert ran == [
        ("reproductions.glow.__main__", {"run_name": "__main__"}, ["tfflows glow", "--list", "--scale=small"])
    ]


def test_a_reproduction_without_a_main_module_has_the_driver(monkeypatch):
    ours = importlib.metadata.EntryPoint("ours", "reproductions.driver.of_test:GLOW", papers.GROUP)
    monkeypatch.setattr(papers, "_entry_points", lambda: {"ours": {ours.value: ours}})
    module = types.ModuleType("reproductions.driver.of_test")
    module.GLOW = GLOW
    monkeypatch.setitem(sys.modules, module.__name__, module)
    ran = []
    monkeypatch.setattr(driver, "main", lambda reproduction: ran.append((reproduction, sys.argv)))
    monkeypatch.setattr(sys, "argv", ["tfflows", "ours", "--list"])
    assert command.main() == 0
    assert ran == [(GLOW, ["tfflows ours", "--list"])]


def test_another_command_is_its_module(monkeypatch):
    module = types.ModuleType("command_of_test")
    module.main = lambda arguments: 3 if arguments == ["a", "--b"] else 0
    monkeypatch.setitem(sys.modules, "command_of_test", module)
    monkeypatch.setitem(command.COMMANDS, "other", command.Command("command_of_test", "Does nothing."))
    assert command.main(["other", "a", "--b"]) == 3


def test_every_command_has_its_module():
    for each in command.COMMANDS.values():
        assert callable(importlib.import_module(each.module).main)
    assert set(command.COMMANDS).isdisjoint(papers.list_papers())


def test_list_names_the_papers_and_the_models(monkeypatch, capsys):
    module = types.ModuleType("tfflows.models")
    module.__spec__ = importlib.machinery.ModuleSpec("tfflows.models", None)
    module.list_models = lambda models_dir: [f"glow_small in {models_dir}"] if models_dir else []
    monkeypatch.setitem(sys.modules, "tfflows.models", module)
    assert command.main(["list", "--models_dir=somewhere"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:7]] == list(PAPERS)
    assert "Glow (Kingma & Dhariwal 2018)" in lines[3]
    assert lines[-1] == "  glow_small in somewhere"
    assert command.main(["list"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "  none"


@pytest.mark.parametrize("arguments", [["--help"], ["list"], *([name, "--help"] for name in sorted(command.COMMANDS))])
def test_what_is_text_imports_no_tensorflow(arguments):
    code = (
        "import sys; from reproductions.command import main\n"
        f"sys.argv = ['tfflows', *{arguments}]\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras', 'numpy')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert arguments[0].lstrip("-") in done.stdout if "--help" in arguments[1:] else "glow" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("paper", "arguments"),
    [
        ("glow", ["--help"]),
        ("vflow", ["--no_such_flag"]),
        ("agave", ["--dataset=cifar10", "--stage=none"]),
        ("glow", ["word"]),
        ("vflow", ["--dataset=checkerboard", "--help"]),
    ],
)
def test_a_papers_command_is_its_script(paper, arguments, pytestconfig):
    script = str(pytestconfig.rootpath / "reproductions" / paper / "run.py")
    commands = [sys.executable, script, *arguments], [sys.executable, "-m", "reproductions.command", paper, *arguments]
    runs = [subprocess.run(each, capture_output=True, text=True, timeout=300) for each in commands]
    helps = "--help" in arguments
    assert runs[0].returncode == runs[1].returncode == (not helps)
    if helps:
        said = [run.stdout for run in runs]
    else:  # the error comes last, after what TensorFlow says of the machine
        said = ["".join(run.stderr.splitlines()[-1:]) for run in runs]
    assert said[0] and said[0].replace(script, f"tfflows {paper}") == said[1]
