"""Counts the size and the structure of the packages, as JSON: `python tools/count_house.py [ROOT]`.

ROOT is a checkout, by default this one. It may be older than the split into packages, when the driver was `tfflows/cli`.
"Ours" is everything below `tfflows/` and `reproductions/`.

- run: files of ours with a function body that ran inside the driver's `main.run` of a two-step demonstration;
- loaded: modules of ours that the process had imported when it ended;
- lines_library, lines_reporting: lines of Python in `tfflows`, and in the folder of records, verdicts, tables and pages;
- annotated: share of the library's public functions and methods whose parameters and returned value are all annotated;
- core_dependencies: number of packages that a plain `pip install` requires;
- repeated_names: module names that occur more than once in the library, apart from `__init__`;
- small_modules: modules with at most 50 lines in the library and the reproductions, out of how many.
"""

import ast
import collections
import configparser
import json
import os
import pathlib
import subprocess
import sys
import tempfile

PACKAGES = ("tfflows", "reproductions")
# Modules of `tfflows/evaluation` that measure models. In old checkouts, all others there are records, verdicts, tables and pages.
MEASURES = """bits_per_dim directions grids image_grid image_model_samples importance interpolation latent_terms latent_use
latents log_weights log_weights_file manipulation reconstructions sample_distance samples __init__""".split()

# Runs in a process of its own, with the arguments ROOT, WORKDIR and RESULT. It watches `main.run` and the threads that this
# starts, so that code that runs on import does not count.
WATCHED_RUN = """
import importlib, json, os, sys, threading
root, workdir, result = sys.argv[1:]
sys.path.insert(0, root)
os.chdir(root)
flags = ["--experiment=demo", "--steps=2", f"--workdir={workdir}", f"--results_dir={workdir}/kept"]
sys.argv = ["reproductions/glow/run.py", *flags]
try:
    from reproductions.driver import main
except ImportError:
    from tfflows.cli import main
try:
    from reproductions.glow.reproduction import GLOW
except ImportError:
    from reproductions.glow.run import GLOW
ours = tuple(os.path.join(root, package) + os.sep for package in ("tfflows", "reproductions"))
files = set()

def watch(frame, event, argument):
    code = frame.f_code
    # CO_NEWLOCALS: functions, but no bodies of classes; no comprehensions of a module either.
    is_function = code.co_flags & 0x2 and (code.co_name[0] != "<" or code.co_name == "<lambda>")
    if event == "call" and is_function and code.co_filename.startswith(ours):
        files.add(os.path.relpath(code.co_filename, root))

inner = main.run

def run(*arguments, **keywords):
    threading.setprofile(watch)
    sys.setprofile(watch)
    try:
        return inner(*arguments, **keywords)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        loaded = sorted(
            name for name, module in list(sys.modules.items())
            if (getattr(module, "__file__", None) or "").startswith(ours)
        )
        with open(result, "w") as file:
            json.dump({"run": sorted(files), "loaded": loaded}, file)

main.run = run
main.main(GLOW)
"""


def watch_run(root):
    """Paths of the files that ran in a two-step demonstration, and names of the modules that were loaded."""
    with tempfile.TemporaryDirectory() as directory:
        result = pathlib.Path(directory, "result.json")
        arguments = [str(root), str(pathlib.Path(directory, "workdir")), str(result)]
        environment = {**os.environ, "PYTHONPATH": str(root), "TF_CPP_MIN_LOG_LEVEL": "3"}
        subprocess.run([sys.executable, "-c", WATCHED_RUN, *arguments], check=True, env=environment, stdout=sys.stderr)
        return json.loads(result.read_text())


def modules(root, *packages):
    """The Python files of packages."""
    return sorted(path for package in packages for path in (root / package).rglob("*.py"))


def num_lines(paths):
    """Total number of lines of files."""
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)


def reporting(root):
    """The files of records, verdicts, tables and pages."""
    if (root / "reproductions/reporting").is_dir():
        return [*modules(root, "reproductions/reporting"), root / "reproductions/tables.py"]
    return [path for path in modules(root, "tfflows/evaluation") if path.stem not in MEASURES]


def public_functions(tree):
    """Public functions of a module and of its public classes, each with whether it is a method."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node, False
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for inner in node.body:
                is_function = isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef)
                if is_function and (not inner.name.startswith("_") or inner.name in ("__init__", "__call__")):
                    yield inner, True


def is_annotated(function, is_method):
    """Whether all parameters but `self` and `cls` are annotated, and unless it is `__init__`, the returned value."""
    arguments = function.args
    static = any(isinstance(name, ast.Name) and name.id == "staticmethod" for name in function.decorator_list)
    named = [*arguments.posonlyargs, *arguments.args][is_method and not static :]
    named += [*arguments.kwonlyargs, *filter(None, (arguments.vararg, arguments.kwarg))]
    returned = function.returns is not None or function.name == "__init__"
    return returned and all(argument.annotation is not None for argument in named)


def annotated_share(paths):
    """Number of annotated public functions, and of all public functions."""
    functions = [
        is_annotated(*found)
        for path in paths
        for found in public_functions(ast.parse(path.read_text(encoding="utf-8")))
    ]
    return sum(functions), len(functions)


def core_dependencies(root):
    """The requirements in setup.cfg without any extra."""
    setup = configparser.ConfigParser()
    setup.read(root / "setup.cfg")
    return [line for line in setup["options"]["install_requires"].split("\n") if line and not line.startswith("#")]


def count(root):
    """All counts of a checkout."""
    run = watch_run(root)
    library = modules(root, "tfflows")
    annotated, public = annotated_share(library)
    names = collections.Counter(path.stem for path in library if path.stem != "__init__")
    every = modules(root, *PACKAGES)
    small = [path for path in every if num_lines([path]) <= 50]
    return {
        "run": len(run["run"]),
        "loaded": len(run["loaded"]),
        "lines_library": num_lines(library),
        "lines_reporting": num_lines(reporting(root)),
        "annotated": f"{annotated} of {public} ({100 * annotated / public:.0f}%)",
        "core_dependencies": len(core_dependencies(root)),
        "repeated_names": len([name for name, number in names.items() if number > 1]),
        "small_modules": f"{len(small)} of {len(every)}",
        "files_run": run["run"],
        "names_repeated": sorted(name for name, number in names.items() if number > 1),
    }


if __name__ == "__main__":
    default = pathlib.Path(__file__).resolve().parents[1]
    print(json.dumps(count(pathlib.Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else default), indent=1))
