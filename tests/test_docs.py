"""The pages of the documentation site are found, lead somewhere, and show what their sources say."""

import os
import pathlib
import re
import subprocess
import sys
import tomllib

import pytest

from tools.assemble_docs import PAPERS, BrokenLinkError, Site, assemble, linked, pages_of

ROOT = pathlib.Path(__file__).parents[1]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.py"))
LIBRARY = {path.parent.name for path in (ROOT / "tfflows").glob("*/__init__.py")}


@pytest.fixture(scope="module")
def site():
    return assemble()


def places(entry):
    """Paths of the pages of an entry of the navigation."""
    if isinstance(entry, str):
        return [entry]
    return [place for value in (entry.values() if isinstance(entry, dict) else entry) for place in places(value)]


def test_the_navigation_has_every_page_once(site):
    with open(ROOT / "zensical.toml", "rb") as file:
        listed = places(tomllib.load(file)["project"]["nav"])
    assert sorted(listed) == sorted(site.texts)


def test_every_folder_of_the_library_has_a_page(site):
    assert {path.removeprefix("api/").removesuffix(".md") for path in site.texts if path.startswith("api/")} == {
        "index",
        *LIBRARY,
    }
    assert "::: tfflows.bijectors.actnorm" in site.texts["api/bijectors.md"]


@pytest.mark.parametrize("paper", PAPERS)
def test_the_page_of_a_paper_says_all_that_it_should(site, paper):
    text = site.texts[f"papers/{paper}.md"]
    for heading in ("Commands", "Expected and obtained", "Logged", "Cost"):
        assert text.count(f"\n## {heading}\n") == 1
    assert "\n## Every deviation" in text and f"]({paper}.svg)" in text and "run.py --experiment=" in text
    assert f"papers/{paper}.svg" in site.files


def test_links_are_those_of_the_site():
    site = Site()
    text = "[a](../CHANGELOG.md#x) [b](../tfflows/lazy.py) ![c](papers/glow.svg) [d](https://e.org)\n\n    [code](none.md)\n"
    got = linked(text, "docs/start.md", "start.md", pages_of(ROOT), site)
    assert got == "[a](changelog.md#x) b ![c](papers/glow.svg) [d](https://e.org)\n\n    [code](none.md)\n"
    assert site.files == {"papers/glow.svg": "docs/papers/glow.svg"}
    with pytest.raises(BrokenLinkError, match=r"docs/start.md has a link to none.md, which is not there"):
        linked("[a](none.md)", "docs/start.md", "start.md", pages_of(ROOT), site)


def cells(path):
    """Source of each cell of a tutorial, as text."""
    _, *parts = re.split(r"^# %%(.*)\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for kind, text in zip(parts[::2], parts[1::2], strict=True):
        yield re.sub(r"^# ?", "", text, flags=re.MULTILINE) if "[markdown]" in kind else text


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_the_page_of_a_tutorial_shows_its_source(path):
    """`make tutorials` writes the page."""
    page = path.with_suffix(".md").read_text(encoding="utf-8")
    position = 0
    for cell in cells(path):
        position = page.find(cell.strip(), position)
        assert position >= 0, cell
    pictures = set(re.findall(r"!\[.*?\]\((.*?)\)", page))
    assert pictures == {str(file.relative_to(path.parent)) for file in path.parent.glob(f"{path.stem}_files/*")}


@pytest.mark.slow
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_runs(path, tmp_path):
    environment = os.environ | {"MPLBACKEND": "agg", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(path)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1200
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip()
