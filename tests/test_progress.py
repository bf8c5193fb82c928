import io
import json
import re
import time

import pytest

from tfflows import progress as progress_module
from tfflows.progress import Progress, Task


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """Time that moves only when told to."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(progress_module, "time", clock)
    return clock


def run(clock, stream, seconds_a_step=2.0, steps=100, **kwargs):
    with Progress(total=steps, images_per_step=64, stream=stream, **kwargs) as progress:
        for step in range(kwargs.get("initial", 0), steps):
            clock.now += seconds_a_step
            progress.update(step + 1, bits_per_dim=3.5123)
    return progress


def test_without_a_terminal_a_line_now_and_then(clock):
    stream = io.StringIO()
    run(clock, stream, seconds_between_lines=30.0)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 200 // 30 + 1
    assert lines[0] == "train 15/100, bits/dim 3.512, 32 images/s, ETA 0:02:50"
    assert lines[-1].startswith("train 100/100, bits/dim 3.512, 32 images/s, ETA 0:00:00")
    assert "\r" not in stream.getvalue()


def test_on_a_terminal_a_bar_with_everything(clock):
    stream = Terminal()
    run(clock, stream)
    last = re.split(r"[\r\n]", stream.getvalue().strip())[-1]
    assert last.startswith("train 100%|")
    assert "100/100, bits/dim 3.512, 32 images/s, ETA 0:00:00" in last


def test_other_workers_are_quiet(clock):
    stream = Terminal()
    progress = run(clock, stream, chief=False)
    progress.write("text")
    assert stream.getvalue() == ""


def test_a_resumed_run_counts_from_where_it_is(clock):
    stream = io.StringIO()
    run(clock, stream, initial=90)
    assert stream.getvalue().splitlines() == ["train 100/100, bits/dim 3.512, 32 images/s, ETA 0:00:00"]


def test_the_first_step_does_not_count_for_the_speed(clock):
    with Progress(total=10, images_per_step=64, stream=io.StringIO()) as progress:
        clock.now += 500.0  # tracing
        progress.update(1)
        assert progress.images_per_second() is None
        clock.now += 2.0
        progress.update(2)
        assert progress.images_per_second() == pytest.approx(32.0)


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_text_between(clock, stream):
    with Progress(total=10, stream=stream) as progress:
        progress.write("a note")
    assert "a note\n" in stream.getvalue()


def work(clock, stream, seconds_a_step=2.0, steps=50, **kwargs):
    with progress_module.shown(stream=stream), Task("evaluation", total=steps, **kwargs) as task:
        for step in range(steps):
            clock.now += seconds_a_step
            task.update(step + 1)


def test_a_task_has_few_lines_without_a_terminal(clock):
    stream = io.StringIO()
    work(clock, stream)
    assert stream.getvalue().splitlines() == [
        "evaluation 5/50, ETA 0:01:30",
        "evaluation 20/50, ETA 0:01:00",
        "evaluation 35/50, ETA 0:00:30",
        "evaluation 50/50, ETA 0:00:00",
    ]


def test_a_task_on_a_terminal_is_one_line_that_goes(clock):
    stream = Terminal()
    work(clock, stream)
    first, *_, last, gone = stream.getvalue().removeprefix("\r").split("\r")[:-1]
    assert re.fullmatch(r"evaluation +0%\|.*\| 0/50", first)
    assert re.fullmatch(r"evaluation 100%\|.*\| 50/50, ETA 0:00:00", last)
    assert not gone.strip() and "\n" not in stream.getvalue()


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_a_short_task_and_another_worker_show_nothing(clock, stream):
    work(clock, stream, seconds_a_step=0.03)
    work(clock, stream, chief=False)
    assert stream.getvalue() == ""


def test_a_task_is_silent_unless_asked(clock, capsys):
    with Task("evaluation", total=50) as task:
        progress_module.count(lambda: pytest.fail("nobody sees it"))
        for step in range(50):
            clock.now += 10.0
            task.update(step + 1)
    assert capsys.readouterr() == ("", "")
    assert progress_module.innermost() is None and not progress_module.is_shown()


def test_parts_and_what_is_counted_twice(clock):
    stream = io.StringIO()
    with progress_module.shown(stream=stream), Task("sampling", total=8) as outer:
        for done in (0, 4):
            for row in range(4):
                clock.now += 10.0
                progress_module.innermost().part((row + 1) / 4, 4)
            outer.update(done + 4)
        with Task("initialization", total=4):
            for keys in ((1, 2), (2, 1), (2, 3)):
                clock.now += 10.0
                progress_module.count(lambda keys=keys: keys)
    assert [line.partition(",")[0] for line in stream.getvalue().splitlines()] == [
        "sampling 1/8",
        "sampling 4/8",
        "sampling 7/8",
        "initialization 2/4",
    ]


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_compiling_is_said_with_a_time_only_if_it_was_measured(monkeypatch, tmp_path, stream):
    monkeypatch.setattr(progress_module, "_PATIENCE", {True: 0.02, False: 0.02})
    timings = tmp_path / progress_module.TIMINGS_FILE

    def compile_and_run():
        begin = len(stream.getvalue())
        with progress_module.shown(timings, stream), Task("evaluation", total=2, compiles=True) as task:
            deadline = time.monotonic() + 10
            while "compiling" not in stream.getvalue()[begin:] and time.monotonic() < deadline:
                time.sleep(0.01)
            task.update(1)
        return stream.getvalue()[begin:]

    said = compile_and_run()
    assert "evaluation" in said and "compiling" in said and "last time" not in said
    assert 0 < json.loads(timings.read_text())["evaluation"] + 0.05 < 10
    timings.write_text(json.dumps({"evaluation": 41.7}))
    assert "compiling, about 42 s the last time" in compile_and_run()
    timings.write_text("[")  # what cannot be read is not known
    assert "last time" not in compile_and_run()


def test_what_compiles_soon_says_nothing(tmp_path):
    stream = io.StringIO()
    with progress_module.shown(tmp_path / "timings.json", stream):
        for update in (True, False):
            with Task("evaluation", total=2, compiles=True) as task:
                if update:
                    task.update(1)
    assert stream.getvalue() == "" and not list(tmp_path.iterdir())
