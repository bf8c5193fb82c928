"""Runs the tutorials and writes what they print and draw beside them, as Markdown: `make tutorials`.

python tools/render_tutorials.py             # from the root of the repository: all of docs/tutorials/*.py
python tools/render_tutorials.py papers tfp  # only these
"""

import os
import pathlib
import shutil
import sys
import time

import jupytext
import nbconvert
import nbformat
from nbclient import NotebookClient

ROOT = pathlib.Path(__file__).resolve().parents[1]
TUTORIALS = ROOT / "docs" / "tutorials"
# Of one cell. On an idle machine a whole tutorial takes less than two minutes.
TIMEOUT = 3600


def render(path: pathlib.Path) -> pathlib.Path:
    """Runs a tutorial, and writes its page and pictures.

    Args:
      path: The tutorial, as text with cells in the percent format.

    Returns:
      Path of the page.

    Raises:
      nbclient.exceptions.CellExecutionError: If a cell fails.
    """
    notebook = jupytext.read(path)
    NotebookClient(notebook, timeout=TIMEOUT, kernel_name="python3", resources={"metadata": {"path": ROOT}}).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = _shown(cell.outputs)
    resources = {"output_files_dir": f"{path.stem}_files", "unique_key": path.stem}
    text, resources = nbconvert.MarkdownExporter().from_notebook_node(nbformat.from_dict(notebook), resources)
    shutil.rmtree(path.parent / f"{path.stem}_files", ignore_errors=True)
    for name, content in resources["outputs"].items():
        (path.parent / name).parent.mkdir(exist_ok=True)
        (path.parent / name).write_bytes(content)
    lines = [line.rstrip() for line in text.replace("![png]", "![what this cell draws]").splitlines()]
    page = path.with_suffix(".md")
    page.write_text("\n".join(lines).strip() + "\n", encoding="utf-8")
    return page


def _shown(outputs):
    """Outputs without the warnings of other libraries, and with what was printed at several times in one piece."""
    shown = []
    for output in outputs:
        if output.get("name") == "stderr":
            continue
        if shown and shown[-1].output_type == output.output_type == "stream":
            shown[-1].text += output.text
        else:
            shown.append(output)
    return shown


def main() -> int:
    """Renders the tutorials that the command line names, or all; returns the exit status."""
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}
    for path in sorted(TUTORIALS.glob("*.py")):
        if len(sys.argv) == 1 or path.stem in sys.argv[1:]:
            start = time.perf_counter()
            page = render(path)
            print(f"{page.relative_to(ROOT)}: {time.perf_counter() - start:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
