"""For the documentation site: what stands under `Example:` in a docstring is read as examples, as under `Examples:`."""

import ast
import re
from typing import Any

import griffe


class DocstringExamples(griffe.Extension):
    """Griffe knows `Examples:` alone, and would take the prompts of a single example for quotations."""

    def on_instance(self, *, node: ast.AST | griffe.ObjectNode, obj: griffe.Object, **_: Any) -> None:
        """Renames the section of a docstring that was just read."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
