"""Names and order of the variables of every experiment: they fix the flat vector of parameters, and what a checkpoint holds.

`variables.json` has for each experiment of each paper how many variables its model has and a SHA-256 of their list (name,
shape, type, whether trained; in order); `variables/NAME.txt` has the whole list of each golden run.

    python -m tests.golden.variables                            writes what variables.json lacks; --all: all of it
    python -m tests.golden.variables --check [PAPER ...]        compares all with what is stored
    python -m tests.golden.variables --list PAPER KEY           prints the list of one experiment, such as glow cifar10:small
    python -m tests.golden.variables --against TREE PAPER KEY   prints where the list is another than in another source tree

Models of published size take a minute each, and come last; each is kept as soon as it is built. Run it from the root.
"""

import argparse
import hashlib
import itertools
import json
import os
import pathlib
import subprocess
import sys

GOLDEN = pathlib.Path(__file__).resolve().parent
STORED = GOLDEN / "variables.json"
LISTS = GOLDEN / "variables"


def read_stored():
    """`{paper: {key: {"count": number, "sha256": digest}}}`, as far as it was written."""
    return json.loads(STORED.read_text()) if STORED.exists() else {}


def describe(lines):
    """What is stored of a list."""
    return {"count": len(lines), "sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest()}


def first_difference(ours, theirs):
    """A sentence on where two lists differ first, None where they are equal."""
    for position, (line, other) in enumerate(itertools.zip_longest(ours, theirs, fillvalue="nothing")):
        if line != other:
            return f"variable {position} of {len(ours)} is {line!r}, of {len(theirs)} there it is {other!r}"
    return None


def keys_of(paper):
    """Keys of a paper's experiments, or cells; the cheapest first."""
    from tests.golden import project

    if paper == project.TOY:
        return list(project.toy_lines())
    experiments = project.experiments_of(paper)
    return sorted(experiments, key=lambda key: (experiments[key].scale == "paper", list(experiments).index(key)))


def lines_of(paper, key):
    """The list of an experiment."""
    from tests.golden import project

    return (
        project.toy_lines()[key]
        if paper == project.TOY
        else project.variable_lines(paper, project.experiments_of(paper)[key])
    )


def write(everything, golden_runs):
    """Writes what is missing, or all; the whole lists of the golden runs where asked for or missing."""
    from tests.golden import project
    from tests.golden.runs import RUNS

    LISTS.mkdir(exist_ok=True)
    for run in RUNS:
        if (LISTS / f"{run.name}.txt").exists() and not golden_runs:
            continue
        lines = project.variable_lines(run.paper, project.golden_experiment(run))
        (LISTS / f"{run.name}.txt").write_text("\n".join(lines) + "\n")
    stored = {} if everything else read_stored()
    papers = (*project.PAPERS, project.TOY)
    missing = [(paper, key) for paper in papers for key in keys_of(paper) if key not in stored.get(paper, {})]
    for paper, key in sorted(missing, key=lambda entry: is_large(*entry)):
        stored.setdefault(paper, {})[key] = describe(lines_of(paper, key))
        print(paper, key, stored[paper][key]["count"], flush=True)
        _save({paper: {key: stored[paper][key] for key in keys_of(paper) if key in stored[paper]} for paper in stored})


def is_large(paper, key):
    """Whether an experiment is of the published size."""
    from tests.golden import project

    return paper != project.TOY and project.experiments_of(paper)[key].scale == "paper"


def _save(stored):
    """A line an experiment, so that a change is seen in a diff."""
    papers = []
    for paper, entries in stored.items():
        lines = [f"  {json.dumps(key)}: {json.dumps(entry)}" for key, entry in entries.items()]
        papers.append(f" {json.dumps(paper)}: {{\n" + ",\n".join(lines) + "\n }")
    STORED.write_text("{\n" + ",\n".join(papers) + "\n}\n")


def check(papers):
    """Compares everything of the papers with what is stored; returns sentences."""
    problems = []
    for paper, entries in read_stored().items():
        if papers and paper not in papers:
            continue
        keys = keys_of(paper)
        problems += [f"{paper} {key}: not stored" for key in keys if key not in entries]
        for key, entry in entries.items():
            if key not in keys:
                problems.append(f"{paper} {key}: there is no such experiment any more")
            elif describe(lines_of(paper, key)) != entry:
                problems.append(f"{paper} {key}: other variables; --against PARENT_TREE {paper} {key} says which")
    return problems


def main():
    """Does what the flags ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="write everything anew")
    parser.add_argument("--golden-runs", action="store_true", help="write the lists of the golden runs anew, too")
    parser.add_argument("--check", nargs="*", metavar="PAPER")
    parser.add_argument("--list", nargs=2, metavar=("PAPER", "KEY"))
    parser.add_argument("--against", nargs=3, metavar=("TREE", "PAPER", "KEY"))
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(lines_of(*arguments.list)))
    elif arguments.against:
        tree, paper, key = arguments.against
        tree = pathlib.Path(tree).resolve()
        command = [sys.executable, "-m", "tests.golden.variables", "--list", paper, key]
        environment = {**os.environ, "PYTHONPATH": str(tree)}
        theirs = subprocess.run(command, cwd=tree, env=environment, check=True, capture_output=True, text=True).stdout
        difference = first_difference(lines_of(paper, key), theirs.splitlines())
        print(f"{paper} {key}: {difference or 'equal'}.")
        sys.exit(difference is not None)
    elif arguments.check is not None:
        problems = check(arguments.check)
        print("\n".join(problems) or "All equal.")
        sys.exit(bool(problems))
    else:
        write(arguments.all, arguments.golden_runs or arguments.all)


if __name__ == "__main__":
    main()
