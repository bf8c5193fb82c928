"""Records: validation, and files that are neither lost nor replaced unasked."""

import json
import math

import pytest

from reproductions.reporting.records import load_records, write_record
from tests.reproductions.conftest import IMPORTANCE

TRAIN = {"value": 3.3, "standard_error": 0.01, "num_images": 50, "gap": 0.055, "gap_standard_error": 0.02}


@pytest.mark.parametrize("curve", [None, [[0, 8.0], [10, 4.5]]])
def test_write_and_load_give_the_record_back(tmp_path, make_record, curve):
    changes = {"overrides": {"levels": 2}, "commit": None, "seconds_per_step": 0.25, "execution": {"jit": False}}
    changes |= {"train_curve": curve, "train": curve and TRAIN}
    record = make_record(curve=curve, **changes)
    path = write_record(record, tmp_path)
    assert path == tmp_path / "glow" / "cifar10-paper-levels=2-seed0-test-bits_per_dim.json"
    assert load_records(tmp_path) == (record,)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"seed": 3}, "cifar10-paper-seed3-test-bits_per_dim"),
        ({"scale": "small"}, "cifar10-small-seed0-test-bits_per_dim"),
        ({"select": "best_test"}, "cifar10-paper-seed0-test-bits_per_dim-best_test"),
        ({"importance": IMPORTANCE}, "cifar10-paper-seed0-test-bits_per_dim-samples64"),
        (
            {"importance": IMPORTANCE, "evaluation_images": 10_000},
            "cifar10-paper-seed0-test-bits_per_dim-samples64-images10000",
        ),
        (
            {"overrides": {"width": 64, "coupling": "a/b c"}},
            "cifar10-paper-coupling=a_b_c-width=64-seed0-test-bits_per_dim",
        ),
    ],
)
def test_what_tells_records_apart_is_in_the_name(make_record, changes, name):
    assert make_record(**changes).name == name


def test_many_overrides_are_told_apart_in_a_name_that_fits(tmp_path, make_record):
    records = [
        make_record(overrides={**{f"a_field_with_a_long_name_{n}": n for n in range(20)}, "width": width})
        for width in (1, 2)
    ]
    names = [record.name for record in records]
    assert len(set(names)) == 2 and all("-21overrides-" in name and len(name) < 120 for name in names)
    for record in records:
        write_record(record, tmp_path)
    assert sorted(record.name for record in load_records(tmp_path)) == sorted(names)


def test_another_result_is_not_replaced_unasked(tmp_path, make_record):
    path = write_record(make_record(), tmp_path)
    other = make_record(value=3.4, hours=9.0)
    with pytest.raises(FileExistsError, match=r"value \(3\.355 there\)"):
        write_record(other, tmp_path)
    assert load_records(tmp_path) == (make_record(),)
    assert write_record(other, tmp_path, overwrite=True) == path
    assert load_records(tmp_path) == (other,)


def test_the_same_result_keeps_its_first_provenance(tmp_path, make_record):
    path = write_record(make_record(), tmp_path)
    before = path.read_bytes()
    again = make_record(hours=7.0, date="2027-01-01", commit="f" * 40, command="again", execution={"jit": True})
    assert write_record(again, tmp_path) == path
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"value": math.nan}, "value must be a finite number"),
        ({"value": "3.35"}, "value must be a finite number"),
        ({"standard_error": -0.1}, "standard_error .* at least 0"),
        ({"scale": "tiny"}, "one of paper, small, claims, got 'tiny'"),
        ({"select": "best"}, "one of last, best_test, got 'best'"),
        ({"num_images": 0}, "num_images must be at least 1, got 0"),
        ({"steps": 1.0}, "steps must be an integer"),
        ({"seed": True}, "seed must be an integer"),
        ({"paper": "../glow"}, "paper must be a plain name"),
        ({"experiment": ""}, "experiment must be a plain name"),
        ({"hardware": "a GPU"}, "hardware must be a mapping"),
        ({"commit": 7}, "commit must be a string or None"),
        ({"command": None}, "command must be a string"),
        ({"execution": "fast"}, "execution must be a mapping or None"),
        ({"date": "yesterday"}, "ISO 8601, not 'yesterday'"),
        ({"curve": [[10, 4.0], [10, 3.9]]}, "steps of the curve must increase"),
        ({"curve": [[10, math.inf]]}, "A value of the curve must be a finite number"),
        ({"curve": [10, 20]}, r"\(step, bits/dim\) pairs"),
        ({"train_curve": [[10, 4.0], [10, 3.9]]}, "steps of the curve must increase"),
        ({"evaluation_images": 9}, "evaluation_images must be num_images or None, not 9"),
        ({"importance": {"samples": 9}}, r"importance must have \['effective_samples', .*'samples'\], not"),
        ({"importance": {**IMPORTANCE, "samples": 1}}, "samples of importance must be an integer of at least 2, not 1"),
        ({"importance": {**IMPORTANCE, "elbo": math.nan}}, "elbo of importance must be a finite number"),
        ({"train": {"value": 3.0}}, r"train must have \['gap', .*'value'\], not"),
        ({"train": {**TRAIN, "num_images": 0}}, "num_images of train must be an integer of at least 1, not 0"),
        ({"train": {**TRAIN, "gap_standard_error": -1.0}}, "gap_standard_error of train .* at least 0"),
        ({"train": {**TRAIN, "gap": 0.06}}, r"gap of train must be 3\.355 - 3\.3, not 0\.06"),
    ],
)
def test_invalid_fields_are_refused(make_record, changes, message):
    with pytest.raises(ValueError, match=message):
        make_record(**changes)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content.pop("seed"), r"missing fields \['seed'\]"),
        (lambda content: content.update(mood="good"), r"unknown fields \['mood'\]"),
        (lambda content: content.update(steps=-1), "steps must be at least 0, got -1"),
        (lambda content: content.update(seed=5), r"belong to glow/cifar10-paper-seed5"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, make_record, damage, message):
    path = write_record(make_record(), tmp_path)
    content = json.loads(path.read_text())
    damage(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"{path.name}.*{message}"):
        load_records(tmp_path)


def test_a_truncated_file_is_named(tmp_path, make_record):
    path = write_record(make_record(), tmp_path)
    path.write_text(path.read_text()[:100])
    with pytest.raises(ValueError, match=f"{path.name}: not JSON"):
        load_records(tmp_path)


def test_a_record_of_before_all_fields_is_valid(tmp_path, make_record):
    path = write_record(make_record(), tmp_path)
    content = json.loads(path.read_text())
    for name in ("train", "train_curve", "execution", "importance", "evaluation_images"):
        del content[name]
    path.write_text(json.dumps(content))
    (record,) = load_records(tmp_path)
    assert record.train is None and record.train_curve is None and record.is_plain


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{\n"paper": "glow",\n"value": }', "line 3"),
        (b'{\n\n"paper": "gl\xffow"}', "line 3 is not UTF-8"),
        (b"[" * 100_000, "recursion"),
        (b"[1, 2]", "must hold a JSON object"),
        (b"", "line 1"),
        (b'{"value": ' + b"9" * 5000 + b"}", "not JSON of any use"),
    ],
    ids=["cut", "bytes", "nested", "list", "empty", "digits"],
)
def test_a_garbled_record_names_file_and_line(tmp_path, content, message):
    path = tmp_path / "glow" / "record.json"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"record.json.*{message}"):
        load_records(tmp_path)
