"""What fields declare: checks, text, roles."""

import dataclasses
import re
from collections.abc import Mapping

import pytest

from reproductions.experiment import Experiment
from reproductions.fields import (
    as_of_today,
    check_fields,
    free_fields,
    override,
    provenance_fields,
    setting,
    take_sequences,
    text_of,
    watching_fields,
)
from reproductions.reporting.records import Record


@dataclasses.dataclass(frozen=True)
class Example:
    name: str = "example"
    kind: str = setting("wide", choices=("wide", "deep"))
    depth: int = setting(3, at_least=1, at_most=9)
    rate: float = setting(0.5, above=0, below=1)
    limit: int | None = setting(None, at_least=1)
    label: str | None = None
    widths: tuple[int, ...] = setting((24, 512), at_least=1)
    steps: tuple[tuple[int, ...], ...] = setting(((4,), (12, 12)), at_least=1)
    size: tuple[int, int] = (3, 5)
    names: list[str] = dataclasses.field(default_factory=list)
    factors: tuple[float, ...] = ()
    settings: Mapping | None = None
    flag: bool = setting(False, changes_result=False)
    length: int = setting(1, may_change=True)

    def __post_init__(self):
        take_sequences(self)
        check_fields(self)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "long"}, "kind must be one of wide, deep, got 'long'."),
        ({"depth": 0}, "depth must be at least 1 and at most 9, got 0."),
        ({"depth": 10}, "depth must be at least 1 and at most 9, got 10."),
        ({"depth": 2.0}, "depth must be an integer, got 2.0."),
        ({"depth": True}, "depth must be an integer, got True."),
        ({"depth": None}, "depth must be an integer, got None."),
        ({"rate": 0}, "rate must be above 0 and below 1, got 0."),
        ({"rate": 1.0}, "rate must be above 0 and below 1, got 1.0."),
        ({"rate": float("nan")}, "rate must be a finite number, got nan."),
        ({"rate": False}, "rate must be a finite number, got False."),
        ({"limit": 0}, "limit must be at least 1, got 0."),
        ({"limit": "1"}, "limit must be an integer or None, got '1'."),
        ({"label": 1}, "label must be a string or None, got 1."),
        ({"flag": 1}, "flag must be true or false, got 1."),
        ({"settings": [1]}, "settings must be a mapping or None, got [1]."),
        ({"widths": (1, 0)}, "widths must be at least 1, got 1, 0."),
        ({"widths": 3}, "widths must be a tuple, got 3."),
        ({"widths": ("1",)}, "widths must be a tuple, got ('1',)."),
        ({"widths": "1, x"}, "widths needs a sequence such as 24, 512, got '1, x'."),
        ({"steps": ((1,), (2, 0))}, "steps must be at least 1, got 1, 2+0."),
        ({"steps": (1, 2)}, "steps must be a tuple, got (1, 2)."),
        ({"size": (1, 2, 3)}, "size must be a tuple, got (1, 2, 3)."),
    ],
)
def test_a_field_holds_what_it_declares(changes, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Example(**changes)


def test_bounds_and_none():
    assert Example(depth=1, rate=1e-9, limit=1, label="x", factors=(1, 0.5)).limit == 1
    assert Example(depth=9, settings={}).depth == 9


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("widths=24, 512,512", (24, 512, 512)),
        ("widths=24", (24,)),
        ("widths=", ()),
        ("widths=()", ()),
        ("widths=(24,)", (24,)),
        ("widths=[24, 512]", (24, 512)),
        ("steps=4, 12+12, 12", ((4,), (12, 12), (12,))),
        ("steps=4", ((4,),)),
        ("steps=(4,), (12, 12)", ((4,), (12, 12))),
        ("steps=((4,), (12, 12), (12,))", ((4,), (12, 12), (12,))),
        ("steps=[[4], [12, 12]]", ((4,), (12, 12))),
        ("size=7, 9", (7, 9)),
        ("names=a, b c", ["a", "b c"]),
        ("factors=1, 0.5", (1.0, 0.5)),
        ("limit=5", 5),
        ("limit=none", None),
        ("label=None", None),
        ("label=one", "one"),
    ],
)
def test_set_reads_the_fields_type(assignment, value):
    name = assignment.partition("=")[0]
    found = getattr(override(dataclasses.replace(Example(), limit=2, label="two"), [assignment]), name)
    assert found == value and type(found) is type(value)
    if isinstance(value, tuple | list):
        # What is written of it can be set again, and is what JSON gives back.
        assert getattr(override(Example(), [f"{name}={text_of(value)}"]), name) == value
        as_lists = [list(part) if isinstance(part, tuple) else part for part in value]
        assert getattr(Example(**{name: as_lists}), name) == value


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("widths=24, x", "--set widths needs a sequence such as 24, 512, got '24, x'."),
        ("widths=24,, 3", "--set widths needs a sequence such as 24, 512, got '24,, 3'."),
        ("steps=4, , 4", "--set steps needs a sequence such as 4, 12+12, 12, got '4, , 4'."),
        ("steps=4, 12+", "--set steps needs a sequence such as 4, 12+12, 12, got '4, 12+'."),
        ("steps=4, (12, 1.5)", "--set steps needs a sequence such as 4, 12+12, 12, got '4, (12, 1.5)'."),
        ("size=1, 2, 3", "--set size needs 2 values, got '1, 2, 3'."),
        ("limit=many", "--set limit needs a value of type int or none, got 'many'."),
    ],
)
def test_text_that_is_not_of_the_type(assignment, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        override(Example(), [assignment])


def test_roles():
    assert watching_fields(Example) == ("flag",) and free_fields(Example) == ("flag", "length")
    watching = {"evaluate_every", "evaluate_train", "evaluation_batch_size", "note", "source"}
    assert set(watching_fields(Experiment)) == watching
    assert set(free_fields(Experiment)) == watching | {"num_steps", "rate_factors"}
    expected = {"hardware", "hours", "versions", "commit", "command", "date", "execution"}
    assert set(provenance_fields(Record)) == expected


def test_a_field_that_came_later_has_its_default_or_what_all_runs_had_before():
    @dataclasses.dataclass(frozen=True)
    class Later(Example):
        usual: int = 4
        otherwise: float = setting(0.5, before=0.0)

    stored = {"name": "old", "widths": "1, 2", "steps": [[1], [2, 3]], "seed": 5}
    content = as_of_today(Later, stored)
    assert (content["usual"], content["otherwise"], content["depth"]) == (4, 0.0, 3)
    assert (content["name"], content["widths"], content["steps"]) == ("old", (1, 2), ((1,), (2, 3)))
    assert content["seed"] == 5 and stored["widths"] == "1, 2"
    # What has no default must be there.
    assert "dataset" not in as_of_today(Experiment, {})
