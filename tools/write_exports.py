"""Writes the `__init__.py` of every folder of the library, which exports what the folder's modules define publicly.

python tools/write_exports.py   # from the root of the repository, after a public name was added, removed or moved

A public name is that of a class or function without an underscore. It is exported unless two modules of the folder define it, or
a module has that name: then it is reached through its module (`tfflows.interop.glow.load_weights`). The docstrings stay.
"""

import ast
import collections
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
# Constants, and names from elsewhere, that are exported too.
OTHERS = {
    "data": {"augmentation": ["AUGMENTATIONS"], "registry": ["DATASETS"]},
    "training": {".devices.strategies": ["process_options"]},
}
TEMPLATE = '''"""{docstring}"""

from typing import TYPE_CHECKING

from tfflows.lazy import lazy_exports

if TYPE_CHECKING:  # for readers and tools; the table below is what runs
{imports}

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {{
{table}
    }},
)
'''


def public_names(folder: pathlib.Path) -> dict[str, list[str]]:
    """Returns the names that a folder exports by the module, relative to the folder, that defines them."""
    modules, found = set(), collections.defaultdict(list)
    for path in sorted(folder.rglob("*.py")):
        if path.name != "__init__.py":
            module = ".".join(path.relative_to(folder).with_suffix("").parts)
            modules.add(module.partition(".")[0])
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
                    found[node.name].append(module)
    table = collections.defaultdict(list)
    for name, homes in found.items():
        if len(homes) == 1 and name not in modules:
            table[homes[0]].append(name)
    for module, names in OTHERS.get(folder.name, {}).items():
        table[module] += names
    return {module: sorted(table[module]) for module in sorted(table)}


def text_of(folder: pathlib.Path) -> str:
    """Returns the text of a folder's `__init__.py`, not yet formatted."""
    docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")), clean=False)
    table = public_names(folder)
    homes = {
        module: f"tfflows{module}" if module.startswith(".") else f"tfflows.{folder.name}.{module}" for module in table
    }
    return TEMPLATE.format(
        docstring=docstring,
        imports="\n".join(f"    from {homes[module]} import {', '.join(names)}" for module, names in table.items()),
        table="\n".join(f'        "{module}": {names!r},' for module, names in table.items()),
    )


if __name__ == "__main__":
    for path in sorted((ROOT / "tfflows").glob("*/__init__.py")):
        path.write_text(text_of(path.parent), encoding="utf-8")
        subprocess.run([sys.executable, "-m", "ruff", "format", "--quiet", str(path)], check=True)
        subprocess.run([sys.executable, "-m", "ruff", "check", "--select=I", "--fix", "--quiet", str(path)], check=True)
        print(path.relative_to(ROOT))
