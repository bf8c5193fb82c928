"""The generated page of a study of log-likelihoods: a grid of steps and dimensions, and each model beside the printed value."""

from collections.abc import Sequence

from reproductions.reporting.expected import Expected
from reproductions.reporting.markdown import lines_table, page
from reproductions.reporting.provenance import short_commit
from reproductions.vflow.toy.log_likelihoods import LogLikelihoodRecord

LOG_LIKELIHOOD = "log_likelihood_nats"
STANDARD_DEVIATION = "log_likelihood_nats_std"
# The highest possible mean log-likelihood of a model, in nats: minus the entropy of the data.
OPTIMA = {"checkerboard": ("-ln 32", "-3.4657")}


def log_likelihoods_page(
    title: str,
    dataset: str,
    records: Sequence[LogLikelihoodRecord],
    expected: Sequence[Expected],
    figures: Sequence[str],
) -> str:
    """Returns the page of a study.

    Args:
      title: Title of the paper.
      dataset: Name of the data set.
      records: Records of the study.
      expected: Rows of expected.csv of this paper.
      figures: Picture files to show, below the results directory.
    """
    sections = [("", _introduction(dataset, records))]
    for iterations, seeds in dict.fromkeys((record.iterations, len(record.seeds)) for record in records):
        same = [record for record in records if (record.iterations, len(record.seeds)) == (iterations, seeds)]
        sections.append((f"{iterations:,} iterations, {seeds} seed{'s' if seeds > 1 else ''}", _grid(same)))
        for variant in sorted({record.variant for record in same} - {""}):
            sections.append((f"Variant: {variant}", _grid(same, variant)))
        sections.append(("Each model", _models(same, expected, dataset)))
    if figures:
        sections.append(("Figures", "\n\n".join(f"![{name}]({name})" for name in figures)))
    return page(f"{title}: {dataset}", sections)


def label(record: LogLikelihoodRecord) -> str:
    """Returns the name of the model in expected.csv."""
    return f"{model_name(record)} {record.steps} steps, {record.dimensions} dimensions"


def model_name(record: LogLikelihoodRecord) -> str:
    """Returns the name of the model, with its variant."""
    return f"{record.model} ({record.variant})" if record.variant else record.model


def _introduction(dataset, records):
    points = ", ".join(f"{count:,}" for count in sorted({record.test_points for record in records}))
    lines = [
        f"Mean test log-likelihood in nats, ± standard deviation over seeds; {points} test points per seed. For models with "
        "augmentation it is the importance-weighted bound; for the others it is exact.",
    ]
    if dataset in OPTIMA:
        lines.append("The highest possible value is {} = {}.".format(*OPTIMA[dataset]))
    return " ".join(lines)


def _grid(records, variant=""):
    """Steps against dimensions, of one variant."""
    records = [record for record in records if record.variant == variant]
    dimensions = sorted({record.dimensions for record in records})
    cells = {(record.steps, record.dimensions): record for record in records}
    lines = []
    for steps in sorted({record.steps for record in records}):
        found = {size: cells.get((steps, size)) for size in dimensions}
        lines.append(
            {"Steps": steps}
            | {f"D = {size}": "" if record is None else _value(record) for size, record in found.items()}
        )
    return lines_table(lines)


def _models(records, expected, dataset):
    printed = {(row.model, row.metric): row.printed for row in expected if row.dataset == dataset and row.own}
    lines = []
    for record in records:
        mean = printed.get((label(record), LOG_LIKELIHOOD))
        deviation = printed.get((label(record), STANDARD_DEVIATION))
        lines.append(
            {
                "Model": model_name(record),
                "Steps": record.steps,
                "Dimensions": record.dimensions,
                "Parameters": record.parameters,
                "Log-likelihood": _value(record),
                "Paper": "" if mean is None else f"{mean} ± {deviation}",
                "Difference": "" if mean is None else f"{record.mean - float(mean):+.3f}",
                "Evidence lower bound": f"{sum(record.elbos) / len(record.elbos):.3f}",
                "Importance samples": record.importance_samples,
                "Minutes": f"{record.seconds / 60:.1f}",
                "Commit": short_commit(record.commit),
            }
        )
    return lines_table(lines)


def _value(record):
    return f"{record.mean:.3f} ± {record.standard_deviation:.3f}"
