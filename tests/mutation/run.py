"""Do the tests see a change? Draws mutants of the sources, runs the nearest tests on each, and lists those that none noticed.

    python -m tests.mutation.run --mutants=250 --seed=0 --results=workdirs/mutation.jsonl &
    python -m tests.mutation.run --results=workdirs/mutation.jsonl --summary

Each mutant is made in a temporary copy of the tree and tested for `--seconds` of CPU time, with `pytest -x`, in a fork of a
process that has imported TensorFlow; its result is one line of the results file. What stands there already is not run again, so
that a run may be broken off and continued. Draws follow from the seed and the sources: lines that can be changed at all are drawn
without replacement, then one of the changes of each.

A mutant is `killed` if a test fails that passes without it, or hangs; else it has `survived`. Survivors that compute the same as
the original are listed in `equivalent.json` by their ids, each with the reason; they do not count.
"""

import argparse
import contextlib
import dataclasses
import importlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

import keras  # noqa: F401
import pytest
import tensorflow  # noqa: F401 (imported once: a fork for each mutant has it)
import tensorflow_probability  # noqa: F401

from tests.mutation.mutants import Mutant, mutants_of, mutated
from tests.mutation.selection import SOURCE_PACKAGES, Selection

ROOT = pathlib.Path(__file__).parents[2]
EQUIVALENT = pathlib.Path(__file__).parent / "equivalent.json"
# Folders and single modules, wherever in the packages they lie.
TARGETS = ("math", "bijectors", "tracing", "distributions", "training", "expected", "rule")
# What a mutant's tests may take by the clock before they count as hanging, as a multiple of their CPU time, and on top of it.
_PATIENCE, _GRACE_SECONDS = 4, 240
# The examples of the mutated file are tests of it, run as `tests/test_examples.py` runs them.
_DOCTESTS = ("--doctest-modules", "-o", "doctest_optionflags=ELLIPSIS NORMALIZE_WHITESPACE")
KILLED, SURVIVED, BROKEN = "killed", "survived", "broken"


def target_files(root, targets=TARGETS):
    """Paths of the sources to be mutated, relative to the root; a target is a folder, or a module if no folder has its name."""
    files = [path.relative_to(root) for package in SOURCE_PACKAGES for path in sorted((root / package).rglob("*.py"))]
    folders = {name for path in files for name in path.parent.parts} & set(targets)
    modules = set(targets) - folders
    return [
        path.as_posix()
        for path in files
        if path.name != "__init__.py" and (folders & set(path.parent.parts) or path.stem in modules)
    ]


def draw(root, num_mutants, seed, targets=TARGETS) -> list[Mutant]:
    """Mutants spread over the lines of the sources: at most one a line, each line as likely as any other."""
    lines = {}
    for path in target_files(root, targets):
        for mutant in mutants_of(path, (root / path).read_text()):
            lines.setdefault((path, mutant.line), []).append(mutant)
    generator = random.Random(seed)
    chosen = generator.sample(sorted(lines), min(num_mutants, len(lines)))
    return [generator.choice(lines[line]) for line in chosen]


@contextlib.contextmanager
def scratch_copy(root):
    """A copy of all files of the working tree that git knows or does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        check=True,
    )
    with tempfile.TemporaryDirectory(prefix="mutation-") as directory:
        copy = pathlib.Path(directory)
        for name in filter(None, listed.stdout.decode().split("\0")):
            if (root / name).is_file():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, copy / name)
        yield copy


class Laboratory:
    """Runs tests on mutants in a copy of the tree."""

    def __init__(self, copy, seconds):
        """Args: copy: `pathlib.Path` of the copy; seconds: CPU time for the tests of one mutant."""
        self._copy, self._seconds = copy, seconds
        self._selection = Selection(copy)
        self._passing = set()
        code = self._in_a_fork(lambda: not importlib.import_module("tfflows").__file__.startswith(str(copy)), {})
        if code != 0:
            raise RuntimeError(f"The tests would not import tfflows from the copy in {copy}.")

    def result_of(self, mutant: Mutant) -> dict:
        """What became of a mutant, as a line of the results file."""
        tests = self._selection.tests_of(mutant.path)
        result = {"id": mutant.id, **dataclasses.asdict(mutant), "tests": tests}
        if ">>>" in (self._copy / mutant.path).read_text():
            tests = [mutant.path, *tests]
        if not tests:
            return {**result, "status": SURVIVED, "why": "no test reaches the file"}
        file = self._copy / mutant.path
        original, start = file.read_text(), time.monotonic()
        file.write_text(mutated(original, mutant))
        try:
            code, report = self._run(mutant, tests)
        finally:
            file.write_text(original)
        result["seconds"] = round(time.monotonic() - start, 1)
        return {**result, **self._judged(mutant, code, report)}

    def _judged(self, mutant, code, report):
        if code is None:
            return {"status": KILLED, "why": "a test hangs"}
        if report is None:
            return {"status": KILLED, "why": "the tests cannot start"}
        counts = {"ran": report["ran"], "selected": report["selected"]}
        if _nothing_failed(code, report):
            return {"status": SURVIVED, **counts}
        if report["failed"] is None:
            return {"status": KILLED, "why": "the tests cannot be collected", **counts}
        failed = report["failed"]
        if failed not in self._passing:
            if not _nothing_failed(*self._run(mutant, [failed])):
                return {"status": BROKEN, "why": f"{failed} fails without the mutant too", **counts}
            self._passing.add(failed)
        return {"status": KILLED, "by": failed, **counts}

    def _run(self, mutant, tests):
        """pytest's exit code (None if it hangs) and the plugin's report (None if there is none)."""
        with tempfile.TemporaryDirectory() as directory:
            report = pathlib.Path(directory) / "report.json"
            environment = {
                "MUTATION_NAMES": f"{pathlib.PurePosixPath(mutant.path).stem} {mutant.scope}",
                "MUTATION_SECONDS": str(self._seconds),
                "MUTATION_REPORT": str(report),
            }
            options = ["-x", "-q", "-p", "tests.mutation.nearest_first", "-p", "no:cacheprovider", *_DOCTESTS]
            code = self._in_a_fork(lambda: pytest.main([*options, *tests]), environment)
            return code, json.loads(report.read_text()) if report.exists() else None

    def _in_a_fork(self, function, environment):
        """The exit code of a function in a process that begins with the imported packages; None if it hangs."""
        process = os.fork()
        if not process:
            code = 1
            try:
                self._enter_copy(environment)
                code = int(function())
            finally:
                os._exit(code)
        deadline = time.monotonic() + _PATIENCE * self._seconds + _GRACE_SECONDS
        try:
            while time.monotonic() < deadline:
                ended, status = os.waitpid(process, os.WNOHANG)
                if ended:
                    return os.waitstatus_to_exitcode(status)
                time.sleep(0.05)
        finally:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.killpg(process, signal.SIGKILL)  # with whatever it has started
                os.waitpid(process, 0)
        return None

    def _enter_copy(self, environment):
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(nothing, stream)
        os.chdir(self._copy)
        settings = {"PYTHONPATH": str(self._copy), "PYTHONDONTWRITEBYTECODE": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}
        os.environ.update({**settings, **environment})
        # Without bytecode: a file that changes twice within a second would be taken for the one before.
        sys.dont_write_bytecode = True
        sys.path.insert(0, str(self._copy))
        importlib.invalidate_caches()
        for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
            del sys.modules[name]


def _nothing_failed(code, report):
    """Whether pytest passed all that it ran; it ends with 2 where the time was over."""
    return report is not None and (code == 0 or (code == 2 and report["failed"] is None and report["ran"] > 0))


def read_results(path):
    """The last result of each mutant, by id; a line that was broken off is passed over."""
    results = {}
    if path.exists():
        for line in path.read_text().splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                result = json.loads(line)
                results[result["id"]] = result
    return results


def read_equivalent(path=EQUIVALENT):
    """`{id: reason}` of the mutants that compute what the original computes."""
    return {entry["id"]: entry["reason"] for entry in json.loads(path.read_text())}


def summary(results, equivalent) -> str:
    """Scores by folder, and the survivors."""
    by_folder = {}
    for result in results:
        by_folder.setdefault(str(pathlib.PurePosixPath(result["path"]).parent), []).append(result)
    lines = [f"{'folder':40} mutants equivalent killed survived  score"]

    def row(folder, group):
        counted = [result for result in group if result["id"] not in equivalent and result["status"] != BROKEN]
        killed = sum(result["status"] == KILLED for result in counted)
        same = sum(result["id"] in equivalent for result in group)
        score = f"{killed / len(counted):6.1%}" if counted else "     -"
        return f"{folder:40} {len(group):7} {same:10} {killed:6} {len(counted) - killed:8} {score}"

    lines += [row(folder, group) for folder, group in sorted(by_folder.items())]
    lines += [row("all", results), ""]
    for result in sorted(results, key=lambda result: (result["path"], result["line"])):
        if result["status"] == KILLED or result["id"] in equivalent:
            continue
        lines.append(
            f"{result['status']} {result['id']} {result['path']}:{result['line']} in {result['scope'] or 'module'}"
        )
        lines.append(f"    {result['operator']}: {_shortened(result['before'])}  ->  {_shortened(result['after'])}")
        lines.append(f"    {result.get('why') or '{ran} of {selected} tests ran'.format(**result)}")
    return "\n".join(lines)


def _shortened(text):
    first, *others = text.splitlines() or [""]
    return f"{first} ..." if others else first


def run_all(mutants, options):
    """Runs mutants in a copy of the tree, and adds each result to the results file."""
    with scratch_copy(ROOT) as copy:
        laboratory = Laboratory(copy, options.seconds)
        for mutant in mutants:
            result = laboratory.result_of(mutant)
            with options.results.open("a") as file:
                file.write(json.dumps(result) + "\n")
            print(f"{result['status']} {mutant.path}:{mutant.line}", flush=True)


def main(arguments=None):
    """The command line; see the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=250, help="how many are drawn")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="CPU time for the tests of one mutant, after they are collected"
    )
    parser.add_argument("--targets", nargs="+", default=TARGETS, help="folders and modules that are mutated")
    parser.add_argument("--results", type=pathlib.Path, default=ROOT / "workdirs" / "mutation.jsonl")
    parser.add_argument("--jobs", type=int, default=1, help="how many run at a time")
    parser.add_argument("--again", action="store_true", help="run survivors once more, but for equivalent ones")
    parser.add_argument("--summary", action="store_true", help="only show what is known")
    parser.add_argument("--list", action="store_true", help="only show what is drawn")
    options = parser.parse_args(arguments)
    results = read_results(options.results)
    if not options.summary:
        drawn = draw(ROOT, options.mutants, options.seed, options.targets)
        if options.list:
            for mutant in drawn:
                print(f"{mutant.id} {mutant.path}:{mutant.line} {mutant.operator}: {_shortened(mutant.before)}")
            return
        equivalent = read_equivalent()
        again = {id for id, result in results.items() if options.again and result["status"] != KILLED} - set(equivalent)
        waiting = [mutant for mutant in drawn if mutant.id not in results or mutant.id in again]
        options.results.parent.mkdir(parents=True, exist_ok=True)
        workers = []
        for job in range(options.jobs):
            worker = os.fork()
            if not worker:
                code = 1
                try:
                    run_all(waiting[job :: options.jobs], options)
                    code = 0
                except Exception:
                    traceback.print_exc()
                finally:
                    os._exit(code)
            workers.append(worker)
        if any(os.waitpid(worker, 0)[1] for worker in workers):
            sys.exit("A process that ran mutants failed.")
        results = read_results(options.results)
    print(summary(list(results.values()), read_equivalent()))


if __name__ == "__main__":
    main()
