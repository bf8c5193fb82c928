"""Mutants of a Python file: one small change each, made on its syntax tree."""

import ast
import copy
import dataclasses
import hashlib
import pathlib

_COMPARISONS = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_ARITHMETIC = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_NO_VALUES = (ast.Raise, ast.Assert, ast.Import, ast.ImportFrom, ast.JoinedStr)


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One change of one file.

    Attributes:
      path: Of the file, relative to the root of the repository.
      line: Where the change is, from 1.
      scope: Dotted name of the class and function around it.
      operator: Kind of the change.
      before: Source text of what is changed.
      after: What stands there instead.
      node: Number of the changed node in the order of `ast.walk`.
      variant: Number of the change among those of the node.
      occurrence: Number of the mutant among those of the file that are equal else.
    """

    path: str
    line: int
    scope: str
    operator: str
    before: str
    after: str
    node: int
    variant: int
    occurrence: int = 0

    @property
    def id(self) -> str:
        """A name that does not change when the file is moved or lines are added above."""
        parts = (pathlib.PurePosixPath(self.path).stem, self.scope, self.operator, self.before, self.after)
        text = "\n".join((*parts, str(self.occurrence)))
        return hashlib.sha1(text.encode()).hexdigest()[:12]


def mutants_of(path: str, source: str) -> list[Mutant]:
    """All mutants of a file in the order of its lines; `path` relative to the root of the repository."""
    tree = ast.parse(source)
    scopes, unchanged = _scopes(tree), _unchanged(tree)
    found, counts = [], {}
    for number, node in enumerate(ast.walk(tree)):
        if id(node) in unchanged:
            continue
        for variant, (operator, changed) in enumerate(_changes(node)):
            before, after = _text(node), _text(changed)
            if before == after:
                continue
            key = (scopes[id(node)], operator, before, after)
            counts[key] = counts.get(key, -1) + 1
            found.append(Mutant(path, node.lineno, *key, number, variant, counts[key]))
    return sorted(found, key=lambda mutant: (mutant.line, mutant.node, mutant.variant))


def mutated(source: str, mutant: Mutant) -> str:
    """The file's source with the change made; comments are lost.

    Raises:
      ValueError: if the source is not that from which the mutant was made.
    """
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    node = nodes[mutant.node] if mutant.node < len(nodes) else None
    changes = [] if node is None else list(_changes(node))
    if mutant.variant >= len(changes) or _text(node) != mutant.before:
        raise ValueError(f"{mutant.path} is not the file from which mutant {mutant.id} was made: draw anew.")
    tree = _Replacement(node, changes[mutant.variant][1]).visit(tree)
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


class _Replacement(ast.NodeTransformer):
    def __init__(self, node, changed):
        self._node, self._changed = node, changed

    def visit(self, node):
        return self._changed if node is self._node else self.generic_visit(node)


def _text(node):
    return ast.unparse(node)


def _scopes(tree):
    """Of each node the names of the classes and functions around it."""
    scopes = {}

    def visit(node, names):
        scopes[id(node)] = ".".join(names)
        named = isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        for child in ast.iter_child_nodes(node):
            visit(child, (*names, node.name) if named else names)

    visit(tree, ())
    return scopes


def _unchanged(tree):
    """Ids of the nodes that say nothing of what is computed: annotations, messages, imports and `__all__`."""
    roots = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns is not None:
            roots.append(node.returns)
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None:
            roots.append(node.annotation)
        if isinstance(node, _NO_VALUES):
            roots += ast.iter_child_nodes(node)
        if isinstance(node, ast.Assign) and any(getattr(target, "id", None) == "__all__" for target in node.targets):
            roots.append(node)
        if isinstance(node, ast.Call) and _text(node.func).startswith(("logging.", "print")):
            roots += ast.iter_child_nodes(node)
    return {id(child) for root in roots for child in ast.walk(root)}


def _with(node, **fields):
    changed = copy.deepcopy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _changes(node):
    """`(operator, changed node)` of a node."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        for other in _COMPARISONS.get(type(node.ops[0]), ()):
            yield "comparison", _with(node, ops=[other()])
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in _ARITHMETIC:
        yield "arithmetic", _with(node, op=_ARITHMETIC[type(node.op)]())
        if isinstance(node, ast.AugAssign):
            yield "statement removed", ast.copy_location(ast.Pass(), node)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not | ast.Invert):
        yield "sign or negation removed", copy.deepcopy(node.operand)
    elif isinstance(node, ast.BoolOp):
        yield "boolean", _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.Constant):
        yield from _constant_changes(node)
    elif isinstance(node, ast.IfExp):
        yield "branches exchanged", _with(node, body=node.orelse, orelse=node.body)
    elif isinstance(node, ast.If | ast.While):
        negated = ast.UnaryOp(op=ast.Not(), operand=node.test)
        # What is shown is the condition alone.
        yield "condition negated", _with(node, test=negated)
    elif isinstance(node, ast.Call):
        yield from _call_changes(node)
    elif (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)) or isinstance(node, ast.Raise):
        yield "statement removed", ast.copy_location(ast.Pass(), node)


def _constant_changes(node):
    value = node.value
    if isinstance(value, bool):
        yield "boolean", _with(node, value=not value)
    elif isinstance(value, int):
        yield "off by one", _with(node, value=value + 1)
        yield "off by one", _with(node, value=value - 1)
    elif isinstance(value, float):
        yield "constant", _with(node, value=value * 2 if value else 1.0)
        yield "constant", _with(node, value=value * 10 if value else -1.0)
        if value:
            yield "constant", _with(node, value=0.0)


def _call_changes(node):
    for number, keyword in enumerate(node.keywords):
        if keyword.arg is not None:
            yield "argument removed", _with(node, keywords=node.keywords[:number] + node.keywords[number + 1 :])
    starred = any(isinstance(argument, ast.Starred) for argument in node.args[:2])
    if len(node.args) >= 2 and not starred:
        yield "arguments exchanged", _with(node, args=[node.args[1], node.args[0], *node.args[2:]])
    if len(node.args) == 1 and not node.keywords and not starred:
        yield "call removed", copy.deepcopy(node.args[0])
