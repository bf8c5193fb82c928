"""Records of log-likelihoods, their page and their plot."""

import dataclasses
import json
import statistics

import pytest

from reproductions.reporting.expected import Expected
from reproductions.tables import stale_files, write_tables
from reproductions.vflow.toy.log_likelihoods import LogLikelihoodRecord, load_log_likelihoods, write_log_likelihoods
from reproductions.vflow.toy.pages import label, log_likelihoods_page, plot_log_likelihoods


def record(steps=3, dimensions=10, values=(-3.5, -3.52), **changes):
    fields = {
        "paper": "vflow",
        "dataset": "checkerboard",
        "model": "Glow" if dimensions == 2 else "VFlow",
        "steps": steps,
        "dimensions": dimensions,
        "iterations": 100,
        "batch_size": 64,
        "seeds": tuple(range(len(values))),
        "test_points": 1000,
        "importance_samples": None if dimensions == 2 else 100,
        "log_likelihoods": values,
        "standard_errors": (0.01,) * len(values),
        "elbos": tuple(value - 0.1 for value in values),
        "parameters": 100 * steps + dimensions,
        "training_curve": ((50, -4.0), (100, -3.6)),
        "seconds": 90.0,
        "hardware": {"cpu": "a CPU", "cores": 2, "gpus": []},
        "versions": {"tensorflow": "2.21.0"},
        "commit": "0123456789abcdef",
        "command": "python run.py",
        "date": "2024-01-02T03:04:05+00:00",
    }
    return LogLikelihoodRecord(**(fields | changes))


def test_record_survives_its_file(tmp_path):
    written = record()
    path = write_log_likelihoods(written, tmp_path)
    assert path == tmp_path / "vflow/checkerboard/steps3-dimensions10-iterations100-seeds2.json"
    assert load_log_likelihoods(tmp_path) == {("vflow", "checkerboard"): (written,)}
    assert written.mean == pytest.approx(-3.51)
    assert written.standard_deviation == pytest.approx(statistics.stdev([-3.5, -3.52]))
    assert record(values=(-3.5,)).standard_deviation == 0


def test_another_result_does_not_replace_it_but_another_date_does_not_matter(tmp_path):
    write_log_likelihoods(record(), tmp_path)
    write_log_likelihoods(record(date="2025-01-02T03:04:05+00:00", seconds=80.0), tmp_path)
    with pytest.raises(FileExistsError, match="log_likelihoods"):
        write_log_likelihoods(record(values=(-3.5, -3.53)), tmp_path)


def test_a_record_in_the_wrong_place_is_refused(tmp_path):
    path = write_log_likelihoods(record(), tmp_path)
    path.rename(path.with_name("other.json"))
    with pytest.raises(ValueError, match="belong to"):
        load_log_likelihoods(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps"),
        ({"seeds": (1, 1)}, "seeds"),
        ({"log_likelihoods": (-3.5,)}, "log_likelihoods"),
        ({"elbos": (-3.5, float("nan"))}, "elbos"),
        ({"model": "a model"}, "model"),
        ({"variant": "N(0, I)"}, "variant"),
    ],
)
def test_what_is_not_valid_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        record(**changes)


def test_records_are_in_order_of_dimensions_steps_and_iterations(tmp_path):
    records = [record(2, 10), record(3, 2), record(20, 2), record(3, 2, iterations=50)]
    for item in records:
        write_log_likelihoods(item, tmp_path)
    (loaded,) = load_log_likelihoods(tmp_path).values()
    assert [(item.dimensions, item.steps, item.iterations) for item in loaded] == [
        (2, 3, 50), (2, 3, 100), (2, 20, 100), (10, 2, 100)
    ]  # fmt: skip


def expected(model, metric, printed):
    return Expected("vflow", "section 5", model, "checkerboard", metric, printed, "own", "checkerboard", None)


def test_page_has_each_model_beside_what_is_printed():
    records = [record(3, 2, (-3.6, -3.7)), record(3, 10)]
    assert label(records[1]) == "VFlow 3 steps, 10 dimensions"
    printed = [
        expected("VFlow 3 steps, 10 dimensions", "log_likelihood_nats", "-3.51"),
        expected("VFlow 3 steps, 10 dimensions", "log_likelihood_nats_std", "0.01"),
    ]
    text = log_likelihoods_page("VFlow", "checkerboard", records, printed, ["figures/a.png"])
    assert "| 3 | -3.650 ± 0.071 | -3.510 ± 0.014 |" in text
    rows = [line for line in text.splitlines() if line.startswith(("| VFlow |", "| Glow |"))]
    assert rows[0].startswith("| Glow | 3 | 2 | 302 | -3.650 ± 0.071 |  |  |")
    assert rows[1].startswith("| VFlow | 3 | 10 | 310 | -3.510 ± 0.014 | -3.51 ± 0.01 | ")
    assert "-3.4657" in text and "![figures/a.png](figures/a.png)" in text


def test_a_variant_has_a_file_and_a_table_of_its_own(tmp_path):
    records = [record(3, 10), record(3, 10, (-3.7, -3.72), variant="normal")]
    paths = [write_log_likelihoods(item, tmp_path) for item in records]
    assert paths[1].name == "steps3-dimensions10-iterations100-seeds2-normal.json"
    (loaded,) = load_log_likelihoods(tmp_path).values()
    assert loaded == tuple(records)
    text = log_likelihoods_page("VFlow", "checkerboard", records, [], [])
    assert text.count("| 3 | -3.510 ± 0.014 |") == 1
    assert "| 3 | -3.710 ± 0.014 |" in text.split("## Variant: normal")[1]
    assert "| VFlow (normal) | 3 | 10 | 310 | -3.710 ± 0.014 |" in text
    both = plot_log_likelihoods(records, tmp_path / "a.png").read_bytes()
    assert both != plot_log_likelihoods(records[:1], tmp_path / "b.png").read_bytes()


def test_plot_is_a_function_of_the_records(tmp_path):
    records = [record(3, 2), record(20, 2), record(3, 10)]
    first = plot_log_likelihoods(records, tmp_path / "a.png", -3.4657).read_bytes()
    assert first == plot_log_likelihoods(records, tmp_path / "b.png", -3.4657).read_bytes()
    moved = [*records[:2], dataclasses.replace(records[2], log_likelihoods=(-3.6, -3.61))]
    assert first != plot_log_likelihoods(moved, tmp_path / "c.png", -3.4657).read_bytes()


def test_record_is_plain_json(tmp_path):
    content = json.loads(write_log_likelihoods(record(), tmp_path).read_text())
    assert content["seeds"] == [0, 1] and content["training_curve"] == [[50, -4.0], [100, -3.6]]


def test_tables_have_a_page_and_a_plot_of_each_study(results):
    written = record(3, 10)
    write_log_likelihoods(written, results / "obtained")
    assert {"vflow_checkerboard.md", "figures/vflow_checkerboard_log_likelihoods.png"} <= set(stale_files(results))
    write_tables(results)
    assert stale_files(results) == []
    assert "-3.51 ± 0.01" in (results / "vflow_checkerboard.md").read_text()
    write_log_likelihoods(record(3, 2), results / "obtained")
    assert stale_files(results) == ["vflow_checkerboard.md"]
