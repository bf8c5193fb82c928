import io
import re

import pytest

from tfflows import progress as progress_module
from tfflows.progress import Progress


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
