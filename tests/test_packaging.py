"""The package that `pip install .` makes: the library and the reproductions, and nothing else; what it asks for."""

import configparser
import importlib.metadata
import re
import sys

import pytest

import tfflows
from reproductions import command

PACKAGES = ["tfflows", "reproductions"]
# What bijectors, distributions, networks, and training from arrays and TFDS need.
CORE = {
    "absl-py",
    "importlib_resources",
    "keras",
    "numpy",
    "tensorflow",
    "tensorflow-datasets",
    "tensorflow-probability",
    "tf-keras",
}
EXTRAS = {
    "images": {"pillow"},
    "checkpoints": {"safetensors"},
    "lsun": {"lmdb", "pillow"},
    "compression": {"constriction", "pillow"},
    "reproductions": {
        *("lmdb", "pillow", "safetensors"),
        *("matplotlib", "pandas", "scikit-learn", "scipy", "tensorboard", "tqdm"),
    },
}


@pytest.fixture(scope="module")
def setup(pytestconfig):
    setup = configparser.ConfigParser()
    setup.read(pytestconfig.rootpath / "setup.cfg")
    return setup


def requirements(text):
    """`{name: versions}` of the lines of a list of requirements."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(re.fullmatch(r"([\w-]+(?:\[[\w,-]+\])?)(.*)", line).groups() for line in lines)


def packages_of_extra(setup, extra):
    """Names of the packages that an extra brings, those of the extras that it names included."""
    found = set()
    for name in requirements(setup["options.extras_require"][extra]):
        own = re.fullmatch(r"tfflows\[(.*)\]", name)
        found |= {name} if own is None else set().union(*(packages_of_extra(setup, e) for e in own[1].split(",")))
    return found


def test_library_and_reproductions_are_packaged(setup):
    assert setup["options"]["packages"] == "find:"
    wanted = [pattern for package in PACKAGES for pattern in (package, f"{package}.*")]
    assert setup["options.packages.find"]["include"].split() == wanted


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_lies_in_a_package(pytestconfig, package):
    """`find:` passes over a directory without an __init__.py, and all that lies below it."""
    modules = (pytestconfig.rootpath / package).rglob("*.py")
    directories = {path.parent for path in modules}
    assert [path for path in directories if not (path / "__init__.py").is_file()] == []


def test_no_file_of_the_library_is_left_behind(setup, pytestconfig):
    """setup.cfg packages Python modules and `py.typed` alone, so tfflows must hold nothing else."""
    files = (path for path in (pytestconfig.rootpath / "tfflows").rglob("*") if path.is_file())
    others = [path for path in files if "__pycache__" not in path.parts and path.suffix != ".py"]
    assert [path.name for path in others] == ["py.typed"]
    assert setup["options.package_data"]["tfflows"] == "py.typed"


def test_every_data_file_of_the_reproductions_is_packaged(setup, pytestconfig):
    patterns = setup["options.package_data"]["reproductions"].split()
    directory = pytestconfig.rootpath / "reproductions"
    others = [path for path in directory.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc", ".md")]
    packaged = {path for pattern in patterns for path in directory.glob(pattern)}
    assert packaged == set(others)
    names = {str(path.relative_to(directory)) for path in packaged}
    assert names == {"driver/counts.csv", *(f"published/{name}.csv" for name in ("expected", "papers", "parameters"))}


def test_the_installed_command(setup):
    name, _, value = setup["options.entry_points"]["console_scripts"].strip().partition(" = ")
    assert name == "tfflows"
    assert importlib.metadata.EntryPoint(name, value, "console_scripts").load() is command.main


def test_the_core_asks_for_few_packages(setup):
    assert set(requirements(setup["options"]["install_requires"])) == CORE


@pytest.mark.parametrize("extra", EXTRAS)
def test_extras_bring_what_they_say(setup, extra):
    assert packages_of_extra(setup, extra) == EXTRAS[extra]


def test_every_requirement_has_a_lowest_and_a_highest_version(setup):
    lists = [setup["options"]["install_requires"], *setup["options.extras_require"].values()]
    for name, versions in (pair for text in lists for pair in requirements(text).items()):
        assert name.startswith("tfflows[") or re.fullmatch(r">=[\d.]+,<[\d.]+|==[\d.]+\.\*", versions), name


def test_every_extra_that_the_code_names_is_one(setup, pytestconfig):
    texts = (path.read_text() for package in PACKAGES for path in (pytestconfig.rootpath / package).rglob("*.py"))
    named = {extra for text in texts for extra in re.findall(r'require\("[\w.]+", "(\w+)"\)', text)}
    assert named == set(EXTRAS)


def test_no_script_changes_the_path_of_imports(pytestconfig):
    texts = {
        str(path): path.read_text() for package in PACKAGES for path in (pytestconfig.rootpath / package).rglob("*.py")
    }
    assert [path for path, text in texts.items() if re.search(r"sys\.path\.(insert|append|extend)", text)] == []


def test_the_version_stands_in_one_place(setup, pytestconfig):
    assert setup["metadata"]["version"] == "attr: tfflows.__version__"
    assert f"## [{tfflows.__version__}]" in (pytestconfig.rootpath / "CHANGELOG.md").read_text()
    assert "\nversion:" not in (pytestconfig.rootpath / "CITATION.cff").read_text()


def test_this_interpreter_is_one_that_the_package_admits(setup):
    lowest, highest = (
        tuple(map(int, part)) for part in re.findall(r"(\d+)\.(\d+)", setup["options"]["python_requires"])
    )
    assert lowest <= sys.version_info[:2] < highest
