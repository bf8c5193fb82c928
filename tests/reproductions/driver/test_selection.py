"""From flags to an experiment, without a model."""

import dataclasses
import types

import numpy as np
import pytest
from PIL import Image

from reproductions.agave.reproduction import AGAVE
from reproductions.driver.selection import overrides, select_experiment
from reproductions.experiment import Reproduction
from reproductions.flowpp.reproduction import FLOWPP
from reproductions.glow.reproduction import GLOW
from reproductions.macow.reproduction import MACOW
from reproductions.vflow.reproduction import VFLOW
from tests.reproductions.driver.running import exit_message, run


def flags(**values):
    unset = (
        "dataset",
        "experiment",
        "variant",
        "steps",
        "batch_size",
        "precision",
        "tf32",
        "evaluate_train",
        "holdout",
        "image_size",
        "resize",
        "test_share",
    )
    defaults = {"data_dir": None, **dict.fromkeys(unset), "scale": "paper", "set": []}
    return types.SimpleNamespace(**{**defaults, **values})


def select(**values):
    return select_experiment(GLOW, flags(**values))


@pytest.mark.parametrize(
    ("dataset", "name"),
    [
        ("cifar10", "cifar10"),
        ("imagenet32", "imagenet32"),
        ("imagenet64", "imagenet64"),
        ("lsun_bedroom", "lsun_bedroom"),
        ("lsun_tower_96", "lsun_tower_96"),
        ("lsun_church_128", "lsun_church_128"),
        ("celeba_hq", "celeba_hq"),
        ("imagenet32_labels", "imagenet32_conditional"),
        ("photographs", "demo"),
    ],
)
def test_a_data_set_takes_the_papers_own_experiment(dataset, name):
    chosen = select(dataset=dataset)
    assert chosen == GLOW.experiments[name]
    assert overrides(GLOW, chosen) == {}


@pytest.mark.parametrize(
    ("reproduction", "size", "name", "fitted"),
    [
        (GLOW, (32, 32), "cifar10", {}),
        (GLOW, (28, 28), "cifar10", {"image_size": 28, "levels": 2}),
        (GLOW, (48, 72), "imagenet64", {"image_size": 48, "levels": 3}),
        (GLOW, (256, 256), "celeba_hq", {}),
        (MACOW, (64, 64), "imagenet64_fine_grained", {}),
        (
            MACOW,
            (24, 24),
            "cifar10_fine_grained",
            {"image_size": 24, "steps": "4, 12+12, 12", "widths": "24, 512, 512", "factors": "4"},
        ),
        (FLOWPP, (64, 64), "imagenet64", {}),
        (VFLOW, (64, 64), "imagenet64", {}),
        (AGAVE, (64, 64), "cifar10", {"image_size": 64, "auxiliary_size": 64}),
    ],
    ids=lambda value: getattr(value, "paper", None),
)
def test_other_images_take_the_nearest_experiment_fitted_to_their_size(tmp_path, reproduction, size, name, fitted):
    np.save(tmp_path / "own.npy", np.zeros([3, *size, 3], np.uint8))
    dataset = f"npz:{tmp_path / 'own.npy'}"
    chosen = select_experiment(reproduction, flags(dataset=dataset))
    own = reproduction.experiments[name]
    assert chosen.name == name and overrides(reproduction, chosen) == {"dataset": dataset, **fitted}
    # By name it is built as it stands, for the images as they are.
    named = select_experiment(reproduction, flags(dataset=dataset, experiment=name))
    assert named == dataclasses.replace(own, dataset=dataset)


def test_how_images_are_brought_to_a_size(tmp_path):
    np.save(tmp_path / "own.npy", np.zeros([3, 48, 72, 3], np.uint8))
    dataset = f"npz:{tmp_path / 'own.npy'}"
    reduced = select(dataset=dataset, image_size=40)
    assert (reduced.resize, reduced.image_size, reduced.levels, reduced.name) == ("crop", 40, 3, "cifar10")
    assert select(dataset=dataset, image_size=40, resize="fit").resize == "fit"
    squeezed = select(dataset=dataset, resize="fit", experiment="cifar10")
    assert (squeezed.resize, squeezed.image_size) == ("fit", 32)
    (tmp_path / "mixed").mkdir()
    for number, sides in enumerate([(70, 70), (90, 80)]):
        Image.new("RGB", sides).save(tmp_path / "mixed" / f"{number}.png")
    mixed = select(dataset=f"folder:{tmp_path / 'mixed'}")
    assert (mixed.resize, mixed.image_size, mixed.name) == ("crop", 64, "imagenet64")
    with pytest.raises(ValueError, match="differ in size; give --resize=crop"):
        select(dataset=f"folder:{tmp_path / 'mixed'}", resize="none")
    assert select(dataset="celeba_hq", image_size=64).levels == 4


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"dataset": "cifar10"}, "cifar10_fine_grained"),
        ({"dataset": "cifar10", "variant": "paper"}, "cifar10_fine_grained"),
        ({"dataset": "cifar10", "variant": "release"}, "cifar10_fine_grained_release"),
        ({"dataset": "lsun_tower_128", "variant": "release"}, "lsun_tower_128_uniform_release"),
        ({"experiment": "imagenet64_var", "variant": "release"}, "imagenet64_var_release"),
        ({"experiment": "imagenet64_var_release", "variant": "release"}, "imagenet64_var_release"),
        ({"experiment": "imagenet64_var_release", "variant": "paper"}, "imagenet64_var"),
    ],
)
def test_a_variant_takes_the_counterpart(values, name):
    chosen = select_experiment(MACOW, flags(**values))
    assert chosen == MACOW.experiments[name]
    assert overrides(MACOW, chosen) == {}


@pytest.mark.parametrize(
    ("reproduction", "message"),
    [(MACOW, "Unknown variant 'wolf' of macow; the valid ones are: paper, release"), (AGAVE, "of agave; it has none")],
)
def test_an_unknown_variant(reproduction, message):
    for values in ({"dataset": "cifar10"}, {"experiment": next(iter(reproduction.experiments))}):
        with pytest.raises(ValueError, match=message):
            select_experiment(reproduction, flags(variant="wolf", **values))


@pytest.mark.parametrize(
    ("reproduction", "values", "name", "fields"),
    [
        (GLOW, {"dataset": "cifar10"}, "cifar10", {"coupling_scale": "exp", "top_prior": "standard"}),
        (GLOW, {"experiment": "cifar10_paper"}, "cifar10", {"padding": "zeros", "conditioning_half": "second"}),
        (FLOWPP, {"dataset": "imagenet64"}, "imagenet64", {"dequantization_mixer": "attention", "weight_norm": True}),
        (FLOWPP, {"experiment": "ablation_no_attention"}, "ablation_no_attention", {"mixer": "none", "width": 106}),
        (
            VFLOW,
            {"dataset": "cifar10"},
            "cifar10",
            {"coupling_margin": 0.0, "stages": "checkerboard 4, squeeze, channel 2, checkerboard 3"},
        ),
    ],
    ids=lambda value: value.paper if isinstance(value, Reproduction) else "",
)
def test_the_form_of_the_text_is_an_experiment_of_its_own(reproduction, values, name, fields):
    chosen = select_experiment(reproduction, flags(variant="paper", **values))
    released = reproduction.experiments[name]
    assert chosen.name == f"{name}_paper" and {field: getattr(chosen, field) for field in fields} == fields
    changed = reproduction.variant_changes(released, "paper")
    assert fields.items() <= changed.items()
    assert dataclasses.replace(released, name=chosen.name, source=chosen.source, **changed) == chosen
    # It is found again by its name alone, also at the small size, and its fields are no overrides.
    assert reproduction.named_experiment(chosen.name) == chosen and overrides(reproduction, chosen) == {}
    small = select_experiment(reproduction, flags(experiment=chosen.name, scale="small"))
    assert small == reproduction.small(chosen) and overrides(reproduction, small) == {}
    assert select_experiment(reproduction, flags(experiment=chosen.name, variant="release")) == released
    assert select_experiment(reproduction, flags(experiment=name)) == released


def test_an_experiment_by_name():
    assert select(experiment="ablation_reverse_affine").permutation == "reverse"


def test_an_experiment_on_another_data_set_takes_its_size():
    values = {"experiment": "cifar10", "dataset": "imagenet64"}
    chosen = select(**values)
    assert (chosen.name, chosen.dataset, chosen.image_size) == ("cifar10", "imagenet64", 64)
    assert overrides(GLOW, chosen) == {"dataset": "imagenet64", "image_size": 64}


def test_small_keeps_the_structure():
    chosen, paper = select(dataset="celeba_hq", scale="small"), GLOW.experiments["celeba_hq"]
    for field in ("levels", "coupling", "permutation", "num_bits", "image_size", "dataset"):
        assert getattr(chosen, field) == getattr(paper, field)
    assert chosen.scale == "small" and chosen.width < paper.width and chosen.depth < paper.depth
    assert overrides(GLOW, chosen) == {}
    # The demonstration is small already.
    assert select(experiment="demo", scale="small") == GLOW.experiments["demo"]


def test_fields_are_set_last_and_in_order():
    values = {"dataset": "cifar10", "scale": "small", "steps": 7, "batch_size": 6}
    values["set"] = ["depth=2", "learning_rate=1e-4", "permutation=reverse", "conditional=True", "depth=3"]
    chosen = select(**values)
    expected = {
        "num_steps": 7,
        "batch_size": 6,
        "depth": 3,
        "learning_rate": 1e-4,
        "permutation": "reverse",
        "conditional": True,
    }
    assert overrides(GLOW, chosen) == expected
    assert chosen == dataclasses.replace(GLOW.small(GLOW.experiments["cifar10"]), **expected)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, {}),
        ({"precision": "float32", "tf32": False}, {}),
        ({"precision": "mixed_bfloat16"}, {"precision": "mixed_bfloat16"}),
        ({"set": ["precision=mixed_bfloat16"]}, {"precision": "mixed_bfloat16"}),
        ({"tf32": True}, {"tf32": True}),
    ],
)
def test_other_arithmetic_is_an_override(values, expected):
    values = {"dataset": "cifar10", **values}
    assert overrides(GLOW, select(**values)) == expected


def test_what_is_only_watched_is_no_override():
    values = {"experiment": "demo", "set": ["evaluate_every=7", "evaluation_batch_size=3"]}
    assert overrides(GLOW, select(**values)) == {}


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ([], ["--dataset or --experiment", "--list"]),
        (["--dataset=cifar"], ["Unknown data set 'cifar'", "cifar10, ", "celeba_hq", "folder:"]),
        (["--dataset=cifar10", "--resize=crop"], ["--resize and --test_share are for own images", "cifar10"]),
        (["--dataset=cifar10", "--image_size=64"], ["cifar10 is not defined at image size 64"]),
        (["--dataset=folder:"], ["folder:DIRECTORY"]),
        (
            ["--experiment=cifar"],
            ["Unknown experiment 'cifar' of glow", "cifar10, ", "ablation_reverse_additive", "demo"],
        ),
        (["--dataset=cifar10", "--set=widht=3"], ["no field 'widht'", "width", "depth", "learning_rate"]),
        (["--dataset=cifar10", "--set=name=x"], ["no field 'name'"]),
        (["--dataset=cifar10", "--set=width"], ["--set needs field=value, got 'width'"]),
        (["--dataset=cifar10", "--set=width=many"], ["--set width needs a value of type int, got 'many'"]),
        (["--dataset=cifar10", "--set=width=1.5"], ["--set width needs a value of type int, got '1.5'"]),
        (["--dataset=cifar10", "--set=conditional=yes"], ["--set conditional needs true or false, got 'yes'"]),
        (["--dataset=cifar10", "--set=coupling=none"], ["coupling must be one of", "additive", "affine", "'none'"]),
        (["--dataset=cifar10", "--set=precision=half"], ["precision must be one of", "mixed_bfloat16", "'half'"]),
        (["--dataset=cifar10", "--set=levels=6"], ["image_size=32 cannot be halved levels=6 times"]),
        (["--dataset=cifar10", "--set=depth=0"], ["depth must be at least 1, got 0"]),
        (
            ["--dataset=photographs", "--virtual_devices=2", "--strategy=one_device"],
            ["virtual_devices=2", "one_device"],
        ),
        (["--dataset=photographs", "--strategy=multi_worker"], ["TF_CONFIG, which is not set"]),
        (["--dataset=photographs", "photographs"], ["Unknown arguments: photographs", "--help"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and all(v.startswith("--") for v in value) else "",
)
def test_what_is_not_known_is_said_in_one_line(capsys, monkeypatch, tmp_path, arguments, parts):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TF_CONFIG", raising=False)
    message = exit_message(capsys, *arguments)
    assert len([line for line in message.splitlines() if line.strip()]) == 1
    for part in parts:
        assert part in message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dataset", ["cifar10", "imagenet64", "lsun_bedroom", "celeba_hq"])
def test_a_missing_data_set_says_which_where_and_how(capsys, tmp_path, dataset):
    workdir = tmp_path / "workdir"
    message = exit_message(
        capsys, f"--dataset={dataset}", "--scale=small", f"--data_dir={tmp_path / 'data'}", f"--workdir={workdir}"
    )
    assert f"data set {dataset!r} was not found" in message
    assert str(tmp_path / "data") in message and "To prepare it:" in message and "--data_dir" in message
    assert not workdir.exists()


def test_the_learning_rate_is_a_warm_up_unless_the_paper_has_its_own():
    experiment = dataclasses.replace(GLOW.experiments["demo"], learning_rate=0.5, warmup_steps=10)
    assert float(GLOW.build_schedule(experiment)(5)) == 0.25
    other = dataclasses.replace(GLOW, build_schedule=lambda e: lambda step: e.learning_rate * step)
    assert other.build_schedule(experiment)(3) == 1.5


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        (["--experiment=cifar"], "cifar10"),
        (["--dataset=imagenet46"], "imagenet64"),
        (["--experiment=demo", "--set=learning_rat=1"], "learning_rate"),
    ],
)
def test_a_near_name_is_suggested(arguments, near):
    with pytest.raises(ValueError, match=rf"Did you mean '{near}'\? .* are:? "):
        run(*arguments)
