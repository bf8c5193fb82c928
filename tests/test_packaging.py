"""The package that `pip install .` makes: the library and the reproductions, and nothing else."""

import configparser

import pytest

PACKAGES = ["tfflows", "reproductions"]


def test_library_and_reproductions_are_packaged(pytestconfig):
    setup = configparser.ConfigParser()
    setup.read(pytestconfig.rootpath / "setup.cfg")
    assert setup["options"]["packages"] == "find:"
    wanted = [pattern for package in PACKAGES for pattern in (package, f"{package}.*")]
    assert setup["options.packages.find"]["include"].split() == wanted


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_lies_in_a_package(pytestconfig, package):
    """`find:` passes over a directory without an __init__.py, and all that lies below it."""
    modules = (pytestconfig.rootpath / package).rglob("*.py")
    directories = {path.parent for path in modules}
    assert [path for path in directories if not (path / "__init__.py").is_file()] == []


def test_no_file_of_the_library_is_left_behind(pytestconfig):
    """setup.cfg packages Python modules alone, so tfflows must hold nothing else."""
    files = (path for path in (pytestconfig.rootpath / "tfflows").rglob("*") if path.is_file())
    assert {path.suffix for path in files if "__pycache__" not in path.parts} == {".py"}
