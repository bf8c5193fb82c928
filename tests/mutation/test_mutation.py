"""The mutants themselves: what is changed, how they are drawn, which tests they are given, and how they are counted."""

import ast
import json

import pytest

from tests.mutation.mutants import mutants_of, mutated
from tests.mutation.run import KILLED, ROOT, SURVIVED, draw, read_equivalent, read_results, summary, target_files
from tests.mutation.selection import Selection

SOURCE = '''"""A docstring, 1 < 2."""
import math as other

__all__ = ["f"]


def f(x: int = 3, y: float = 0.5) -> float:
    if x < 0 and not y:
        raise ValueError(f"x must be at least {0 + 0}.")
    total = -x + max(x, y, key=abs)
    total *= 2
    other.seed(x)
    return total if x == y else float(y)
'''


def texts(source):
    return {(mutant.operator, mutant.before, mutant.after) for mutant in mutants_of("a/f.py", source)}


@pytest.mark.parametrize(
    "change",
    [
        ("comparison", "x < 0", "x <= 0"),
        ("comparison", "x < 0", "x >= 0"),
        ("comparison", "x == y", "x != y"),
        ("boolean", "x < 0 and (not y)", "x < 0 or not y"),
        ("sign or negation removed", "not y", "y"),
        ("sign or negation removed", "-x", "x"),
        ("arithmetic", "-x + max(x, y, key=abs)", "-x - max(x, y, key=abs)"),
        ("arithmetic", "total *= 2", "total /= 2"),
        ("statement removed", "total *= 2", "pass"),
        ("statement removed", "other.seed(x)", "pass"),
        ("arguments exchanged", "max(x, y, key=abs)", "max(y, x, key=abs)"),
        ("argument removed", "max(x, y, key=abs)", "max(x, y)"),
        ("call removed", "float(y)", "y"),
        ("branches exchanged", "total if x == y else float(y)", "float(y) if x == y else total"),
        ("off by one", "3", "4"),
        ("off by one", "2", "1"),
        ("constant", "0.5", "1.0"),
        ("constant", "0.5", "0.0"),
    ],
)
def test_changes(change):
    assert change in texts(SOURCE)


def test_annotations_messages_and_names_stay():
    assert not any(operator == "call removed" and "ValueError" in before for operator, before, _ in texts(SOURCE))
    lines = {mutant.line for mutant in mutants_of("a/f.py", SOURCE)}
    assert not lines & {1, 2, 4}
    assert ("arithmetic", "0 + 0", "0 - 0") not in texts(SOURCE)


def test_each_mutant_is_another_program():
    mutants = mutants_of("a/f.py", SOURCE)
    programs = {mutated(SOURCE, mutant) for mutant in mutants}
    assert len(programs) == len(mutants) == len({mutant.id for mutant in mutants})
    assert ast.unparse(ast.parse(SOURCE)) + "\n" not in programs
    for program in programs:
        compile(program, "f.py", "exec")


def test_ids_outlive_a_move_and_lines_above():
    before = {mutant.id for mutant in mutants_of("a/f.py", SOURCE)}
    assert before == {mutant.id for mutant in mutants_of("b/c/f.py", SOURCE.replace("import", "\n\nimport"))}


def test_another_source_is_refused():
    mutant = mutants_of("a/f.py", SOURCE)[0]
    with pytest.raises(ValueError, match="is not the file from which"):
        mutated("x = 1\n", mutant)


def test_the_draw_follows_from_the_seed_and_takes_no_line_twice():
    first, again, other = (draw(ROOT, 40, seed, ["math"]) for seed in (1, 1, 2))
    assert first == again != other
    assert len({(mutant.path, mutant.line) for mutant in first}) == 40
    for mutant in first[:10]:
        assert mutated((ROOT / mutant.path).read_text(), mutant)


def test_targets_are_found_by_name():
    files = target_files(ROOT)
    stems = [file.rpartition("/")[2] for file in files]
    for stem in ("random.py", "actnorm.py", "expected.py", "rule.py", "train_step.py", "dequantized_flow.py"):
        assert stem in stems
    assert not any("test_" in stem or stem == "__init__.py" for stem in stems)


def test_tests_named_after_a_file_come_first_then_those_that_import_it():
    selection, files = Selection(ROOT), {file.rpartition("/")[2]: file for file in target_files(ROOT)}

    def names(stem):
        paths = selection.tests_of(next(file for name, file in files.items() if name == stem))
        assert all((ROOT / path).is_file() for path in paths)
        return [path.rpartition("/")[2] for path in paths]

    assert names("random.py")[0] == "test_random.py"
    assert names("dequantized_flow.py")[0] == "test_dequantized_flow.py"
    assert names("rule.py")[0] == "test_rule.py"
    # By way of the package's __init__.py, and of a module between.
    assert "test_all_bijectors.py" in names("permutation.py")
    assert "test_trainer.py" in names("optimizers.py")


def result(id, status, path="a/f.py"):
    change = {"line": 3, "scope": "f", "operator": "comparison", "before": "a < b", "after": "a <= b"}
    return {"id": id, "path": path, "status": status, "ran": 5, "selected": 7, **change}


def test_equivalent_mutants_do_not_count():
    results = [
        result("one", KILLED),
        result("two", SURVIVED),
        result("three", SURVIVED),
        result("four", KILLED, "b/g.py"),
    ]
    text = summary(results, {"three": "the same"})
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line}
    assert rows["a"] == ["3", "1", "1", "1", "50.0%"]
    assert rows["b"] == ["1", "0", "1", "0", "100.0%"]
    assert rows["all"] == ["4", "1", "2", "1", "66.7%"]
    assert "survived two a/f.py:3 in f" in text and "three" not in text


def test_results_are_read_up_to_a_line_that_was_broken_off(tmp_path):
    file = tmp_path / "results.jsonl"
    assert read_results(file) == {}
    lines = [
        json.dumps(result("one", SURVIVED)),
        json.dumps(result("one", KILLED)),
        json.dumps(result("two", KILLED))[:9],
    ]
    file.write_text("\n".join(lines))
    assert {id: entry["status"] for id, entry in read_results(file).items()} == {"one": KILLED}


def test_each_equivalent_mutant_has_a_reason():
    assert all(reason.endswith(".") for reason in read_equivalent().values())
