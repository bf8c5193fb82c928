"""Tables: generated from the data, and known to be stale when the data go on."""

import dataclasses
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from reproductions import tables
from reproductions.claims.outcomes import RECORDS
from reproductions.reporting.claims import Arm, Claim, write_claim
from reproductions.reporting.figures import collect_figures
from reproductions.reporting.markdown import markdown_table
from reproductions.reporting.readme_block import BEGIN, END
from reproductions.reporting.records import load_records, write_record
from reproductions.tables import build_tables, main, stale_files, write_tables
from tests.reproductions.conftest import IMPORTANCE
from tfflows.models.catalog import ModelEntry

CURVE = ((0, 8.0), (100, 5.0), (200, 4.0))


def section(page, heading):
    return page.partition(f"## {heading}\n\n")[2].partition("\n\n## ")[0]


def row(table, *cells):
    """The cells of the only row that begins with the given ones, by column."""
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("|")
    ]
    (found,) = [line for line in lines if tuple(line[: len(cells)]) == cells]
    return dict(zip(lines[0], found, strict=True))


def test_markdown_table():
    frame = pd.DataFrame({"name": ["a|b", None], "count": [1234567, 8], "x": [None, "1.5"]}, dtype=object)
    assert markdown_table(frame).splitlines() == [
        "| name | count | x |",
        "| --- | ---: | ---: |",
        "| a\\|b | 1,234,567 |  |",
        "|  | 8 | 1.5 |",
    ]


def test_expected_stands_beside_obtained(results, make_record):
    write_record(make_record(value=3.36), results / "obtained")
    write_record(make_record(value=4.1, scale="small"), results / "obtained")
    page = build_tables(results)["glow.md"]
    table = section(page, "Expected and obtained")
    assert "| cifar10 | cifar10 | Glow | 3.35 | table 2 | 3.3600 ± 0.0040 | +0.0100 | within |" in table
    assert "| 4.1000 ± 0.0040 | +0.7500 | not comparable (scale small) |" in table
    assert row(table, "imagenet32")["Obtained"] == "not run"
    faces = row(table, "celeba_hq")
    assert (faces["Paper, bits/dim"], faces["Source"]) == ("1.03", "MaCow, table 2")


def test_baselines_stand_beside_ours(results, make_record):
    write_record(make_record(value=4.1, scale="small"), results / "obtained")
    table = section(build_tables(results)["glow.md"], "Compared with other models")
    assert row(table, "RealNVP")["cifar10"] == "3.49"
    assert row(table, "Glow (this paper)")["cifar10"] == "3.35"
    assert row(table, "tfflows, cifar10, scale small")["cifar10"] == "4.100"


def test_records_and_their_mean_over_seeds(results, make_record):
    for seed, value in enumerate((4.0, 4.2)):
        record = make_record(
            value=value, seed=seed, scale="claims", dataset="cifar10_16", seconds_per_step=0.1 + 0.1 * seed
        )
        write_record(record, results / "obtained")
    page = build_tables(results)["glow.md"]
    means = row(section(page, "Means over seeds"), "cifar10", "claims")
    assert (means["Seeds"], means["Mean"], means["Standard deviation"]) == ("2", "4.1000", "0.1414")
    assert not any("econds" in column for column in means)  # those of a machine that did other work are not printed
    records = section(page, "Records")
    assert "2 x GPU A" in records and "0123456789-dirty" in records
    # Another data set than the paper's.
    assert row(section(page, "Expected and obtained"), "cifar10")["Obtained"] == "not run"


def test_importance_weighted_bounds_have_a_table_of_their_own(results, make_record):
    shared = {"importance": IMPORTANCE, "scale": "small"}
    write_record(make_record(value=4.1, scale="small"), results / "obtained")
    write_record(make_record(value=4.0, num_images=100, evaluation_images=100, **shared), results / "obtained")
    page = build_tables(results)["glow.md"]
    table = section(page, "With more noise draws per image, or on fewer images")
    bound = row(table, "cifar10", "small")
    assert (bound["Images"], bound["Samples per image"], bound["± over noise"]) == ("100", "64", "0.0007")
    assert bound["Bits/dim, ± over images"] == "4.0000 ± 0.0040"
    assert bound["Single draws, ± over images"] == "3.3600 ± 0.0050"
    assert "4.0000" not in page.replace(table, "")
    # Of the whole split it is comparable with what the paper prints.
    write_record(make_record(value=4.05, **shared), results / "obtained")
    page = build_tables(results)["glow.md"]
    assert "| 4.0500 ± 0.0040 |" in section(page, "Expected and obtained")
    beside = row(section(page, "Compared with other models"), "tfflows, cifar10, scale small, 64 importance samples")
    assert beside["cifar10"] == "4.050"
    assert row(section(page, "Means over seeds"), "cifar10", "small")["Mean"] == "4.1000"


def test_the_one_page_has_each_number_with_what_has_run(results, make_record):
    write_record(make_record(value=4.1, scale="small", seed=1), results / "obtained")
    write_record(
        make_record(
            value=4.2, scale="small", command="python /far/reproductions/glow/__main__.py --scale=small --workdir=w"
        ),
        results / "obtained",
    )
    write_record(make_record(value=3.36, hours=100.0), results / "obtained")
    write_record(make_record(value=5.0, scale="claims", dataset="cifar10_16"), results / "obtained")
    page = build_tables(results)["README.md"]
    table = section(page, "Glow (arXiv:1807.03039)").partition("\n\n")[0]
    lines = [line for line in table.splitlines() if line.startswith("| cifar10 |")]
    assert [line.split(" | ")[4] for line in lines] == ["3.360", "4.150 ± 0.071 (2 seeds)"] and "5.000" not in page
    cells = row(table, "cifar10", "cifar10", "3.35", "table 2", "3.360")
    assert (cells["Verdict"], cells["Scale"], cells["Cost"]) == (
        "within",
        "paper: 1,000 steps of 512",
        "100.00 h, 2 x GPU A",
    )
    small = row(table, "cifar10", "cifar10", "3.35", "table 2", "4.150 ± 0.071 (2 seeds)")
    assert (small["Verdict"], small["Command"]) == ("", "`python reproductions/glow/run.py --scale=small`")
    missing = row(table, "imagenet64")
    assert (missing["Paper"], missing["Obtained"], missing["Parameters"]) == ("3.81", "not run", "112,377,540")
    assert missing["Command"] == "`python reproductions/glow/run.py --experiment=imagenet64`"
    assert row(section(page, "VFlow (arXiv:2002.09741)"), "imagenet32")["Paper"] == "3.83 (1,024 samples)"


def test_a_run_on_other_images_stands_beside_no_printed_number(results, make_record):
    """Nor does one that was trained on others, or measured on some of the images."""
    own = {"scale": "small", "dataset": "folder-kodak64", "overrides": {"dataset": "folder:kodak64"}}
    write_record(make_record(experiment="imagenet64", value=3.1, **own), results / "obtained")
    write_record(make_record(value=3.2, trained_on="imagenet32"), results / "obtained")
    write_record(make_record(value=3.3, evaluation_images=7, num_images=7), results / "obtained")
    (results.parent / "README.md").write_text(f"{BEGIN}\n{END}\n")
    pages = build_tables(results)
    table = section(pages["README.md"], "Glow (arXiv:1807.03039)")
    assert row(table, "imagenet64", "imagenet64")["Obtained"] == "not run"
    other = row(table, "imagenet64", "folder-kodak64")
    assert (other["Paper"], other["Obtained"]) == ("", "3.100") and other["Scale"] == "small: 1,000 steps of 512"
    assert row(table, "cifar10")["Obtained"] == "not run"
    assert all(value not in pages["../README.md"] for value in ("3.100", "3.200", "3.300"))
    for heading in ("Expected and obtained", "Compared with other models"):
        printed = section(pages["glow.md"], heading)
        assert all(value not in printed for value in ("3.100", "3.200", "3.300"))


def test_the_readme_shows_twelve_lines_at_most(results, make_record):
    readme = results.parent / "README.md"
    readme.write_text(f"# Title\n\n{BEGIN}\nold\n{END}\nrest\n")
    write_record(make_record(value=4.1, scale="small"), results / "obtained")
    write_tables(results)
    before, _, block = readme.read_text().partition(BEGIN)
    block, _, after = block.partition(END)
    assert (before, after) == ("# Title\n\n", "\nrest\n")
    assert len(block.strip().splitlines()) <= 12
    found = row(block.strip(), "[Glow](reproductions/glow/README.md)")
    assert (found["Its bits/dim"], found["Claims held"]) == ("3.35", "")
    assert found["Obtained here"].startswith("4.100 (scale `small`: 44,603,604 parameters, ")
    assert row(block.strip(), "[VFlow](reproductions/vflow/README.md)")["Obtained here"] == "not run"
    assert stale_files(results) == []


@pytest.mark.parametrize(
    ("scale", "experiment", "shown"),
    [
        ("small", "cifar10_other", "4.000 (`glow_b`: 9 parameters)"),
        ("small", "cifar10", "4.050 (`glow_a`: 9 parameters)"),
        ("paper", "cifar10", "3.360 (scale `paper`"),
    ],
)
def test_the_readme_shows_the_best_small_model(results, make_record, monkeypatch, scale, experiment, shown):
    """Of the paper and the data set, the experiment of the row first, unless a run has the published size."""
    value = {"small": 4.1, "paper": 3.36}[scale]
    write_record(make_record(value=value, scale=scale), results / "obtained")
    (results.parent / "README.md").write_text(f"{BEGIN}\n{END}\n")
    models = [
        ModelEntry(name, paper, own, dataset, bits, 0.01, 9, 1, results)
        for name, paper, own, dataset, bits in (
            ("glow_a", "glow", experiment, "cifar10", 4.05),
            ("glow_b", "glow", "cifar10_another", "cifar10", 4.0),
            ("glow_c", "glow", "cifar10", "folder:x", 3.0),
            ("vflow_d", "vflow", "cifar10", "cifar10", 3.9),
        )
    ]
    monkeypatch.setattr(tables, "list_models", lambda directory: models)
    monkeypatch.setattr(tables, "load_dataclass", lambda kind, path: make_record(experiment="else", scale="small"))
    readme = build_tables(results)["../README.md"]
    assert row(readme, "[Glow](reproductions/glow/README.md)")["Obtained here"].startswith(shown)


def test_claims_page(results):
    images = np.linspace(3.0, 4.0, 50)
    arms = [Arm(name, {0: images + shift}, {0: 0.1}, 7) for name, shift in (("a", 0.0), ("b", 0.25))]
    text = {"paper_effect": "0.127", "commit": None, "date": "2026-01-02", "quantity": "test bits/dim"}
    claim = Claim(
        paper="glow",
        name="a_lower",
        claim="a < b",
        protocol="second study",
        arms=tuple(arm.summary() for arm in arms),
        difference=0.25,
        standard_error=0.01,
        seed_differences=(0.24, 0.26),
        verdict="held",
        interval=(0.2, 0.3),
        p_value=0.000005,
        adjusted_p_value=0.00001,
        smallest=0.01,
        **text,
    )
    missing = {"difference": None, "standard_error": None, "seed_differences": (), "interval": None, "arms": ()}
    missing |= {
        "verdict": "not run",
        "note": "missing: glow c seed 0",
        "adjusted_p_value": None,
        "p_value": None,
        "smallest": None,
    }
    for changes in ({}, {"name": "c_lower", "claim": "c < b", **missing}):
        write_claim(dataclasses.replace(claim, **changes), results / "claims")
    page = build_tables(results)["claims.md"]
    assert "Second study: 1 held, 1 not run." in page
    table = section(page, "Glow")
    assert table.startswith("**Second study**")
    table = table[table.index("|") :]
    line = row(table, "a < b")
    assert (line["Verdict"], line["Paper"], line["n"]) == ("held", "0.127", "2")
    assert (line["Effect"], line["95% interval"], line["Adjusted p"]) == ("+0.2500", "+0.2000 to +0.3000", "<0.0001")
    assert line["Quantity"] == "test bits/dim; from 0.01"
    assert row(section(page, "Arms of Glow"), "second study", "b")["Bits/dim"] == "3.7500"
    line = row(table, "c < b")
    assert (line["Verdict"], line["Effect"], line["95% interval"]) == ("not run", "", "")
    (results.parent / "README.md").write_text(f"{BEGIN}\n{END}\n")
    others = [("d_lower", "undecided"), ("e_lower", "reversed"), ("f_lower", "measured")]
    for name, verdict in others:
        write_claim(dataclasses.replace(claim, name=name, verdict=verdict), results / "claims")
    readme = build_tables(results)["../README.md"]
    assert row(readme, "[Glow](reproductions/glow/README.md)")["Claims held"] == "1 of 3, 1 not run"


def test_arms_share_a_figure_and_other_curves_have_their_own(results, make_record):
    arm = {"experiment": "claims_reverse_affine", "dataset": "cifar10_16", "scale": "claims"}
    for changes in ({**arm, "seed": 0}, {**arm, "seed": 1}, {"scale": "small"}):
        write_record(make_record(curve=CURVE, **changes), results / "obtained")
    write_tables(results)
    names = {path.name for path in (results / "figures").iterdir()}
    assert names == {"glow_ablation.png", "glow-cifar10-small-seed0-test-bits_per_dim.png"}
    page = (results / "glow.md").read_text()
    assert all(f"(figures/{name})" in page for name in names)


def test_arms_of_the_second_study_are_drawn_where_a_row_asks(results, make_record):
    """Their rate was chosen and stands in the record; other records with overrides are other experiments."""
    arm = {"dataset": "cifar10_16", "scale": "claims", "overrides": {"learning_rate": 0.002}, "curve": CURVE}
    for experiment in ("study_reverse_additive", "study_shuffle_affine", "study_rate_0.002"):
        write_record(make_record(experiment=experiment, **arm), results / RECORDS)
    write_tables(results)
    assert [path.name for path in (results / "figures").iterdir()] == ["study_glow_ablation.png"]


def test_tables_are_stale_after_another_record(results, make_record, capsys):
    assert set(stale_files(results)) >= {"glow.md", "claims.md", "parameters.md"}  # none written yet
    assert main([str(results)]) == 0
    assert main([str(results), "--check"]) == 0
    write_record(make_record(), results / "obtained")
    assert stale_files(results) == ["glow.md", "README.md"]
    assert main([str(results), "--check"]) == 1
    assert "glow.md" in capsys.readouterr().err
    assert main([str(results)]) == 0 and stale_files(results) == []


@pytest.mark.parametrize("damage", ["edit", "remove figure"])
def test_a_change_by_hand_is_stale(results, make_record, damage):
    write_record(make_record(curve=CURVE), results / "obtained")
    write_tables(results)
    if damage == "edit":
        page = results / "glow.md"
        page.write_text(page.read_text().replace("3.3550", "3.3499"))
        assert stale_files(results) == ["glow.md"]
    else:
        (figure,) = (results / "figures").iterdir()
        figure.unlink()
        assert stale_files(results) == [f"figures/{figure.name}"]


def flowpp_arm(make_record, experiment, seed, **changes):
    changes = {"paper": "flowpp", "dataset": "cifar10_16", "scale": "claims", "curve": CURVE, **changes}
    return make_record(experiment=experiment, seed=seed, **changes)


def test_a_figure_of_training_and_test_curves(results, make_record):
    lower = tuple((step, value - 0.5) for step, value in CURVE)
    for seed in (0, 1):
        record = flowpp_arm(make_record, "claims_gap_full", seed, train_curve=lower)
        write_record(record, results / "obtained")
        # A record of before there were training curves.
        write_record(flowpp_arm(make_record, "claims_gap_uniform_dequantization", seed), results / "obtained")
    (figure,) = collect_figures(results, load_records(results / "obtained"))
    assert figure.file == "figures/flowpp_gap.png"
    assert figure.panels == {
        "": {"variational dequantization": [CURVE, CURVE], "uniform dequantization": [CURVE, CURVE]}
    }
    assert figure.train_panels == {"": {"variational dequantization": [lower, lower]}}
    path = figure.draw(results)
    with_training = path.read_bytes()
    assert figure.draw(results).read_bytes() == with_training
    assert dataclasses.replace(figure, train_panels={}).draw(results).read_bytes() != with_training


def test_an_unknown_kind_of_curves_is_refused(results):
    path = results / "figures.csv"
    path.write_text(path.read_text().replace("train_and_test", "both"))
    with pytest.raises(ValueError, match="curves must be test or train_and_test, not 'both'"):
        collect_figures(results, ())


def test_training_images_and_the_gap_stand_beside_the_record(results, make_record):
    train = {"value": 3.3, "standard_error": 0.01, "num_images": 50, "gap": 0.055, "gap_standard_error": 0.02}
    write_record(make_record(seed=1, train=train), results / "obtained")
    write_record(make_record(), results / "obtained")
    page = build_tables(results)["glow.md"]
    lines = [line for line in section(page, "Records").splitlines() if "| 3.3550 ± 0.0040 |" in line]
    assert [("3.3000 ± 0.0100" in line, "+0.0550 ± 0.0200" in line) for line in lines] == [(False,) * 2, (True,) * 2]
    (results / "obtained" / "glow" / "cifar10-paper-seed1-test-bits_per_dim.json").unlink()
    assert "Gap" not in build_tables(results)["glow.md"]


def test_tables_and_the_shipped_models_import_no_tensorflow():
    """Tables need none, and `make demo` silences its start before it is imported."""
    code = "import sys, reproductions.tables, reproductions.shipped; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
