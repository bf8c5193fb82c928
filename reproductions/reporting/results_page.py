"""The one page of the results: a table a paper, claims, figures, models and pictures; and what the root README shows of it."""

import pathlib
import shlex
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reproductions.reporting.claims import NOT_RUN as CLAIM_NOT_RUN
from reproductions.reporting.claims import Claim
from reproductions.reporting.claims_page import PROTOCOLS, counts_of_verdicts, short_table
from reproductions.reporting.expected import (
    BETTER,
    BITS_PER_DIM,
    OUTSIDE,
    WITHIN,
    Expected,
    cited_elsewhere,
    compare,
    find_expected_of,
)
from reproductions.reporting.figures import FigureData
from reproductions.reporting.markdown import lines_table, page
from reproductions.reporting.provenance import hardware_text
from reproductions.reporting.records import Record
from reproductions.reporting.rule import HELD, REVERSED, UNDECIDED
from reproductions.reporting.sweeps import SweepFigure

if TYPE_CHECKING:
    import pandas as pd

    from tfflows.models.catalog import ModelEntry

NOT_RUN = "not run"
_CLAIMS_SCALE = "claims"
# Flags that say where files are on one machine.
_PLACES = ("--workdir", "--data_dir", "--results_dir")

_INTRODUCTION = """What the papers print, and what runs obtained here. The papers' numbers come from
[`expected.csv`](../reproductions/published/expected.csv), ours from the records that the runs wrote ([`obtained`](obtained),
[`models`](models)). Values are bits/dim of all test images; several seeds give a mean ± their standard deviation.

Scale: `paper` is the published experiment, `small` has the same structure, sized for two CPU cores. **Only `paper` is comparable
with the paper's number**, with as many importance samples as the paper takes. Parameters of what has not run are those of the
published size. Cost is the wall-clock time of a run, on machines that may have done other work beside it; times that can be
compared are in [`benchmarks.md`](benchmarks.md)."""

_FILES = (
    ("../reproductions/published/expected.csv", "what the papers print, cited baselines included: the first six columns are as "
     "copied, digits and all; `experiment` names the reproduction's experiment that yields the number, `tolerance` how far ours "
     "may lie from it, `importance_samples` how many noise draws per image it takes, if the paper names any"),
    ("../reproductions/published/parameters.csv", "parameter counts of the authors' released models, whole and in parts"),
    ("../reproductions/published/papers.csv", "names of the papers"),
    ("unverified.csv", "statements about the papers that were not checked at their source"),
    ("figures.csv", "which curves stand together in which figure"),
    ("benchmarks.csv", "which paper's costs a topic of the benchmarks is about; the order of `benchmarks.md`"),
    ("sweeps.csv", "which runs are the points of a figure of one setting varied"),
    ("obtained/<paper>/*.json", "what runs obtained, a record a file, written by the run; scale `claims` is the protocol of the "
     "claims study"),
    ("obtained/vflow/checkerboard/*.json", "records of VFlow's checkerboard study, a cell a file"),
    ("claims/<paper>/*.json", "verdicts of the claims study, written by it"),
    ("benchmarks/*.json", "what `make bench` measured, a topic a file"),
    ("compression/*.json", "what `tfflows bench-compression` measured, a model and a number of images a file"),
    ("models/*", "small trained models, for `tfflows.load`, each with its record"),
    ("pictures/*", "what trained models draw"),
    ("*.md, figures/", "generated, but for `pictures/README.md`"),
)  # fmt: skip


def results_page(
    papers: "pd.DataFrame",
    expected: Sequence[Expected],
    records: Sequence[Record],
    parameters: Mapping[tuple[str, str], int],
    claims: Sequence[Claim],
    figures: Sequence[FigureData | SweepFigure],
    models: Sequence["ModelEntry"],
    pictures: Sequence[str],
    studies: Sequence[str] = (),
) -> str:
    """Returns the page.

    Args:
      papers: Frame with the columns paper, title and reference.
      expected: Rows of expected.csv.
      records: Obtained records of all papers.
      parameters: Parameters of the published experiments, by paper and experiment.
      claims: Judged claims of all papers.
      figures: Figures of all papers.
      models: Trained models in the directory.
      pictures: Names of the pictures in its directory `pictures`.
      studies: Names of the pages of further studies.
    """
    sections = [("", _INTRODUCTION)]
    for paper in papers.itertuples():
        lines = paper_lines(paper, papers, expected, records, parameters)
        text = lines_table(lines) if lines else "The paper prints no bits/dim."
        sections.append(
            (f"{paper.title} ({paper.reference})", f"{text}\n\nAll records: [`{paper.paper}.md`]({paper.paper}.md).")
        )
    sections.append(("Claims", _claims_text(claims, papers)))
    shared = [figure for figure in figures if figure.has_arms]
    if shared:
        sections.append(("Figures", "\n\n".join(f"![{figure.title}]({figure.file})" for figure in shared)))
    sections.append(("Models", _models_text(models, papers)))
    sections.append(("Pictures", _pictures_text(models, pictures)))
    further = [f"[`{name}`]({name})" for name in studies]
    further += ["[costs](benchmarks.md)", "[parameter counts](parameters.md)", "[what is unverified](unverified.md)"]
    sections.append(("Other pages", f"{', '.join(further)}."))
    files = [{"file": f"`{name}`", "what": what} for name, what in _FILES]
    about = "Nobody edits a table or a record. A test fails when a table is stale, or a result at scale `paper` out of tolerance."
    sections.append(("Files", f"{about}\n\n{lines_table(files)}"))
    return page("Results", sections)


def paper_lines(
    paper: Any,
    papers: "pd.DataFrame",
    expected: Sequence[Expected],
    records: Sequence[Record],
    parameters: Mapping[tuple[str, str], int],
) -> list[dict[str, object]]:
    """Returns the rows of a paper: each printed number with what was obtained, then runs for which nothing is printed.

    A run on other images than the paper's is a row of its own, never beside the printed number.

    Args:
      paper: The paper's row of `papers`.
      papers: As in `results_page`.
      expected: As in `results_page`.
      records: As in `results_page`.
      parameters: As in `results_page`.
    """
    titles = dict(zip(papers.paper, papers.title, strict=True))
    own_rows = [row for row in expected if row.paper == paper.paper and row.own and row.metric == BITS_PER_DIM]
    printed: dict[str, Expected] = {}  # a number may stand in two tables of a paper
    for row in (*own_rows, *cited_elsewhere(expected, paper.paper)):
        printed.setdefault(row.experiment, row)
    groups: dict[tuple, list[Record]] = {}
    for record in records:
        whole = record.evaluation_images is None and record.trained_on is None
        if record.paper == paper.paper and record.metric == BITS_PER_DIM and record.scale != _CLAIMS_SCALE and whole:
            groups.setdefault(_group(record), []).append(record)
    matched = {key: find_expected_of(runs[0], expected) for key, runs in groups.items()}
    lines = []
    for row in printed.values():
        source = row.source if row.paper == paper.paper else f"{titles[row.paper]}, {row.source}"
        number = row.printed
        if row.importance_samples is not None:
            number += f" ({row.importance_samples:,} samples)"
        line = {"Experiment": row.experiment, "Data set": row.dataset, "Paper": number, "Source": source}
        own = [
            runs
            for key, runs in groups.items()
            if matched[key] is not None and matched[key].experiment == row.experiment
        ]
        own.sort(key=lambda runs: (runs[0].scale != "paper", runs[0].value))
        lines += [line | _obtained(runs, row) for runs in own]
        if not own:
            lines.append(
                line
                | {
                    "Obtained": NOT_RUN,
                    "Scale": "",
                    "Parameters": parameters.get((paper.paper, row.experiment), ""),
                    "Cost": "",
                    "Command": f"`python reproductions/{paper.paper}/run.py --experiment={row.experiment}`",
                }
            )
    for key, runs in groups.items():
        if matched[key] is None:
            lines.append(
                {"Experiment": runs[0].experiment, "Data set": runs[0].dataset, "Paper": "", "Source": ""}
                | _obtained(runs, None)
            )
    return lines


def readme_lines(
    papers: "pd.DataFrame",
    expected: Sequence[Expected],
    records: Sequence[Record],
    parameters: Mapping[tuple[str, str], int],
    claims: Sequence[Claim],
    models: Sequence["ModelEntry"],
) -> str:
    """Returns what the root README shows: a row a paper, and how many of its claims held.

    The row of a paper is its first printed number that has run, with the best value, or its first. Below the published size, the
    best model in the directory that was trained on the same images is shown instead, if there is one, those of the same
    experiment first.

    Args:
      papers: As in `results_page`.
      expected: As in `results_page`.
      records: As in `results_page`.
      parameters: As in `results_page`.
      claims: As in `results_page`.
      models: As in `results_page`.
    """
    shown = []
    for paper in papers.itertuples():
        lines = [line for line in paper_lines(paper, papers, expected, records, parameters) if line["Paper"]]
        if lines:
            line = next((line for line in lines if line["Obtained"] != NOT_RUN), lines[0])
            obtained, scale = line["Obtained"], line["Scale"].partition(":")[0]
            best = _best_model(models, paper.paper, line["Data set"], line["Experiment"])
            if best is not None and scale != "paper":
                obtained = f"{best.bits_per_dim:.3f} (`{best.name}`: {best.parameters:,} parameters)"
            elif obtained != NOT_RUN:
                obtained += f" (scale `{scale}`: {line['Parameters']:,} parameters, {line['Cost'].partition(',')[0]})"
            shown.append(
                {
                    "Paper": f"[{paper.title}](reproductions/{paper.paper}/README.md)",
                    "Experiment": f"`{line['Experiment']}`",
                    "Its bits/dim": line["Paper"],
                    "Obtained here": obtained,
                    "Claims held": _held_text([claim for claim in claims if claim.paper == paper.paper]),
                }
            )
    parts = [lines_table(shown)] if shown else ["The papers print no bits/dim."]
    sentence = "Every number, with its command: [`results/README.md`](results/README.md)."
    if claims:
        sentence = f"{sentence} Every claim: [`results/claims.md`](results/claims.md)."
    return "\n\n".join([*parts, sentence])


def _best_model(models, paper, dataset, experiment):
    """The model of a paper with the fewest bits/dim on a data set, of the experiment if there is one; None if there is none."""
    own = [entry for entry in models if (entry.paper, entry.dataset) == (paper, dataset)]
    return min(own, key=lambda entry: (entry.experiment != experiment, entry.bits_per_dim), default=None)


def _held_text(claims):
    """How many of a paper's claims held, of those that could."""
    judged = [claim for claim in claims if claim.verdict in (HELD, REVERSED, UNDECIDED)]
    missing = sum(claim.verdict == CLAIM_NOT_RUN for claim in claims)
    parts = [f"{sum(claim.verdict == HELD for claim in judged)} of {len(judged)}"] if judged else []
    return ", ".join(parts + ([f"{missing} not run"] if missing else []))


def shown_command(record: Record) -> str:
    """Returns the command of a record as it is typed in a checkout, without the places of one machine.

    Args:
      record: The record.
    """
    words = []
    skipped = False
    for word in shlex.split(record.command):
        if skipped:
            skipped = False
            continue
        if word.partition("=")[0] in _PLACES:
            skipped = "=" not in word
            continue
        before, folder, after = word.partition("reproductions/")
        words.append(f"{folder}{after}".replace("/__main__.py", "/run.py") if folder and before.endswith("/") else word)
    return shlex.join(words)


def _group(record):
    overrides = tuple(sorted((name, str(value)) for name, value in record.overrides.items()))
    samples = 1 if record.importance is None else record.importance["samples"]
    return record.experiment, record.dataset, record.scale, overrides, record.steps, record.select, samples


def _obtained(runs, printed):
    first = runs[0]
    values = [run.value for run in runs]
    value = f"{statistics.fmean(values):.3f}"
    if len(runs) > 1:
        value += f" ± {statistics.stdev(values):.3f} ({len(runs)} seeds)"
    if first.importance is not None:
        value += f" ({first.importance['samples']:,} samples)"
    settings = [
        f"{name}={first.overrides[name]}" for name in sorted(first.overrides) if name not in ("num_steps", "dataset")
    ]
    line = {
        "Obtained": value,
        "Scale": ", ".join([f"{first.scale}: {first.steps:,} steps of {first.batch_size}", *settings]),
        "Parameters": first.parameters,
        "Cost": f"{statistics.fmean(run.hours for run in runs):.2f} h, {hardware_text(first.hardware)}",
        "Command": f"`{shown_command(first)}`",
    }
    verdicts = {compare(run, printed).verdict for run in runs} if printed is not None else set()
    judged = sorted(verdicts & {WITHIN, BETTER, OUTSIDE})
    return line | ({"Verdict": ", ".join(judged)} if judged else {})


def _claims_text(claims, papers):
    if not claims:
        return "No claim has been studied yet."
    parts = [
        f"Whether the papers' claims hold at a size that two cores can train. {counts_of_verdicts(claims)} The rule, all claims "
        "and the arms behind them: [`claims.md`](claims.md). Effects with a sign are positive if they go as claimed.",
        PROTOCOLS,
    ]
    for paper in papers.itertuples():
        own = [claim for claim in claims if claim.paper == paper.paper]
        parts += [f"### Claims of {paper.title}", short_table(own)] if own else []
    return "\n\n".join(parts)


def _models_text(models, papers):
    if not models:
        return "There are none yet."
    titles = dict(zip(papers.paper, papers.title, strict=True))
    lines = [
        {
            "Model": f"`{entry.name}`",
            "Paper": titles.get(entry.paper, entry.paper),
            "Data set": entry.dataset,
            "Test bits/dim": f"{entry.bits_per_dim:.3f}",
            "Parameters": entry.parameters,
            "Steps": entry.steps,
        }
        for entry in models
    ]
    return f"Small models, for `tfflows.load(NAME)`; how they were trained is in their `record.json`.\n\n{lines_table(lines)}"


def _pictures_text(models, pictures):
    shown = [name for name in pictures if any(name.startswith(f"{entry.name}_") for entry in models)]
    parts = [f"![{pathlib.PurePath(name).stem}](pictures/{name})" for name in shown]
    return "\n\n".join(
        [*parts, "All pictures, with what they show and their commands: [`pictures`](pictures/README.md)."]
    )
