"""Every example in a docstring runs as it stands and gives what it prints; every class users build models of has one."""

import doctest
import importlib
import inspect
import pathlib
import pkgutil

import keras
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import benchmarks
import reproductions
import tfflows

PACKAGES = (tfflows, reproductions, benchmarks)
# What a user builds models of; the other classes are parts of these.
FOLDERS = ("bijectors", "distributions", "networks")
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def modules(packages=PACKAGES):
    found = [
        each.name for package in packages for each in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    ]
    # A `__main__` runs when it is imported.
    others = [importlib.import_module(name) for name in found if not name.endswith(".__main__")]
    return [*packages, *others]


def examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    # No names but those that the example itself imports.
    tests = [test for module in modules() for test in finder.find(module, globs={"__name__": "__main__"})]
    return {test.name: test for test in tests if test.examples}


EXAMPLES = examples()


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name):
    output = []
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    result = runner.run(EXAMPLES[name], out=output.append)
    assert not result.failed, "".join(output)


def public_classes(folder):
    kinds = (tfp.bijectors.Bijector, tfp.distributions.Distribution, keras.layers.Layer, tf.Module)
    return {
        f"{module.__name__}.{name}": value
        for module in modules([tfflows])
        if module.__name__.startswith(f"tfflows.{folder}.")
        for name, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == module.__name__ and not name.startswith("_")
        if issubclass(value, kinds)
    }


@pytest.mark.parametrize("folder", FOLDERS)
def test_public_classes_have_examples(folder):
    classes = public_classes(folder)
    assert classes
    assert [name for name in classes if name not in EXAMPLES] == []


def test_no_example_is_left_out():
    """An example in a code fence would not be run."""
    folders = [pathlib.Path(package.__file__).parent for package in PACKAGES]
    paths = [path for folder in folders for path in folder.rglob("*.py")]
    assert [str(path) for path in paths if "```" in path.read_text(encoding="utf-8")] == []
