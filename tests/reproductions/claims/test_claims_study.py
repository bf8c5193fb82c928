"""The claims study: its arms keep the protocol, and verdicts follow from what runs left."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from reproductions.claims import agave, flowpp, glow, macow, per_image, vflow
from reproductions.claims.arms import ARMS, VFLOW_TABLE_2
from reproductions.claims.comparisons import GapComparison, TermComparison
from reproductions.claims.judge import judge, judge_seeds, load_arm, main, mean_difference, min_difference
from reproductions.claims.run import workdir_of
from reproductions.driver.evaluate import PER_IMAGE_FILE, TRAIN_PER_IMAGE_FILE
from reproductions.glow import model
from reproductions.glow.experiments import EXPERIMENTS
from reproductions.reporting.claims import write_claim
from reproductions.reporting.records import Record, write_record
from reproductions.reporting.verdicts import HELD, REVERSED, UNDECIDED
from reproductions.vflow import counts as vflow_counts
from reproductions.vflow.experiments import EXPERIMENTS as VFLOW_EXPERIMENTS
from tfflows.tracing.variables import count_parameters

# VFlow's study has one more, with a flow of its own.
GLOW_ARMS = sorted({arm.experiment for arm in ARMS if arm.paper == "glow"} - {"claims_augmented"})


@pytest.mark.parametrize("name", GLOW_ARMS)
def test_arms_keep_the_protocol(name):
    experiment = EXPERIMENTS[name]
    assert (experiment.dataset, experiment.image_size, experiment.augmentation) == ("cifar10_16", 16, "none")
    assert (experiment.num_steps, experiment.batch_size, experiment.warmup_steps) == (3000, 32, 300)
    assert experiment.learning_rate == EXPERIMENTS["cifar10"].learning_rate
    assert experiment.beta_2 == 1 - 1 / 1563


def test_arms_differ_in_permutation_and_coupling_alone():
    experiments = [EXPERIMENTS[name] for name in GLOW_ARMS]
    same = {dataclasses.replace(e, name="", permutation="reverse", coupling="affine") for e in experiments}
    assert len(same) == 1
    assert len({(e.permutation, e.coupling) for e in experiments}) == 6


@pytest.mark.slow
def test_the_full_arm_has_half_a_million_live_parameters():
    experiment = EXPERIMENTS["claims_invertible_affine"]
    with tf.Graph().as_default():
        parameters = count_parameters(model.build(experiment, [16, 16, 3], 0, seed=0))
    assert parameters - model.dead_parameters(experiment, [16, 16, 3]) == 499_956


def test_each_arm_runs_with_three_seeds():
    for name in GLOW_ARMS:
        assert [arm.seed for arm in ARMS if arm.experiment == name] == [0, 1, 2]


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([0.1, 0.11, 0.09], HELD),
        ([-0.1, -0.11, -0.09], REVERSED),
        ([0.1, 0.11, -0.01], UNDECIDED),
        ([0.001, 0.2, 0.01], UNDECIDED),
    ],
)
def test_verdict_over_seeds(differences, verdict):
    mean, error, found = judge_seeds(differences)
    assert found == verdict
    np.testing.assert_allclose(mean, np.mean(differences))
    np.testing.assert_allclose(error, np.std(differences, ddof=1) / np.sqrt(3))


def _leave_run(arm, results, bits, curve, terms=None):
    record = Record(
        paper=arm.paper,
        experiment=arm.experiment,
        dataset="cifar10_16",
        split="test",
        metric="bits_per_dim",
        value=float(np.mean(bits)),
        standard_error=0.01,
        num_images=len(bits),
        steps=3000,
        batch_size=32,
        scale="claims",
        seed=arm.seed,
        select="last",
        parameters=1,
        hardware={},
        hours=0.1,
        versions={},
        commit=None,
        command="run",
        overrides={},
        date="2020-01-01T00:00:00+00:00",
        curve=curve,
        seconds_per_step=0.1,
        terms=terms,
    )
    write_record(record, results / "obtained")
    np.save(results / "run.npy", bits)
    per_image.keep(arm, results / "run.npy", results)


def _keep_values(arm, workdir, results):
    per_image.keep(arm, workdir / PER_IMAGE_FILE, results)
    if (workdir / TRAIN_PER_IMAGE_FILE).exists():
        per_image.keep(arm, workdir / TRAIN_PER_IMAGE_FILE, results, per_image.TRAIN)


def test_verdicts_follow_from_the_runs(tmp_path):
    levels = dict(zip(GLOW_ARMS, np.linspace(5.0, 5.5, len(GLOW_ARMS)), strict=True))
    noise = np.random.default_rng(0).normal(size=[200])
    for arm in [arm for arm in ARMS if arm.paper == "glow" and arm.experiment in GLOW_ARMS]:
        level = levels[arm.experiment]
        _leave_run(arm, tmp_path, level + 0.01 * noise + 0.001 * arm.seed, ((500, level + 1), (3000, level)))
    for comparison in glow.COMPARISONS:
        claim = judge(comparison, glow.PROTOCOL, tmp_path)
        expected = levels[comparison.higher] - levels[comparison.lower]
        np.testing.assert_allclose(claim.difference, expected, atol=1e-6)
        assert claim.verdict == (HELD if expected > 0 else REVERSED)
        assert write_claim(claim, tmp_path / "claims").exists()


def test_a_missing_run_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"claims_reverse_affine has no record of seeds \[0, 1, 2\]"):
        load_arm("glow", "claims_reverse_affine", tmp_path)


@dataclasses.dataclass
class CurveOnly:
    curve: tuple
    experiment: str = "an arm"


def test_along_the_curve_the_mean_and_the_least_difference_count():
    slow, fast = CurveOnly(((1, 6.0), (2, 4.25))), CurveOnly(((1, 5.0), (2, 4.0)))
    assert mean_difference(slow, fast) == 0.625
    assert (min_difference(slow, fast), min_difference(fast, slow)) == (0.25, -1.0)
    crossing = CurveOnly(((1, 4.5), (2, 4.5)))
    assert min_difference(slow, crossing) < 0 < mean_difference(slow, crossing)
    with pytest.raises(ValueError, match="evaluated at different steps"):
        min_difference(slow, CurveOnly(((1, 5.0),)))


def test_names_are_unique():
    comparisons = [*glow.COMPARISONS, *glow.COSTS, *flowpp.COMPARISONS, *macow.COMPARISONS, *vflow.COMPARISONS]
    comparisons += agave.COMPARISONS
    names = [(item.paper, item.name) for item in comparisons]
    assert len(set(names)) == len(names)


FLOWPP_QUEUE = [(arm.experiment, arm.seed) for arm in ARMS if arm.paper == "flowpp"]


def test_the_queue_of_flowpp_holds_whole_comparisons_wherever_it_is_cut_between_seeds():
    table_2 = ("full", "uniform_dequantization", "affine_coupling", "no_attention")
    gap = ("gap_full", "gap_uniform_dequantization")
    studies = (table_2, gap, ("full_proportioned",))
    assert [(f"claims_{name}", seed) for arms in studies for seed in (0, 1) for name in arms] == FLOWPP_QUEUE
    assert [arm.paper for arm in ARMS][:32] == ["glow"] * 18 + ["flowpp"] * 14


MACOW_QUEUE = [
    (arm.experiment, arm.seed) for arm in ARMS if arm.paper == "macow" and "two_levels" not in arm.experiment
]


def test_the_queue_of_macow_holds_whole_comparisons_wherever_it_is_cut_between_seeds():
    table_1 = ("org", "fine_grained", "var")
    studies = (table_1, ("fine_grained_5bit", "var_5bit"), tuple(f"{arm}_release" for arm in table_1))
    assert [(f"claims_{name}", seed) for arms in studies for seed in (0, 1) for name in arms] == MACOW_QUEUE


@pytest.mark.parametrize("as_claimed", [True, False])
def test_verdicts_of_macow_follow_from_the_runs_of_three_papers(tmp_path, as_claimed):
    """Better to worse as table 1 has them; every comparison of both variants is judged, and by the right sides."""
    order = ("full_proportioned", "var", "fine_grained", "uniform_dequantization", "org", "invertible_affine")
    levels = {name: 5.0 + 0.1 * rank * (1 if as_claimed else -1) for rank, name in enumerate(order)}
    noise = 0.01 * np.random.default_rng(0).normal(size=[200])
    for arm in ARMS:
        name = arm.experiment.removeprefix("claims_").removesuffix("_release").removesuffix("_5bit")
        if name in levels:
            level = levels[name] + 0.001 * arm.seed
            _leave_run(arm, tmp_path, level + noise, ((500, level + 1), (3000, level)))
    for comparison in macow.COMPARISONS:
        claim = judge(comparison, macow.PROTOCOL, tmp_path)
        assert claim.verdict == (HELD if as_claimed else REVERSED), comparison.name
        assert (claim.paper, [arm["seeds"] for arm in claim.arms]) == ("macow", [[0, 1], [0, 1]])


@pytest.mark.parametrize("as_claimed", [True, False])
def test_verdicts_of_vflow_follow_from_the_runs_of_four_papers(tmp_path, as_claimed):
    """Better to worse as the paper has them; each comparison is judged, and by the right sides."""
    order = ("6_channels", "6_channels_narrow", "6_channels_normal", "4_channels", "3_channels", "full_proportioned")
    order += (
        "augmented",
        "invertible_affine",
        "two_levels_augmented",
        "two_levels",
        "gap_6_channels",
        "gap_3_channels",
    )
    levels = {f"claims_{name}": 5.0 + 0.1 * rank * (1 if as_claimed else -1) for rank, name in enumerate(order)}
    noise = 0.01 * np.random.default_rng(0).normal(size=[200])
    for arm in [arm for arm in ARMS if arm.experiment in levels]:
        level = levels[arm.experiment] + 0.001 * arm.seed
        _leave_run(arm, tmp_path, level + noise, ((500, level + 1), (3000, level)))
        workdir = workdir_of(arm, tmp_path / "workdirs")
        workdir.mkdir(parents=True)
        np.save(workdir / PER_IMAGE_FILE, level + noise)
        np.save(workdir / TRAIN_PER_IMAGE_FILE, 4.0 + noise[:50])
        _keep_values(arm, workdir, tmp_path)
    for comparison in vflow.COMPARISONS:
        claim = judge(comparison, vflow.PROTOCOL, tmp_path)
        assert claim.verdict == (HELD if as_claimed else REVERSED), comparison.name
        assert (claim.paper, [arm["seeds"] for arm in claim.arms]) == ("vflow", [[0, 1], [0, 1]])


@pytest.mark.parametrize("as_claimed", [True, False])
def test_verdicts_of_agave_follow_from_the_runs(tmp_path, as_claimed):
    sign = 1 if as_claimed else -1
    bits = {"lambda_12": 5.0, "guided": 5.1, "lambda_1": 5.2, "iaf_vae": 5.3, "pixelcnn": 5.25, "no_auxiliary": 5.0}
    kl = {"guided": 50.0, "lambda_12": 20.0, "no_auxiliary": 1.0}
    pixels = {"guided": 4.0, "lambda_12": 4.5, "no_auxiliary": 5.0}
    other = {"guided": 6.0, "no_auxiliary": 5.1}
    noise = 0.01 * np.random.default_rng(0).normal(size=[200])
    for arm in [arm for arm in ARMS if arm.paper == "agave"]:
        name = arm.experiment.removeprefix("claims_")
        level = sign * bits.get(name, 0.0) + 0.001 * arm.seed + 20
        terms = {
            "kl_nats": kl.get(name, 0.0),
            "pixel_bits_per_dim": pixels.get(name, 0.0),
            "other_pixel_bits_per_dim": other.get(name, 0.0),
            "auxiliary_bits_per_dim": pixels.get(name, 0.0),
        }
        terms = {key: {"value": sign * value + 0.001 * arm.seed, "standard_error": 0.1} for key, value in terms.items()}
        _leave_run(arm, tmp_path, level + noise, ((500, level + 1), (3000, level)), terms)
    for comparison in agave.COMPARISONS:
        claim = judge(comparison, agave.PROTOCOL, tmp_path)
        assert claim.verdict == (HELD if as_claimed else REVERSED), comparison.name
        assert [arm["seeds"] for arm in claim.arms] == [[0, 1], [0, 1]]
        if isinstance(comparison, TermComparison):
            assert claim.quantity.startswith(comparison.term.replace("_", " "))
    gained = judge(agave.COMPARISONS[1], agave.PROTOCOL, tmp_path)
    np.testing.assert_allclose(gained.difference, sign * ((6.0 - 4.0) - (5.1 - 5.0)), rtol=1e-6)


def test_the_arms_of_vflow_have_one_number_of_parameters():
    for name in VFLOW_TABLE_2:
        assert abs(vflow_counts.count_parameters(VFLOW_EXPERIMENTS[name]) / 500_000 - 1) < 0.05
    narrow = vflow_counts.count_parameters(VFLOW_EXPERIMENTS["claims_6_channels_narrow"])
    assert round(vflow_counts.count_parameters(VFLOW_EXPERIMENTS["claims_3_channels"]) / narrow, 1) == 2.4


def _leave_flowpp_runs(results, levels, gaps):
    """As if the queue of Flow++ had run; `levels` in test bits/dim and `gaps` by experiment."""
    noise = np.random.default_rng(0).normal(size=[200])
    for arm in [arm for arm in ARMS if arm.paper == "flowpp"]:
        level = levels[arm.experiment] + 0.001 * arm.seed
        _leave_run(arm, results, level + 0.01 * noise, ((500, level + 1), (3000, level)))
        workdir = workdir_of(arm, results / "workdirs")
        workdir.mkdir(parents=True)
        np.save(workdir / PER_IMAGE_FILE, level + 0.01 * noise)
        if arm.experiment in gaps:
            np.save(
                workdir / TRAIN_PER_IMAGE_FILE, level - gaps[arm.experiment] + 0.01 * noise[:50] - noise[:50].mean()
            )
        _keep_values(arm, workdir, results)


@pytest.mark.parametrize("as_claimed", [True, False])
def test_verdicts_of_flowpp_follow_from_the_runs(tmp_path, as_claimed):
    experiments = list(dict.fromkeys(name for name, _ in FLOWPP_QUEUE))
    levels = dict(zip(experiments, np.linspace(5.0, 5.5, 7) if as_claimed else np.linspace(5.5, 5.0, 7), strict=True))
    levels["claims_full_proportioned"] = levels["claims_full"]
    sizes = (0.02, 0.06) if as_claimed else (0.06, 0.02)
    gaps = dict(zip(experiments[4:6], sizes, strict=True))
    _leave_flowpp_runs(tmp_path, levels, gaps)
    levels["claims_invertible_affine"] = 6.0 if as_claimed else 4.0
    for arm in [arm for arm in ARMS if arm.experiment == "claims_invertible_affine"]:
        bits = levels[arm.experiment] + 0.001 * arm.seed + 0.01 * np.random.default_rng(0).normal(size=[200])
        _leave_run(arm, tmp_path, bits, ((3000, 6.0),))
    assert [item.name for item in flowpp.COMPARISONS][-1] == "gap_variational_below_uniform"
    for comparison in flowpp.COMPARISONS:
        claim = judge(comparison, flowpp.PROTOCOL, tmp_path)
        assert claim.verdict == (HELD if as_claimed else REVERSED)
        if isinstance(comparison, GapComparison):
            expected = gaps[comparison.larger] - gaps[comparison.smaller]
            assert claim.protocol == flowpp.GAP_PROTOCOL and "2,000 training images" in claim.protocol
        else:
            expected = levels[comparison.higher] - levels[comparison.lower]
            assert claim.protocol == flowpp.PROTOCOL
            assert [arm["seeds"] for arm in claim.arms] == [[0, 1], [0, 1]]  # Glow has a third one
        np.testing.assert_allclose(claim.difference, expected, atol=1e-5)
        assert write_claim(claim, tmp_path / "claims").exists()


def test_a_gap_needs_measured_training_images(tmp_path):
    experiments = list(dict.fromkeys(name for name, _ in FLOWPP_QUEUE))
    _leave_flowpp_runs(tmp_path, dict.fromkeys(experiments, 5.0), {})
    with pytest.raises(ValueError, match=r"claims_gap_full: .*evaluate_train"):
        judge(flowpp.COMPARISONS[-1], flowpp.PROTOCOL, tmp_path)


def test_arms_of_other_papers_are_not_taken(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"claims_full has no record of seeds \[0, 1\]"):
        load_arm("flowpp", "claims_full", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"claims_full has no record of seeds \[\]"):
        load_arm("glow", "claims_full", tmp_path)


def test_what_cannot_be_judged_yet_is_left_and_the_rest_is_judged(tmp_path, monkeypatch, capsys):
    for arm in ARMS:
        if arm.experiment in ("claims_full", "claims_affine_coupling"):
            level = 5.0 + (arm.experiment != "claims_full")
            bits = level + 0.01 * np.random.default_rng(arm.seed).normal(size=[50])
            _leave_run(arm, tmp_path, bits, ((500, level), (3000, level)))
    monkeypatch.setattr("sys.argv", ["judge.py", f"--results={tmp_path}", "--paper=flowpp"])
    main()
    verdicts = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert verdicts == ["not", "not", "held", "not", "not", "not"]
    assert [path.stem for path in (tmp_path / "claims").rglob("*.json")] == ["mixture_below_affine"]
