"""Gathers the Markdown of the documentation site: the pages of `docs/`, texts of the repository, and an API page a folder.

python tools/assemble_docs.py build/docs   # from the root of the repository; `make docs` then builds the site from it

Links in these texts are those of the repository, so that each can be read there as well. Here a link to what is a page of the
site becomes one to the page, pictures are copied, and a link to any other file of the repository becomes its text. A link to
nothing is an error. Modules are read, never imported.
"""

import ast
import dataclasses
import pathlib
import posixpath
import re
import shutil
import sys
from collections.abc import Mapping

ROOT = pathlib.Path(__file__).resolve().parents[1]
LIBRARY = "tfflows"
HOME = "README.md"
PAPERS = ("glow", "flowpp", "macow", "vflow", "agave", "realnvp")
# Texts that have their place in the repository, with their path in the site. Those of `docs/` keep theirs.
TEXTS = {
    HOME: "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "WORKS_CITED.md": "works_cited.md",
    "results/README.md": "results/index.md",
    "results/pictures/README.md": "results/pictures.md",
    "reproductions/vflow/toy/README.md": "papers/checkerboard.md",
}
PICTURES = (".png", ".svg")
STYLE = "site.css"
_FENCE = re.compile(r"^(```.*?^```|(?: {4}[^\n]*\n)+)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?P<image>!?)\[(?P<text>(?:[^\[\]]|\[[^\[\]]*\])*)\]\((?P<target>[^()\s]+)\)")
_ELSEWHERE = ("http://", "https://", "mailto:", "#")


class BrokenLinkError(ValueError):
    """A text has a link to a file that is not in the repository."""


@dataclasses.dataclass
class Site:
    """What the site is built from.

    Attributes:
      texts: Markdown by its path in the site.
      files: Path in the repository of each picture and of the style sheet, by its path in the site.
    """

    texts: dict[str, str] = dataclasses.field(default_factory=dict)
    files: dict[str, str] = dataclasses.field(default_factory=dict)

    def write(self, directory: pathlib.Path) -> None:
        """Writes all of it, in place of what the directory held.

        Args:
          directory: Directory that is read by the generator of the site.
        """
        shutil.rmtree(directory, ignore_errors=True)
        for path, text in self.texts.items():
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            (directory / path).write_text(text, encoding="utf-8")
        for path, source in self.files.items():
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / source, directory / path)


def assemble(root: pathlib.Path = ROOT) -> Site:
    """Returns the site of a checkout.

    Args:
      root: Root of the checkout.

    Raises:
      BrokenLinkError: If a text has a link to nothing.
      ValueError: If the README of a paper, or its table of results, lacks what the page of the paper shows.
    """
    pages = pages_of(root)
    site = Site()
    for source, place in pages.items():
        paper = place.removeprefix("papers/").removesuffix(".md")
        if source.startswith("docs/papers/") and paper in PAPERS:
            site.texts[place] = paper_page(root, paper, pages, site)
        elif place not in site.texts:
            site.texts[place] = linked((root / source).read_text(encoding="utf-8"), source, place, pages, site, root)
    return Site(site.texts | api_pages(root), site.files | {STYLE: f"docs/{STYLE}"})


def pages_of(root: pathlib.Path) -> dict[str, str]:
    """Returns the path in the site of each text of the repository that is a page of it, or a part of one.

    Args:
      root: Root of the checkout.
    """
    results = {f"results/{path.name}": f"results/{path.name}" for path in sorted((root / "results").glob("*.md"))}
    docs = [path.relative_to(root / "docs").as_posix() for path in sorted((root / "docs").rglob("*.md"))]
    papers = {f"reproductions/{paper}/README.md": f"papers/{paper}.md" for paper in PAPERS}
    return results | TEXTS | papers | {f"docs/{path}": path for path in docs}


def linked(text: str, source: str, place: str, pages: Mapping[str, str], site: Site, root: pathlib.Path = ROOT) -> str:
    """Returns a text with its links changed from those of the repository to those of the site. Code stays as it is.

    Args:
      text: Markdown.
      source: Path of the text in the repository.
      place: Path of its page in the site.
      pages: As `pages_of` returns them.
      site: Gets the pictures that the text shows.
      root: Root of the checkout.

    Raises:
      BrokenLinkError: If a link leads to nothing.
    """

    def change(match: re.Match) -> str:
        if match["target"].startswith(_ELSEWHERE):
            return match[0]
        path, mark, anchor = match["target"].partition("#")
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        if not (root / target).exists():
            raise BrokenLinkError(f"{source} has a link to {match['target']}, which is not there.")
        page = pages.get(target) or pages.get(f"{target}/README.md")
        if page is None and not target.endswith(PICTURES):
            return match["text"]
        if page is None:
            page = target.removeprefix("docs/")
            site.files[page] = target
        relative = posixpath.relpath(page, posixpath.dirname(place) or ".")
        # The text of a link may be a picture with a path of its own.
        return f"{match['image']}[{_LINK.sub(change, match['text'])}]({relative}{mark}{anchor})"

    parts = _FENCE.split(text)
    return "".join(part if place % 2 else _LINK.sub(change, part) for place, part in enumerate(parts))


def paper_page(root: pathlib.Path, paper: str, pages: Mapping[str, str], site: Site) -> str:
    """Returns the page of a paper: its introduction, then the README of its folder with the table of its results.

    Args:
      root: Root of the checkout.
      paper: Short name of the paper.
      pages: As `pages_of` returns them.
      site: As in `linked`.

    Raises:
      ValueError: If the README has no section for the table, or `results/README.md` no table of the paper.
    """
    place = f"papers/{paper}.md"

    def read(source: str) -> str:
        return linked((root / source).read_text(encoding="utf-8"), source, place, pages, site, root)

    introduction = read(f"docs/papers/{paper}.md")
    title = introduction.partition("\n")[0].removeprefix("# ")
    readme = read(f"reproductions/{paper}/README.md").partition("\n")[2].strip()
    table = _section(read("results/README.md"), f"## {title} (")
    heading = "## Expected and obtained\n"
    before, found, after = readme.partition(heading)
    if not found or not table:
        raise ValueError(
            f"The README of {paper} needs the section {heading.strip()!r}, and results/README.md its table."
        )
    return f"{introduction.rstrip()}\n\n## Source\n\n{before}{heading}\n{table}\n{after}\n"


def api_pages(root: pathlib.Path) -> dict[str, str]:
    """Returns a page for each folder of the library, with the modules that define what is public, and a page that lists them.

    Args:
      root: Root of the checkout.
    """
    pages, lines = {}, []
    for folder in sorted(path.parent for path in (root / LIBRARY).glob("*/__init__.py")):
        package = f"{LIBRARY}.{folder.name}"
        modules = [".".join(path.relative_to(root).with_suffix("").parts) for path in sorted(folder.rglob("*.py"))]
        shown = [module for module in modules if not module.endswith(".__init__") and _is_public(root, module)]
        docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
        directives = "\n\n".join(f"::: {module}" for module in shown)
        pages[f"api/{folder.name}.md"] = f"# {package}\n\n{docstring}\n\n{directives}\n"
        lines.append(f"| [`{package}`]({folder.name}.md) | {docstring.partition(chr(10))[0]} |")
    text = (
        "# API\n\nThe library by folder. What a folder's modules define can be imported from the folder: `from tfflows.bijectors "
        "import ActNorm`. Each is imported when it is first asked for.\n\n| folder | what it has |\n| --- | --- |\n"
    )
    return {"api/index.md": text + "\n".join(lines) + "\n"} | pages


def _is_public(root, module):
    """Whether a module defines a public class or function."""
    body = ast.parse((root / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")).body
    return any(isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_") for node in body)


def _section(text, heading):
    """What stands under the heading that begins so, up to the next one of its level."""
    _, found, rest = text.partition(f"\n{heading}")
    return rest.partition("\n")[2].partition("\n## ")[0].strip() if found else ""


def main() -> int:
    """Writes the site's Markdown to the directory that the command line names; returns the exit status."""
    if len(sys.argv) != 2:
        print("usage: python tools/assemble_docs.py DIRECTORY", file=sys.stderr)
        return 2
    try:
        site = assemble()
    except ValueError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    site.write(pathlib.Path(sys.argv[1]))
    print(f"{len(site.texts)} pages and {len(site.files)} other files in {sys.argv[1]}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
