"""Every work that a docstring, a comment or a README names stands in WORKS_CITED.md with a link."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
# `Dinh et al. 2017`, `Kingma & Ba (2015)`, `Krizhevsky (2009)`; van den Oord by his last word.
CITED = re.compile(r"\b([A-Z]\w+)( et al\.,?| & [A-Z]\w+,?| (?=\())\s*\(?((?:19|20)\d\d)\b")
LISTED = re.compile(r"^- \*\*(.+?) (\d{4})\*\*: .*\]\(https://\S+\)\.$", re.MULTILINE)


def listed_works():
    text = (ROOT / "WORKS_CITED.md").read_text(encoding="utf-8")
    return {(name.removeprefix("van den ").split()[0], year) for name, year in LISTED.findall(text)}


@pytest.mark.parametrize("folder", ["tfflows", "reproductions", "benchmarks", "docs"])
def test_cited_works_are_listed(folder):
    files = [path for suffix in ("py", "md") for path in (ROOT / folder).rglob(f"*.{suffix}")]
    cited = {(author, year) for path in files for author, _, year in CITED.findall(path.read_text(encoding="utf-8"))}
    assert cited - listed_works() == set()


def test_papers_are_among_the_cited():
    assert {
        ("Kingma", "2018"),
        ("Ho", "2019"),
        ("Ma", "2019"),
        ("Chen", "2020"),
        ("Lucas", "2018"),
        ("Dinh", "2017"),
    } <= listed_works()


def test_citation_file_lists_every_work():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert citation.count("  - type: ") == len(LISTED.findall((ROOT / "WORKS_CITED.md").read_text(encoding="utf-8")))
