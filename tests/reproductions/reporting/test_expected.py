"""Expected values: parsing, and which of them belongs to an experiment."""

import pytest

from reproductions.reporting.expected import cited_elsewhere, find_expected, load_expected

HEADER = "paper,source,model,dataset,metric,value,note,experiment,tolerance\n"


def write(directory, *rows):
    (directory / "expected.csv").write_text(HEADER + "".join(row + "\n" for row in rows))
    return directory


def test_parses_a_row_and_keeps_the_printed_digits(tmp_path):
    row = '"a,b",table 2,M,d,bits_per_dim,3.200,"own; not, converged",e,0.02'
    (expected,) = load_expected(write(tmp_path, row))
    assert (expected.paper, expected.note) == ("a,b", "own; not, converged")
    assert (expected.printed, expected.value, expected.tolerance) == ("3.200", 3.2, 0.02)
    assert expected.own


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("p,t,M,d,bits_per_dim,three,own,e,0.02", r"expected\.csv:2.*'three'"),
        ("p,t,M,d,bits_per_dim,3,borrowed,e,", "'own' or 'cited'.*'borrowed'"),
    ],
)
def test_bad_rows_are_named(tmp_path, row, message):
    with pytest.raises(ValueError, match=message):
        load_expected(write(tmp_path, row))


def test_a_missing_file_says_what_to_give(tmp_path):
    with pytest.raises(FileNotFoundError, match="results directory"):
        load_expected(tmp_path)


def test_finds_a_papers_own_row_before_any_citation(tmp_path):
    expected = load_expected(
        write(
            tmp_path,
            "q,t1,M,d,bits_per_dim,9,cited,e,",
            "p,t2,M,d,bits_per_dim,1,own,e,0.02",
            "p,t2,M,d,parameters_millions,7,own,e,",
        )
    )
    assert find_expected(expected, "p", "e").value == 1
    assert find_expected(expected, "p", "e", "parameters_millions").value == 7
    assert find_expected(expected, "p", "other") is None
    assert find_expected(expected, "q", "e") is None
    assert find_expected(expected, "p", "") is None


def test_a_citation_stands_in_where_the_paper_prints_nothing(tmp_path):
    expected = load_expected(
        write(
            tmp_path,
            "p,t1,M,d,bits_per_dim,1,own,e,0.02",
            "q,t1,M,d,bits_per_dim,2,cited,e,",
            "q,t1,M,faces,bits_per_dim,3,cited,f,",
            "q,t1,Other,faces,bits_per_dim,4,cited,f,",
        )
    )
    assert [row.value for row in cited_elsewhere(expected, "p")] == [3]
    assert find_expected(expected, "p", "f").value == 3


def test_two_different_values_for_one_experiment_are_refused(tmp_path):
    rows = [f"p,t{i},M,d,bits_per_dim,{value},own,e,0.02" for i, value in enumerate((2.98, 2.99))]
    with pytest.raises(ValueError, match=r"2 different values.*2\.98 \(t0\); 2\.99 \(t1\)"):
        find_expected(load_expected(write(tmp_path, *rows)), "p", "e")
