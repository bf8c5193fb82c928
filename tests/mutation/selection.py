"""Which tests belong to a source file: those named after it, then those that import it, then those that reach it."""

import ast
import functools
import pathlib

SOURCE_PACKAGES = ("tfflows", "reproductions")


class Selection:
    """The imports of a tree of sources and tests; knows no folder by name but the packages and `tests`."""

    def __init__(self, root):
        """Args: root: `pathlib.Path` of the repository."""
        self._root = root
        self._files = {}
        for top in (*SOURCE_PACKAGES, "tests"):
            for path in sorted((root / top).rglob("*.py")):
                self._files[_module_name(path.relative_to(root))] = path
        self._tests = [name for name, path in self._files.items() if path.name.startswith("test_")]

    def tests_of(self, path: str, max_files: int = 6) -> list[str]:
        """Paths of test files for a source file, the nearest first; both relative to the root."""
        target = _module_name(pathlib.PurePosixPath(path))
        stem, folder = target.split(".")[-1], target.split(".")[-2:-1]
        distances = self._distances_to(target)

        def order(test):
            file = self._files[test]
            named = file.stem == f"test_{stem}" or file.stem.startswith(f"test_{stem}_")
            mirrored = file.parent.name in folder
            mentions = self._words(test).count(stem.replace("_", ""))
            return (not named, distances.get(test, 99), not mirrored, -mentions, file.stat().st_size)

        reached = [test for test in self._tests if test in distances or not order(test)[0]]
        chosen = sorted(reached, key=order)
        # Whoever imports it says more of it than whoever reaches it through others.
        nearest = [test for test in chosen if not order(test)[0] or distances.get(test) == distances.get(chosen[0])]
        chosen = (nearest + [test for test in chosen if test not in nearest])[:max_files]
        return [self._files[test].relative_to(self._root).as_posix() for test in chosen]

    def _distances_to(self, target):
        """How many imports away from a module each module is that reaches it."""
        distances, border = {target: 0}, [target]
        while border:
            following = []
            for name in self._files:
                if name not in distances and self._imports(name) & set(border):
                    distances[name] = distances[border[0]] + 1
                    following.append(name)
            border = following
        return distances

    @functools.cache  # noqa: B019
    def _imports(self, name):
        """Modules of the tree that a module imports, through the packages that only pass names on."""
        found = set()
        for module, names in self._import_statements(name):
            for imported in names:
                if f"{module}.{imported}" in self._files:
                    found.add(f"{module}.{imported}")
                else:
                    found.add(self._passed_on(module).get(imported, module))
        return frozenset(found & set(self._files))

    @functools.cache  # noqa: B019
    def _passed_on(self, module):
        """Of a package the names that its `__init__.py` has from elsewhere, and where they come from."""
        path = self._files.get(module)
        if path is None or path.name != "__init__.py":
            return {}
        return {name: origin for origin, names in self._import_statements(module) for name in names}

    @functools.cache  # noqa: B019
    def _words(self, name):
        return self._files[name].read_text().lower().replace("_", "")

    def _import_statements(self, name):
        for node in ast.walk(ast.parse(self._files[name].read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                yield node.module, [alias.name for alias in node.names]
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    package, _, last = alias.name.rpartition(".")
                    if package:
                        yield package, [last]


def _module_name(path):
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
