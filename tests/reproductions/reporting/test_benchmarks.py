"""Benchmarks as data and as a page."""

import dataclasses
import json

import pytest

from reproductions.reporting.benchmarks import Benchmark, Measurement, Ratio, load_benchmarks, write_benchmark
from reproductions.reporting.benchmarks_page import (
    benchmarks_page,
    format_number,
    goals_summary,
    headline_lines,
)
from reproductions.tables import build_tables, stale_files, write_tables

STEP = Measurement("K=4", "training step", "ours", "ms", 57.25, 56.0, 59.5, 11, first_call=12.3, parameters=453540)
OVER_PEER = Ratio("K=4", "training step", "ours", "peer", 0.8, 0.75, 0.9, 11, goal=1.0)
OVER_BARE = Ratio("K=4", "training step", "ours", "bare", 1.5, 1.45, 1.6, 11, goal=1.4)


@pytest.fixture
def benchmark_of():
    valid = Benchmark(
        topic="peers",
        title="Beside others",
        notes=("A note.",),
        measurements=(STEP,),
        ratios=(OVER_PEER, OVER_BARE),
        threads=2,
        load_average=(0.12, 0.5, 1.0),
        others_share=0.034,
        seconds=93.4,
        versions={"python": "3.11.7", "torch": "2.13.0"},
        commit="0123456789abcdef",
        command="python -m benchmarks.peers",
        hardware={"cpu": "Some CPU", "cores": 2, "gpus": []},
        date="2026-01-02T03:04:05+00:00",
    )
    return lambda **changes: dataclasses.replace(valid, **changes)


def test_written_and_read_back(benchmark_of, tmp_path):
    benchmark = benchmark_of()
    write_benchmark(benchmark_of(seconds=1.0), tmp_path)
    path = write_benchmark(benchmark, tmp_path)  # a later run takes the place of an earlier one
    assert path == tmp_path / "peers.json"
    (read,) = load_benchmarks(tmp_path).values()
    assert read.measurements == benchmark.measurements and read.ratios == benchmark.ratios and read.seconds == 93.4


@pytest.mark.parametrize(
    ("order", "topics"),
    [((), ["memory", "peers", "xla"]), (("xla", "drift", "memory"), ["xla", "memory", "peers"])],
)
def test_topics_come_as_ordered_then_by_name(benchmark_of, tmp_path, order, topics):
    for topic in ("peers", "xla", "memory"):
        write_benchmark(benchmark_of(topic=topic), tmp_path)
    assert list(load_benchmarks(tmp_path, order)) == topics


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content["measurements"][0].update(median=1.0), "quartiles"),
        (lambda content: content["ratios"][0].update(count=0), "no samples"),
        (lambda content: content.update(measurements=[]), "measured nothing"),
        (lambda content: content.update(topic="memory"), "named after its topic"),
        (lambda content: content.pop("load_average"), "load_average"),
    ],
)
def test_a_file_that_is_not_valid_is_named(benchmark_of, tmp_path, damage, message):
    path = write_benchmark(benchmark_of(), tmp_path)
    content = json.loads(path.read_text())
    damage(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message) as error:
        load_benchmarks(tmp_path)
    assert str(path) in str(error.value)


def test_page_shows_value_and_goal(benchmark_of):
    page = benchmarks_page({"peers": benchmark_of()})
    assert "| K=4 | training step | ours | 57.2 ms | 56.0 to 59.5 | 11 | 12.3 s | 453,540 |" in page
    assert "| K=4 | training step | ours / peer | 0.800 | 0.750 to 0.900 | 11 | < 1.00: met |" in page
    assert "| ours / bare | 1.50 | 1.45 to 1.60 | 11 | < 1.40: not met |" in page
    assert "2 cores, 3% of it taken by other processes" in page
    assert "load average before 0.120, 0.500, 1.00" in page and "Measured by `python -m" in page
    assert "Peak memory" not in page  # nothing to show


def ratios(number, median, headline, goal=1.0):
    """Ratios of which the last is the largest."""
    return tuple(
        Ratio(f"K={index}", "training step", "ours", "peer", value, value, value, 3, goal, headline)
        for index, value in enumerate(median + index / 100 for index in range(number))
    )


@pytest.mark.parametrize(
    ("rows", "cases"),
    [
        # No goal is missed: the headlines alone, as they come.
        ((*ratios(3, 0.5, True), *ratios(2, 0.5, False)), ["K=0", "K=1", "K=2"]),
        # Those that are missed come first, the worst at the top, whether they are headlines or not, and once.
        ((*ratios(2, 0.5, True), *ratios(2, 1.5, False)), ["K=1", "K=0", "K=0", "K=1"]),
        ((*ratios(2, 0.5, True), *ratios(2, 1.5, True)), ["K=1", "K=0", "K=0", "K=1"]),
        # Twelve lines at most.
        (ratios(20, 0.5, True), [f"K={index}" for index in range(12)]),
        ((*ratios(2, 0.5, True), *ratios(14, 1.5, False)), [f"K={index}" for index in range(13, 1, -1)]),
        # Far over a low goal is worse than a little over a high one.
        ((OVER_BARE, dataclasses.replace(OVER_PEER, goal=0.4)), ["K=4", "K=4"]),
        (ratios(2, 0.5, True, goal=None), ["K=0", "K=1"]),
        (ratios(2, 0.5, False), []),
    ],
)
def test_the_page_opens_with_what_is_missed_then_with_the_headlines(benchmark_of, rows, cases):
    lines = headline_lines([benchmark_of(measurements=(STEP,), ratios=rows)])
    assert [line["What"].rpartition(", ")[-1] for line in lines] == cases
    missed = [row for row in rows if row.goal and row.median >= row.goal]
    assert [line["Goal"] is not None and "not met" in line["Goal"] for line in lines] == [
        index < len(missed) for index in range(len(lines))
    ]


def test_the_worst_of_the_missed_goals_is_the_one_farthest_over(benchmark_of):
    slow = Measurement("x", "start-up", "ours", "s", 40.0, 40.0, 40.0, 1, goal=10.0)
    lines = headline_lines([benchmark_of(measurements=(STEP, slow))])
    assert [(line["Against"], line["Ratio or value"], line["Goal"]) for line in lines] == [
        (None, "40.0 s", "< 10.0 s: not met"),
        ("bare", "1.50", "< 1.40: not met"),
    ]
    page = benchmarks_page({"peers": benchmark_of(measurements=(STEP, slow))})
    assert page.index("40.0 s") < page.index("1.50") < page.index("Of 3 goals, 1 are met.") < page.index("57.2 ms")


def test_goals_are_summed_up(benchmark_of):
    text = goals_summary([benchmark_of()])
    assert text == "Of 2 goals, 1 are met. The 1 that are not come first above, the worst at the top."
    assert "The first 12 of the 14 that" in goals_summary([benchmark_of(ratios=ratios(14, 1.5, False))])
    assert goals_summary([benchmark_of(ratios=())]) == "No goals are set."


def test_what_was_stopped_meets_no_goal(benchmark_of):
    stopped = Measurement("x", "start-up", "ours", "s", 20.0, 20.0, 20.0, 1, at_least=True, goal=30.0)
    page = benchmarks_page({"start_up": benchmark_of(measurements=(stopped,), ratios=())})
    assert "> 20.0 s" in page and "< 30.0 s: not met" in page and "Of 1 goals, 0 are met." in page


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.00123, "0.00123"), (0.5, "0.500"), (1.234, "1.23"), (45.67, "45.7"), (1234.5, "1,234")],
)
def test_numbers_have_three_digits(value, text):
    assert format_number(value) == text


def test_the_page_is_stale_after_another_run(benchmark_of, results):
    assert "benchmarks.md" not in build_tables(results)  # nothing measured, no page
    write_benchmark(benchmark_of(), results / "benchmarks")
    write_tables(results)
    assert stale_files(results) == []
    write_benchmark(benchmark_of(seconds=50.0), results / "benchmarks")
    assert stale_files(results) == ["benchmarks.md"]
