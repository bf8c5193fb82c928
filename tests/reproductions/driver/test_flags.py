"""What the flags take, and how they read."""

import dataclasses
import os
import pathlib
import re
import subprocess
import sys

import pytest
from absl import flags

from reproductions.driver import main
from reproductions.driver.flags import image_numbers, temperatures
from reproductions.driver.help import GROUPS
from reproductions.glow.reproduction import GLOW
from tests.reproductions.driver.running import parsed

ROOT = pathlib.Path(__file__).parents[3]

NAMES = (
    "dataset experiment list mode scale workdir data_dir steps batch_size seed set strategy virtual_devices jit temperature "
    "samples sample_seed label accumulate select checkpoint_every log_every init_from attributes results_dir images frames "
    "attribute strength direction_images steps_per_execution precision tf32 memory evaluate_train "
    "importance_samples evaluation_images variant holdout stage side_by_side cluster sampler"
).split()


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--mode=draw", "<train|evaluate|sample|interpolate|manipulate|reconstruct>"),
        ("--scale=large", "<paper|small>"),
        ("--strategy=tpu", "<auto|one_device|mirrored|multi_worker>"),
        ("--select=best", "<last|best_test>"),
        ("--steps=0", "positive integer"),
        ("--batch_size=-1", "positive integer"),
        ("--accumulate=0", "positive integer"),
        ("--side_by_side=0", "a positive integer or auto is needed, not '0'"),
        ("--side_by_side=all", "a positive integer or auto is needed, not 'all'"),
        ("--cluster=k8s", "<tf_config|slurm|none>"),
        ("--checkpoint_every=0", "positive integer"),
        ("--log_every=0", "positive integer"),
        ("--steps_per_execution=0", "positive integer"),
        ("--memory=little", "should be one of <plain|recompute|reversible>"),
        ("--precision=float16", "<float32|mixed_bfloat16>"),
        ("--samples=0", "positive integer"),
        ("--seed=-1", "seed"),
        ("--virtual_devices=-1", "non-negative"),
        ("--frames=1", "frames"),
    ],
)
def test_values_out_of_range_name_the_valid_ones(argument, message):
    with pytest.raises(flags.IllegalFlagValueError, match=re.escape(message)), parsed([argument]):
        pass


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["--mode=smaple"],
            "Flag --mode=smaple: value should be one of <train|evaluate|sample|interpolate|manipulate|reconstruct>. Did you "
            "mean 'sample'? --help shows the flags.",
        ),
        (["--strategy=tpu"], "<auto|one_device|mirrored|multi_worker>. --help shows the flags."),
        (
            ["--temperatur=1"],
            "Unknown command line flag 'temperatur'. Did you mean: temperature? --help shows the flags.",
        ),
        (["--zzz"], "Unknown command line flag 'zzz'. --help shows the flags."),
        (["--steps=0"], "Flag --steps=0: 0 is not a positive integer. --help shows the flags."),
        (["--steps=a"], "Flag --steps=a: an integer is needed, not 'a'. --help shows the flags."),
    ],
)
def test_a_mistyped_flag_is_one_line_with_what_was_meant(arguments, line, capsys):
    with parsed([]), pytest.raises(SystemExit) as caught:
        main._parse(["run.py", *arguments])
    assert caught.value.code == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert said.endswith(line)


def test_an_unknown_flag_names_its_neighbours():
    with pytest.raises(flags.UnrecognizedFlagError, match="temperature"), parsed(["--temperatur=1"]):
        pass


def test_set_is_repeatable():
    with parsed(["--set", "depth=2", "--set=width=3"]):
        assert flags.FLAGS.set == ["depth=2", "width=3"]
    with parsed([]):
        assert flags.FLAGS.set == []


def test_temperatures_and_images():
    with parsed(["--temperature=0,0.5,1", "--images=3,1"]):
        assert temperatures() == [0.0, 0.5, 1.0]
        assert image_numbers() == [3, 1]
    for read, argument, message in [
        (temperatures, "--temperature=warm", "--temperature needs numbers separated by commas, got 'warm'"),
        (temperatures, "--temperature=-1", "--temperature needs numbers of at least 0"),
        (temperatures, "--temperature=1,nan", "--temperature needs"),
        (temperatures, "--temperature=inf", "--temperature needs"),
        (image_numbers, "--images=1.5", "--images needs numbers separated by commas, got '1.5'"),
        (image_numbers, "--images=", "--images needs"),
    ]:
        with parsed([argument]), pytest.raises(ValueError, match=re.escape(message)):
            read()


def shown_by(flag):
    """Standard output of `run.py FLAG`."""
    done = subprocess.run(
        [sys.executable, "reproductions/glow/run.py", flag], cwd=ROOT, env=os.environ, capture_output=True, text=True
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr
    return done.stdout


def test_full_help_shows_every_flag_with_a_sentence():
    shown = re.findall(r"^  --(?:\[no\])?(\w+): (?:<.*?>: )?(\S.*)$", shown_by("--helpfull"), re.MULTILINE)
    assert set(NAMES) <= {name for name, _ in shown}
    assert all(len(text) > 5 for _, text in shown)


def test_help_shows_the_common_flags_in_groups():
    text = shown_by("--help")
    assert text.startswith("Glow: ") and max(map(len, text.splitlines())) <= 100
    groups = [line.removesuffix(":") for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert groups == list(GROUPS)
    names = re.findall(r"^  --(\w+)", text, re.MULTILINE)
    assert names == [name for group in GROUPS.values() for name in group] and len(names) < 25
    assert "--variant=paper is the same as --set coupling_scale=exp, coupling_order=scale_then_shift," in text
    assert re.search(r"--temperature +Temperatures .*Default: 0\.7,1\.0\.", text)


@pytest.mark.slow
def test_a_wrong_flag_is_said_with_status_1(tmp_path):
    """Of the module, from a directory that is not the repository."""
    command = [sys.executable, "-m", "reproductions.glow", "--temperatur=1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Unknown command line flag 'temperatur'" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_list_is_a_table_of_the_experiments(capsys):
    names = ("cifar10", "imagenet64", "demo")
    few = dataclasses.replace(GLOW, experiments={name: GLOW.experiments[name] for name in names})
    with parsed(["--list"]):
        main.list_experiments(few, flags.FLAGS.scale == "small")
    table, _, variants = capsys.readouterr().out.rstrip("\n").partition("\n\n")
    assert variants.startswith("--variant=paper is the same as --set coupling_scale=exp")
    header, *rows = table.splitlines()
    for column in ("experiment", "data set", "bits", "parameters", "bits/dim"):
        assert column in header
    assert [row.split()[0] for row in rows] == list(names)
    assert rows[0].split()[:6] == ["cifar10", "cifar10", "32", "8", "44,603,604", "3.35"]
    assert rows[1].split()[5] == "3.81"
    with parsed(["--list", "--scale=small"]):
        main.list_experiments(few, flags.FLAGS.scale == "small")
    small = capsys.readouterr().out.partition("\n\n")[0].splitlines()[1:]
    assert len(small) == 3 and small[2].split()[4] == rows[2].split()[4]
    # A smaller model has fewer parameters, and no number of the paper is its own.
    assert "44,603,604" not in small[0] and "3.35" not in small[0]
