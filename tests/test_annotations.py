"""Every public function and method of the packages says which types it takes and returns."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ("tfflows", "reproductions", "benchmarks")
SPECIAL = ("__init__", "__call__")  # public in spite of their underscores

EXAMPLE = """
def whole(x: int, *rest: int, flag: bool = False, **others: int) -> int:
    def inner(y):
        return y

def no_parameter(x) -> int: ...
def no_rest(*rest) -> int: ...
def no_keyword(*, flag=False) -> int: ...
def no_others(**others) -> int: ...
def no_positional(x, /) -> int: ...
async def no_return(x: int): ...
def _private(x): ...

if True:
    def conditional(x): ...

class Public:
    def __init__(self, size: int): ...
    def __call__(self, x: int): ...
    def __len__(self): ...
    def method(self, x) -> int: ...
    def _private(self, x): ...

    @property
    def size(self): ...

    @staticmethod
    def static(self) -> int: ...

    @classmethod
    def made(cls) -> int: ...

    class Nested:
        def __init__(self, x): ...

class _Hidden:
    def method(self, x): ...
"""


def public_functions(body, prefix="", in_class=False):
    """`(function, its name, whether its first parameter is bound)` of a module or class; functions within functions are not."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if not node.name.startswith("_") or node.name in SPECIAL:
                static = any(isinstance(name, ast.Name) and name.id == "staticmethod" for name in node.decorator_list)
                yield node, prefix + node.name, in_class and not static
        elif isinstance(node, ast.ClassDef):
            if not node.name.startswith("_"):
                yield from public_functions(node.body, f"{prefix}{node.name}.", True)
        elif isinstance(node, ast.If | ast.Try | ast.With):
            blocks = [getattr(node, name, []) for name in ("body", "orelse", "finalbody")]
            blocks += [handler.body for handler in getattr(node, "handlers", [])]
            for block in blocks:
                yield from public_functions(block, prefix, in_class)


def not_annotated(source):
    """`line name: what is not annotated` of each public function of the source that is not wholly annotated."""
    found = []
    for function, name, is_bound in public_functions(ast.parse(source).body):
        arguments = function.args
        parameters = [*arguments.posonlyargs, *arguments.args][is_bound:] + arguments.kwonlyargs
        parameters += filter(None, (arguments.vararg, arguments.kwarg))
        missing = [parameter.arg for parameter in parameters if parameter.annotation is None]
        if function.returns is None and function.name != "__init__":
            missing.append("return")
        if missing:
            found.append(f"{function.lineno} {name}: {', '.join(missing)}")
    return found


def test_what_is_not_annotated_is_found():
    assert [line.partition(" ")[2] for line in not_annotated(EXAMPLE)] == [
        "no_parameter: x",
        "no_rest: rest",
        "no_keyword: flag",
        "no_others: others",
        "no_positional: x",
        "no_return: return",
        "conditional: x, return",
        "Public.__call__: return",
        "Public.method: x",
        "Public.size: return",
        "Public.static: self",
        "Public.Nested.__init__: x",
    ]


@pytest.mark.parametrize("package", PACKAGES)
def test_public_functions_are_annotated(package):
    paths = sorted((ROOT / package).rglob("*.py"))
    assert paths
    missing = [
        f"{path.relative_to(ROOT)}:{line}" for path in paths for line in not_annotated(path.read_text(encoding="utf-8"))
    ]
    assert not missing, f"{len(missing)} public functions are not wholly annotated:\n" + "\n".join(missing)
