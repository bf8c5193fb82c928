"""The generated page of a paper: expected and obtained values, baselines, records, curves."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from reproductions.reporting.expected import (
    BITS_PER_DIM,
    Expected,
    cited_elsewhere,
    compare,
    format_gap,
    format_train,
    format_value,
)
from reproductions.reporting.figures import FigureData
from reproductions.reporting.markdown import lines_table, page
from reproductions.reporting.provenance import hardware_text, short_commit
from reproductions.reporting.records import Record
from tfflows.evaluation.latent_terms import QUANTITIES, SAMPLE_DISTANCE
from tfflows.extras import require

if TYPE_CHECKING:
    import pandas as pd

_NO_RECORD = "not run"


def paper_page(
    paper: Any,
    papers: "pd.DataFrame",
    expected: Sequence[Expected],
    records: Sequence[Record],
    figures: Sequence[FigureData],
) -> str:
    """Returns the page of one paper.

    Args:
      paper: The paper's row of `papers`.
      papers: Frame with the columns paper, title and reference.
      expected: Rows of expected.csv for all papers.
      records: Obtained records of all papers.
      figures: Figures of all papers.
    """
    rows = [row for row in expected if row.paper == paper.paper]
    own = [row for row in rows if row.own and row.metric == BITS_PER_DIM]
    elsewhere = cited_elsewhere(expected, paper.paper)
    records = [record for record in records if record.paper == paper.paper]
    titles = dict(zip(papers.paper, papers.title, strict=True))
    sections = [
        ("Expected and obtained", _comparison_table([*own, *elsewhere], records, paper, titles)),
        ("Compared with other models", _baselines_table([*rows, *elsewhere], records, titles)),
        ("Other numbers in the paper", _other_numbers_table(rows)),
    ]
    plain = [record for record in records if record.is_plain]
    if plain:
        sections.append(("Means over seeds", _seeds_table(plain)))
        sections.append(("Records", _records_table(plain)))
    if any(record.terms for record in plain):
        sections.append(("Terms of the bound", _terms_table([record for record in plain if record.terms])))
    if len(plain) < len(records):
        others = [record for record in records if not record.is_plain and record.trained_on is None]
        if others:
            sections.append(("With more noise draws per image, or on fewer images", _bounds_table(others)))
    elsewhere_measured = [record for record in records if record.trained_on is not None]
    if elsewhere_measured:
        sections.append(("On other images than those of the training", _elsewhere_table(elsewhere_measured)))
    shown = [figure for figure in figures if figure.paper == paper.paper]
    if shown:
        sections.append(("Curves", "\n\n".join(f"![{item.title}]({item.file})" for item in shown)))
    return page(f"{paper.title} ({paper.reference})", sections)


def _comparison_table(rows, records, paper, titles) -> str:
    """One line per record of an expected row, or one line that says that it was not run."""
    lines = []
    for row in rows:
        cited = row.paper != paper.paper
        line = {
            "Experiment": row.experiment,
            "Data set": row.dataset,
            "Model": row.model,
            "Paper, bits/dim": row.printed,
            "Source": f"{titles[row.paper]}, {row.source}" if cited else row.source,
        }
        matching = [
            record
            for record in records
            if (record.experiment, record.metric, record.dataset) == (row.experiment, row.metric, row.dataset)
            and record.evaluation_images is None
            and record.trained_on is None
        ]
        if not matching:
            lines.append(line | {"Obtained": _NO_RECORD})
        for record in matching:
            comparison = compare(record, row)
            lines.append(
                line
                | {
                    "Obtained": format_value(record.value, record.standard_error if record.num_images > 1 else None),
                    **_samples_cell(record),
                    "Difference": f"{comparison.difference:+.4f}",
                    "Verdict": comparison.verdict,
                    "Steps": record.steps,
                    "Parameters": record.parameters,
                }
            )
    return lines_table(lines)


def _baselines_table(rows, records, titles) -> str:
    """Models against data sets: cited values, the paper's own, then those obtained here."""
    rows = [row for row in rows if row.metric == BITS_PER_DIM]
    papers = {row.paper for row in rows if row.own}
    cells = []
    for row in sorted(rows, key=lambda row: row.own):
        name = f"{row.model} (this paper)" if row.own else row.model
        if row.paper not in papers:
            name += f" (printed by {titles[row.paper]})"
        cells.append((name, row.dataset, row.printed))
    datasets = list(dict.fromkeys(row.dataset for row in rows))
    for record in records:
        whole = record.evaluation_images is None and record.trained_on is None
        if record.metric == BITS_PER_DIM and record.dataset in datasets and whole:
            name = f"tfflows, {record.experiment}, scale {record.scale}"
            if record.overrides:
                name += f", {_overrides(record)}"
            if record.importance is not None:
                name += f", {record.importance['samples']:,} importance samples"
            cells.append((name, record.dataset, f"{record.value:.3f}"))
    # A model may appear in two tables of a paper, and an experiment may have run with several seeds.
    table: dict[str, dict[str, list[str]]] = {}
    for model, dataset, text in cells:
        found = table.setdefault(model, {}).setdefault(dataset, [])
        if text not in found:
            found.append(text)
    lines = [
        {"Model": model} | {name: ", ".join(values.get(name, [])) for name in datasets}
        for model, values in table.items()
    ]
    return lines_table(lines)


def _other_numbers_table(rows) -> str:
    lines = [
        {
            "Model": row.model,
            "Data set": row.dataset,
            "Metric": row.metric,
            "Value": row.printed,
            "Source": row.source,
            "Note": row.note.partition(";")[2].strip(),
        }
        for row in rows
        if row.own and row.metric != BITS_PER_DIM
    ]
    return lines_table(lines) if lines else "None."


def _terms_table(records) -> str:
    """Information in the latents and its benefit for the pixels, averaged over runs that differ only in the seed."""
    groups = {}
    for record in records:
        key = {
            "Experiment": record.experiment,
            "Scale": record.scale,
            "Overrides": _overrides(record),
            "Data set": record.dataset,
            "Steps": record.steps,
        }
        groups.setdefault(tuple(key.items()), []).append(record)
    lines = []
    for key, runs in groups.items():
        kl, own, other, auxiliary = (np.mean([run.terms[name]["value"] for run in runs]) for name in QUANTITIES)
        distances = [run.terms[SAMPLE_DISTANCE]["value"] for run in runs if SAMPLE_DISTANCE in run.terms]
        lines.append(
            dict(key)
            | {
                "Seeds": len(runs),
                "KL, nats": f"{kl:.1f}",
                "Pixels, bits/dim": f"{own:.4f}",
                "Given another image's latents": f"{other:.4f}",
                "Lost": f"{other - own:+.4f}",
                "Auxiliary image, bits/dim": f"{auxiliary:.4f}",
                **({"Samples to reconstructions": f"{np.mean(distances):.4f}"} if distances else {}),
            }
        )
    return lines_table(lines)


def _seeds_table(records) -> str:
    """Mean and standard deviation over runs that differ only in the seed."""
    frame = require("pandas", "reproductions").DataFrame(
        {
            "Experiment": record.experiment,
            "Scale": record.scale,
            "Overrides": _overrides(record),
            "Data set": record.dataset,
            "Split": record.split,
            "Metric": record.metric,
            "Steps": record.steps,
            "Selected": record.select,
            "Parameters": record.parameters,
            "value": record.value,
        }
        for record in records
    )
    keys = list(frame.columns[:-1])
    lines = []
    for group, runs in frame.groupby(keys, sort=False):
        lines.append(
            dict(zip(keys, group, strict=True))
            | {
                "Seeds": len(runs),
                "Mean": f"{runs.value.mean():.4f}",
                "Standard deviation": f"{runs.value.std():.4f}" if len(runs) > 1 else "",
            }
        )
    return lines_table(lines)


def _records_table(records) -> str:
    lines = [
        {
            "Experiment": record.experiment,
            "Scale": record.scale,
            "Overrides": _overrides(record),
            "Data set": f"{record.dataset} {record.split}",
            "Metric": record.metric,
            "Value": format_value(record.value, record.standard_error if record.num_images > 1 else None),
            "Images": record.num_images,
            **_train_cells(record),
            "Steps": record.steps,
            "Batch": record.batch_size,
            "Seed": record.seed,
            "Selected": record.select,
            "Hours": f"{record.hours:.2f}",
            "Hardware": hardware_text(record.hardware),
            "TensorFlow": record.versions.get("tensorflow", ""),
            "Commit": short_commit(record.commit),
        }
        for record in records
    ]
    return lines_table(lines)


def _elsewhere_table(records) -> str:
    """One line per record of a model on another data set than its own."""
    lines = [
        {
            "Experiment": record.experiment,
            "Trained on": record.trained_on,
            "Measured on": _measured_on(record),
            "Images": f"{record.num_images:,}",
            "Obtained, bits/dim": format_value(record.value, record.standard_error if record.num_images > 1 else None),
        }
        for record in records
    ]
    return lines_table(lines)


def _measured_on(record):
    """Name of the images of a record, and how they were brought to the model's size."""
    how = record.preparation
    return (
        record.dataset
        if how is None or how["resize"] == "none"
        else "{} ({resize} to {image_size})".format(record.dataset, **how)
    )


def _bounds_table(records) -> str:
    """Importance-weighted bounds with both standard errors, and bounds on the first images of a split."""
    lines = []
    for record in sorted(records, key=lambda record: (record.experiment, record.seed, -record.num_images)):
        importance = record.importance or {}
        line = {
            "Experiment": record.experiment,
            "Scale": record.scale,
            "Overrides": _overrides(record),
            "Data set": f"{record.dataset} {record.split}",
            "Steps": record.steps,
            "Seed": record.seed,
            "Images": record.num_images,
            "Samples per image": importance.get("samples", 1),
            "Bits/dim, ± over images": format_value(
                record.value, record.standard_error if record.num_images > 1 else None
            ),
        }
        if importance:
            line["± over noise"] = f"{importance['noise_standard_error']:.4f}"
            line["Single draws, ± over images"] = format_value(importance["elbo"], importance["elbo_standard_error"])
            line["Effective samples (median)"] = f"{importance['effective_samples']:.1f}"
        line["Commit"] = short_commit(record.commit)
        lines.append(line)
    return lines_table(lines)


def _samples_cell(record) -> dict[str, int]:
    """One more column if a record has several noise draws per image."""
    return {} if record.importance is None else {"Samples per image": record.importance["samples"]}


def _train_cells(record) -> dict[str, str]:
    """Two more columns if training images were evaluated."""
    if record.train is None:
        return {}
    return {
        "Training images": format_train(record.train),
        "Gap": format_gap(record.train),
    }


def _overrides(record: Record) -> str:
    return ", ".join(f"{name}={record.overrides[name]}" for name in sorted(record.overrides))
