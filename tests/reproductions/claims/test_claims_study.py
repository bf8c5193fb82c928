"""The claims study: arms of the first one keep their protocol, and verdicts of both follow from what runs left."""

import dataclasses
import graphlib
import zlib

import numpy as np
import pytest
import tensorflow as tf

from reproductions.claims import first_study, glow, measured, per_image, study, toy
from reproductions.claims.arms import ArmRun
from reproductions.claims.comparisons import DIFFERENCE, EQUALITY, MEASURED
from reproductions.claims.first_study import ARMS, VFLOW_TABLE_2
from reproductions.claims.judge import (
    FIRST_PROTOCOL,
    PAPERS,
    PROTOCOL,
    differing_recipe,
    judge_all,
    judge_paper,
    main,
    second_study,
    write_all,
)
from reproductions.claims.outcomes import GRADIENT_NORMS, RECORDS, divergence_text, keep_diverged
from reproductions.glow import model
from reproductions.glow.experiments import EXPERIMENTS
from reproductions.reporting.claims import NOT_COMPARABLE, NOT_RUN, load_claims
from reproductions.reporting.records import Record, write_record
from reproductions.reporting.rule import HELD, REVERSED, UNDECIDED
from reproductions.vflow import counts as vflow_counts
from reproductions.vflow.experiments import EXPERIMENTS as VFLOW_EXPERIMENTS
from tfflows.tracing.variables import count_parameters

# VFlow's study has one more, with a flow of its own.
GLOW_ARMS = sorted({arm.experiment for arm in ARMS if arm.paper == "glow"} - {"claims_augmented"})
OTHER_PROTOCOLS = (measured.TIMES, measured.COUNTS, toy.PROTOCOL)
COMPARISONS = [comparison for paper in PAPERS.values() for comparison in paper.COMPARISONS]


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


def test_the_arms_of_vflow_have_one_number_of_parameters():
    for name in VFLOW_TABLE_2:
        assert abs(vflow_counts.count_parameters(VFLOW_EXPERIMENTS[name]) / 500_000 - 1) < 0.05
    narrow = vflow_counts.count_parameters(VFLOW_EXPERIMENTS["claims_6_channels_narrow"])
    assert round(vflow_counts.count_parameters(VFLOW_EXPERIMENTS["claims_3_channels"]) / narrow, 1) == 2.4


def leave_run(run, results, level, gap=0.03, terms=None, directory=RECORDS, overrides=None):
    """As if a run had ended: its record, and bits/dim of 200 test and 50 training images."""
    jitter = 1e-4 * np.random.default_rng([run.seed, zlib.crc32(run.experiment.encode())]).standard_normal()
    noise = np.random.default_rng(0).normal(size=[200])
    bits = level + 0.001 * run.seed + jitter + 0.01 * (noise - noise.mean())
    record = Record(
        paper=run.paper,
        experiment=run.experiment,
        dataset="cifar10_16",
        split="test",
        metric="bits_per_dim",
        value=float(np.mean(bits)),
        standard_error=0.01,
        num_images=len(bits),
        steps=4000,
        batch_size=32,
        scale="claims",
        seed=run.seed,
        select="last",
        parameters=1,
        hardware={},
        hours=0.1,
        versions={},
        commit=None,
        command="run",
        overrides=overrides or {},
        date="2020-01-01T00:00:00+00:00",
        curve=((500, level + 1 + jitter), (4000, level + jitter)),
        seconds_per_step=0.1,
        terms=terms,
    )
    write_record(record, results / directory)
    np.save(results / "run.npy", bits)
    per_image.keep(run, results / "run.npy", results)
    np.save(results / "run.npy", bits[:50] - bits[:50].mean() + bits.mean() - gap)
    per_image.keep(run, results / "run.npy", results, per_image.TRAIN)
    norms = results / GRADIENT_NORMS / run.paper / f"{run.experiment}-seed{run.seed}.npy"
    norms.parent.mkdir(parents=True, exist_ok=True)
    np.save(norms, np.array([[100, 1.0], [200, 1.0], [300, 2.0 + jitter]], np.float32))


# Better to worse, as the papers have it; arms of a line are equal there. Between lines of different blocks nothing is said.
ORDERS = (
    """
    glow invertible_affine
    glow shuffle_affine
    glow reverse_affine
    """,
    """
    glow invertible_affine
    realnvp full
    """,
    """
    glow invertible_affine
    glow invertible_additive
    glow shuffle_additive
    glow reverse_additive
    """,
    """
    glow shuffle_affine
    glow shuffle_additive
    """,
    """
    glow reverse_affine
    glow reverse_additive
    """,
    """
    flowpp full
    flowpp convolutions_only, flowpp maximum
    flowpp affine_coupling
    flowpp uniform_dequantization
    glow invertible_affine
    """,
    """
    flowpp full
    macow var
    macow fine_grained
    flowpp uniform_dequantization
    """,
    """
    macow fine_grained
    macow org
    glow invertible_affine
    """,
    """
    flowpp full
    macow var_release
    macow fine_grained_release
    flowpp uniform_dequantization
    """,
    """
    macow fine_grained_release
    macow org_release
    glow invertible_affine
    """,
    """
    macow var
    macow uniform_flow_of_var
    """,
    """
    macow var_release
    macow uniform_flow_of_var_release
    """,
    """
    macow var_5bit
    macow fine_grained_5bit, macow uniform_flow_of_var_5bit
    glow invertible_affine_5bit
    """,
    """
    vflow 6_channels
    vflow 4_channels
    vflow 3_channels
    """,
    """
    vflow 6_channels
    flowpp vflow_width
    """,
    """
    vflow table_3_6_channels, vflow table_3_3_channels
    """,
    """
    agave levels_4
    agave levels_16
    agave levels_64
    agave lambda_8
    """,
    """
    agave lambda_12, agave pixelcnn
    agave lambda_2
    agave lambda_1
    """,
    """
    agave lambda_12
    agave iaf_vae
    """,
)


def levels_of_papers():
    """Bits/dim of each arm in the papers' orders: 0.1 or more from one line to the next."""
    below = {}
    for order in ORDERS:
        lines = [[tuple(arm.split()) for arm in line.split(",")] for line in order.strip().splitlines()]
        for number, line in enumerate(lines):
            for arm in line:
                below.setdefault(arm, set()).update(lines[number - 1] if number else [])
    levels = {}
    for arm in graphlib.TopologicalSorter(below).static_order():
        levels[arm] = max((levels[other] + 0.1 for other in below[arm]), default=5.0)
    return levels


TERMS = {
    "kl_nats": {"lambda_2": 60.0},
    "pixel_bits_per_dim": {"lambda_12": 0.5},
    "other_pixel_bits_per_dim": {"lambda_2": 1.0, "lambda_12": 0.5},
    "auxiliary_bits_per_dim": {"lambda_12": 0.5},
    "sample_distance": {"lambda_2": 0.3},
}


@pytest.fixture(scope="module", params=[True, False], ids=["as claimed", "the other way"])
def studied(request, tmp_path_factory):
    """Results in which all runs of the second study are there, and whether they speak for the claims."""
    results, sign = tmp_path_factory.mktemp("results"), 1 if request.param else -1
    levels = levels_of_papers()
    for run in study.VERDICT_RUNS:
        arm = run.experiment.removeprefix("study_")
        level = 6.0 + sign * levels.get((run.paper, arm), 5.0)
        gap = 0.1 + sign * (0.03 if arm in ("gap_full", "gap_6_channels") else 0.06)
        terms = None
        if run.paper == "agave" and arm != "pixelcnn":
            terms = {
                name: {"value": 1.0 + sign * (values.get(arm, 0.0) + 0.001 * run.seed), "standard_error": 0.1}
                for name, values in TERMS.items()
            }
        leave_run(run, results, level, gap, terms)
    return results, request.param


def test_every_claim_is_judged_by_the_right_sides(studied):
    results, as_claimed = studied
    claims = {(claim.paper, claim.name): claim for claim in judge_all(results) if claim.protocol not in OTHER_PROTOCOLS}
    assert set(claims) == {(item.paper, item.name) for item in COMPARISONS}  # none of the first study is left
    for item in COMPARISONS:
        claim = claims[item.paper, item.name]
        expected = {DIFFERENCE: HELD if as_claimed else REVERSED, EQUALITY: HELD, MEASURED: MEASURED}[item.judged]
        assert claim.verdict == expected, (item.name, claim)
        assert [arm["seeds"] for arm in claim.arms] == [[0, 1, 2], [0, 1, 2]]
        assert [arm["name"] for arm in claim.arms] == [item.lower, item.higher]
        low, high = claim.interval
        assert low <= claim.difference <= high and len(claim.seed_differences) == 3
        assert claim.quantity == item.quantity.name
        if item.judged == DIFFERENCE:
            assert claim.adjusted_p_value >= claim.p_value and claim.smallest == item.quantity.smallest
    gap = claims["flowpp", "gap_variational_below_uniform"]
    np.testing.assert_allclose(gap.difference, 0.03 if as_claimed else -0.03, rtol=1e-3)
    assert claims["vflow", "channels_6_below_3_at_all_stages"].image_error is None


def test_degrees_of_freedom_are_those_of_the_arms_of_the_same_data(studied):
    claims = {claim.name: claim for claim in judge_all(studied[0])}
    # Of three seeds. Glow has seven arms; MaCow ten, and Glow's; AGAVE ten, of which the PixelCNN++ has no terms.
    assert claims["invertible_below_reverse_affine"].degrees_of_freedom == 6 * 2
    assert claims["org_below_glow"].degrees_of_freedom == 10 * 2
    assert claims["kl_falls_with_lambda"].degrees_of_freedom == 9 * 2
    assert claims["agave_equals_pixelcnn"].degrees_of_freedom == 10 * 2
    assert claims["around_glow"].degrees_of_freedom == 6 * 2
    assert claims["var_below_fine_grained_5bit"].degrees_of_freedom == 2 * 2
    assert claims["gap_6_below_3"].degrees_of_freedom == 2


def test_what_has_not_been_run_says_so_and_counts_in_the_family(tmp_path):
    assert {claim.verdict for claim in judge_all(tmp_path) if claim.protocol == PROTOCOL} == {NOT_RUN}
    for run in study.VERDICT_RUNS:
        if run.paper == "flowpp":
            leave_run(run, tmp_path, 5.0 + 0.1 * (run.experiment != "study_full"))
    claims = {claim.name: claim for claim in judge_paper(PAPERS["flowpp"].COMPARISONS, second_study(tmp_path))}
    assert claims["flowpp_below_glow"].note == "missing: glow study_invertible_affine seed 0, 1, 2"
    judged = [claim for claim in claims.values() if claim.verdict == HELD]
    assert len(judged) == 4
    # Five comparisons are the family beside it, so that its coming in cannot take a verdict away.
    smallest = min(judged, key=lambda claim: claim.p_value)
    np.testing.assert_allclose(smallest.adjusted_p_value, 6 * smallest.p_value, rtol=1e-6)


def test_arms_that_are_missing_or_diverged_are_left_out_of_the_group(tmp_path):
    for run in study.VERDICT_RUNS:
        if run.paper == "vflow" and run != ArmRun("vflow", "study_4_channels", 1):
            leave_run(run, tmp_path, 5.0)
    keep_diverged(ArmRun("vflow", "study_4_channels", 1), "TrainingDiverged: it did.", 0.002, None, tmp_path)
    claims = {claim.name: claim for claim in judge_paper(PAPERS["vflow"].COMPARISONS, second_study(tmp_path))}
    assert claims["channels_4_below_3"].note == "missing: vflow study_4_channels seed 1 (diverged)"
    assert claims["channels_6_below_3"].degrees_of_freedom == 4 * 2  # of six arms five are left
    assert claims["smaller_equals_3"].verdict == HELD and claims["gap_6_below_3"].verdict == UNDECIDED
    assert divergence_text(tmp_path).splitlines() == [
        "1 of 24 runs of the queue that have ended diverged: a loss or a result was not finite.",
        "- vflow study_4_channels seed 1 at a rate of 0.002: TrainingDiverged: it did.",
    ]


def test_a_run_at_another_rate_than_the_chosen_one_is_refused(tmp_path):
    run = next(run for run in study.VERDICT_RUNS if run.paper == "glow")
    leave_run(run, tmp_path, 5.0, overrides={"learning_rate": 0.002})
    (tmp_path / "claims" / "rates.json").write_text('{"glow": {"learning_rate": 0.001}}')
    with pytest.raises(ValueError, match=r"trained at 0\.002, and the rate chosen for glow is 0\.001"):
        second_study(tmp_path)


def test_a_gap_needs_measured_training_images(tmp_path):
    for run in study.VERDICT_RUNS:
        if run.paper == "flowpp":
            leave_run(run, tmp_path, 5.0)
            per_image.path_of(run, tmp_path, per_image.TRAIN).unlink()
    with pytest.raises(ValueError, match=r"study_gap_full: .*evaluate_train"):
        judge_paper(PAPERS["flowpp"].COMPARISONS, second_study(tmp_path))


def test_the_first_study_stands_until_its_claims_are_run_again(tmp_path, monkeypatch, capsys):
    levels = {name: 5.0 + 0.1 * number for number, name in enumerate(GLOW_ARMS)}
    for run in ARMS:
        if run.experiment in levels:
            leave_run(run, tmp_path, levels[run.experiment], directory="obtained")
    monkeypatch.setattr("sys.argv", ["judge.py", f"--results={tmp_path}", "--paper=glow"])
    main()
    counts = sum(item.paper == "glow" for item in measured.COUNTED)
    tested = [item for item in glow.COMPARISONS if item.higher_paper != "realnvp"]  # there was no RealNVP yet
    assert len(capsys.readouterr().out.splitlines()) == len(glow.COMPARISONS) + len(tested) + counts
    claims = {claim.name: claim for claim in load_claims(tmp_path / "claims")}
    for item in tested:
        claim = claims[f"{item.name}{first_study.SUFFIX}"]
        difference = levels[item.higher.replace("study", "claims")] - levels[item.lower.replace("study", "claims")]
        np.testing.assert_allclose(claim.difference, difference, atol=1e-3)
        assert (claim.verdict, claim.protocol) == (HELD if difference > 0 else REVERSED, FIRST_PROTOCOL)
        assert (claims[item.name].verdict, claims[item.name].protocol) == (NOT_RUN, PROTOCOL)
    for run in study.VERDICT_RUNS:
        if run.paper == "glow":
            leave_run(run, tmp_path, 5.0)
    main()
    assert {claim.protocol for claim in load_claims(tmp_path / "claims")} == {PROTOCOL, measured.COUNTS}


def test_verdicts_of_the_first_study_do_not_depend_on_what_has_been_run_again(tmp_path):
    rng = np.random.default_rng(0)
    for run in ARMS:
        if run.paper == "vflow":
            leave_run(run, tmp_path, 5.0 + 0.02 * rng.standard_normal(), directory="obtained")
    before = {claim.name: claim for claim in judge_all(tmp_path, ["vflow"]) if claim.protocol == FIRST_PROTOCOL}
    for run in study.VERDICT_RUNS:
        if run.paper == "vflow" and "gap" not in run.experiment:
            leave_run(run, tmp_path, 5.0)
    after = {claim.name: claim for claim in judge_all(tmp_path, ["vflow"]) if claim.protocol == FIRST_PROTOCOL}
    assert 0 < len(after) < len(before) and "gap_6_below_3_first_study" in after
    assert all(before[name] == claim for name, claim in after.items())


def test_claims_of_before_are_removed_and_costs_stay(tmp_path):
    for name in ("of_before", "cost_of_lu"):
        path = tmp_path / "claims" / "glow" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    write_all(judge_all(tmp_path, ["glow"]), tmp_path)
    names = {path.stem for path in (tmp_path / "claims" / "glow").iterdir()}
    assert "of_before" not in names and {item.name for item in glow.COMPARISONS} | {"cost_of_lu"} <= names


def test_arms_of_two_papers_must_share_a_recipe():
    assert [item.name for item in COMPARISONS if differing_recipe(item.sides)] == []
    differing = {
        item.name.removesuffix(first_study.SUFFIX): differing_recipe(item.sides) for item, _ in first_study.COMPARISONS
    }
    assert differing["flowpp_below_glow"] == ["ema_decay", "dropout_rate", "learning_rate"]
    assert differing["vflow_below_flowpp"] == ["holdout", "learning_rate"]
    assert differing["org_below_glow"] == []  # 1e-3 both
    assert differing["channels_6_below_3"] == []


def test_cross_paper_claims_of_differing_recipes_get_no_verdict(tmp_path):
    for run in ARMS:
        if run.paper in ("flowpp", "glow"):
            leave_run(run, tmp_path, 5.0 + 0.5 * (run.paper == "glow"), directory="obtained")
    claim = next(claim for claim in judge_all(tmp_path, ["flowpp"]) if claim.name.startswith("flowpp_below_glow_"))
    assert claim.verdict == NOT_COMPARABLE and claim.adjusted_p_value is None
    np.testing.assert_allclose(claim.difference, 0.5, atol=1e-3)
    assert claim.note == "recipes differ: ema_decay, dropout_rate, learning_rate"


@pytest.mark.parametrize(
    ("groups", "runs"),
    [(study.GROUPS, study.VERDICT_RUNS), (first_study.GROUPS, [run for run in ARMS if run.seed == 1])],
)
def test_groups_are_arms_of_the_study_with_the_same_seeds(groups, runs):
    planned = {}
    for run in runs:
        planned.setdefault((run.paper, run.experiment), []).append(run.seed)
    grouped = [side for group in groups for side in group]
    assert len(set(grouped)) == len(grouped) and set(grouped) <= set(planned)
    for group in groups:
        assert len({tuple(planned[side]) for side in group}) == 1
        assert len({"5bit" in experiment for _, experiment in group}) == 1


def test_names_are_unique():
    items = [*COMPARISONS, *glow.COSTS, *(item for item, _ in first_study.COMPARISONS)]
    names = [(item.paper, item.name) for item in items]
    assert len(set(names)) == len(names)
