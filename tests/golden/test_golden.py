"""What runs left behind when the code was known to be right: variables, workdirs that go on, figures that are met again.

See `make.py` for what is stored and how; `variables.py` and `compare_commits.py` say more where one of these tests fails.
"""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.golden import project
from tests.golden.compare_results import differences, numbers
from tests.golden.runs import (
    GOLDEN,
    IMPORTANCE,
    ROOT,
    RUNS,
    STORED_STEPS,
    copy_workdir,
    last_picture,
    resume,
    run_command,
)
from tests.golden.variables import LISTS, describe, first_difference, is_large, keys_of, lines_of, read_stored
from tests.slow import slow_but

# What another machine's sums may differ by, in bits/dim.
TOLERANCE = 1e-5
# What has fewer variables is built by default.
NUM_VARIABLES_BY_DEFAULT = 60

VARIABLES = [
    pytest.param(paper, key, marks=[pytest.mark.slow] if entry["count"] > NUM_VARIABLES_BY_DEFAULT else [])
    for paper, entries in read_stored().items()
    for key, entry in entries.items()
]
EACH_RUN = [pytest.param(run, id=run.name, marks=[] if run.is_default else [pytest.mark.slow]) for run in RUNS]
WITH_IMPORTANCE = [run for run in RUNS if run.has_importance]


def expected_of(run):
    return json.loads((GOLDEN / "expected" / f"{run.name}.json").read_text())


def values_of(workdir):
    """Bits/dim of each image, by the name of their file."""
    return {path.stem: np.load(path) for path in workdir.glob("*_bits_per_dim.npy")}


@pytest.fixture(autouse=True)
def quick_graphs(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("paper", slow_but(["glow", "flowpp", "vflow"], [*project.PAPERS, project.TOY]))
def test_every_experiment_is_stored(paper):
    """Those of published size take minutes each: they may be stored later."""
    stored, keys = read_stored()[paper].keys(), keys_of(paper)
    assert stored <= set(keys)
    assert {key for key in keys if not is_large(paper, key)} <= stored


@pytest.mark.parametrize(("paper", "key"), VARIABLES)
def test_variables(paper, key):
    assert describe(lines_of(paper, key)) == read_stored()[paper][key], (
        f"Other variables, or in another order: python -m tests.golden.variables --against PARENT_TREE {paper} {key}"
    )


@pytest.mark.parametrize(
    "run",
    [pytest.param(run, id=run.name, marks=[] if run.name == run.paper else [pytest.mark.slow]) for run in RUNS],
)
def test_variables_of_a_golden_run(run):
    stored = (LISTS / f"{run.name}.txt").read_text().splitlines()
    assert first_difference(project.variable_lines(run.paper, project.golden_experiment(run)), stored) is None


@pytest.mark.parametrize("run", EACH_RUN)
def test_a_run_goes_on(run, tmp_path):
    workdir = resume(run, tmp_path)
    expected = expected_of(run)
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    before = (run.workdir(GOLDEN / "stored") / "metrics.jsonl").read_text().splitlines()
    # That of the end is logged anew where a run goes on.
    before = [line for line in map(json.loads, before) if "final_test_bits_per_dim" not in line]
    assert lines[: len(before)] == before
    steps = [line for line in lines if "loss" in line and line["step"] > STORED_STEPS]
    # Relative: the loss of some papers is in nats an image, thousands of them.
    for name in ("loss", "gradient_norm"):
        found = [line[name] for line in steps]
        np.testing.assert_allclose(found, expected[name], rtol=TOLERANCE, atol=0, err_msg=name)
    values = values_of(workdir)
    assert values and values.keys() == {name for name in expected if name.endswith("_bits_per_dim")}
    for name, value in values.items():
        np.testing.assert_allclose(value, expected[name], rtol=0, atol=TOLERANCE, err_msg=name)
    with Image.open(last_picture(workdir)) as drawn, Image.open(GOLDEN / "expected" / f"{run.name}.png") as stored:
        drawn, stored = (np.asarray(image, np.int32) for image in (drawn, stored))
    assert drawn.shape == stored.shape and np.abs(drawn - stored).mean() < 0.5  # of 255 levels


@pytest.mark.parametrize("run", EACH_RUN)
def test_a_checkpoint_is_evaluated(run, tmp_path):
    copy_workdir(run, tmp_path)
    workdir = run.workdir(tmp_path)
    (stored,) = project.load_records(workdir / "results")
    kept = values_of(workdir)
    np.testing.assert_allclose(stored.value, kept["test_bits_per_dim"].mean(), rtol=1e-6)
    for name in kept:
        (workdir / f"{name}.npy").unlink()
    shutil.rmtree(workdir / "results")
    run_command(ROOT, run.paper, (*run.command(tmp_path, STORED_STEPS, GOLDEN), "--mode=evaluate"))
    values = values_of(workdir)
    assert values.keys() == kept.keys()
    for name, value in values.items():
        np.testing.assert_allclose(value, kept[name], rtol=0, atol=TOLERANCE, err_msg=name)
    (record,) = project.load_records(workdir / "results")
    assert (record.name, record.overrides, record.parameters) == (stored.name, stored.overrides, stored.parameters)
    np.testing.assert_allclose(record.value, stored.value, rtol=0, atol=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("run", WITH_IMPORTANCE, ids=lambda run: run.name)
def test_a_stopped_measurement_goes_on(run, tmp_path):
    copy_workdir(run, tmp_path)
    workdir = run.workdir(tmp_path)
    (sums,) = workdir.glob("*-sums.npz")
    with np.load(sums) as file:
        assert 0 == file["counts"].min() < file["counts"].max() < 40
    run_command(ROOT, run.paper, (*run.command(tmp_path, STORED_STEPS, GOLDEN), *IMPORTANCE))
    (values,) = workdir.glob("test_bits_per_dim-samples*.npy")
    np.testing.assert_allclose(np.load(values), expected_of(run)["importance"], rtol=0, atol=TOLERANCE)
    with np.load(sums) as file:
        assert file["counts"].min() == file["counts"].max() == 40


@pytest.mark.parametrize(
    ("path", "content", "expected"),
    [
        ("a.md", b"| 3.35 | -1e-3 | 2026-11-29 | 1,200 | cifar10_16 |", "3.35 -1e-3 2026 11 29 1 200 10 16"),
        ("a.json", b'{"a_1": [-2, 0.5], "b": null}', "1 -2 0.5"),
        ("a.csv", b"x,1.50,2%\n", "1.50 2"),
    ],
)
def test_numbers_of_a_text(path, content, expected):
    assert numbers(path, content) == expected.split()


def test_differences_of_results():
    old = {"results/a.md": ["1", "2", "3"], "results/b/c.csv": ["4"], "results/d.csv": ["5"]}
    assert differences(old, dict(old)) == []
    (changed,) = differences(old, {**old, "results/a.md": ["1", "7", "3"]})
    assert changed.startswith("results/a.md: from number 1 of 3 on") and "(2)" in changed and "(7)" in changed
    (longer,) = differences(old, {**old, "results/a.md": ["1", "2", "3", "3"]})
    assert longer.startswith("results/a.md: from number 3 of 3 on")
    moved = {"results/a.md": ["1", "2", "3"], "results/e/c.csv": ["4"], "results/d.csv": ["5"]}
    assert len(differences(old, moved)) == 2
    assert differences(old, moved, [("results/b", "results/e")]) == differences(old, moved, any_place=True) == []
    assert differences(old, moved, [("results/b", "results/f")]) != []
