"""The generated pages that span the papers: parameter counts, unverified statements."""

from typing import TYPE_CHECKING

from reproductions.reporting.markdown import markdown_table, page

if TYPE_CHECKING:
    import pandas as pd


def parameters_page(frame: "pd.DataFrame", papers: "pd.DataFrame") -> str:
    """Returns the page of parameters.csv, one table per paper; columns that are empty for a paper are left out.

    Args:
      frame: Content of parameters.csv.
      papers: Frame with the columns paper, title and reference.
    """
    names = {
        "experiment": "Experiment",
        "variant": "Variant",
        "parameters": "Parameters",
        "invertible_conv": "1x1 convolutions",
        "coupling_networks": "Couplings",
        "masked_convs": "Masked convolutions",
        "actnorm": "Actnorm",
        "split_priors": "Split priors",
        "top_prior": "Top prior",
        "top_prior_dead": "of which without gradient",
        "classifier": "Classifier",
        "dequantizer": "Dequantizer",
        "context_network": "of which context network",
        "augmenter": "Augmenter",
        "source": "Source",
        "note": "Note",
    }
    counts = list(names)[2:-2]
    frame = frame.assign(**{name: frame[name].map(lambda text: f"{int(text):,}" if text else "") for name in counts})
    return page("Published parameter counts", _by_paper(frame, names, papers, counts))


def unverified_page(frame: "pd.DataFrame", papers: "pd.DataFrame") -> str:
    """Returns the page of unverified.csv, one table per paper.

    Args:
      frame: Content of unverified.csv.
      papers: Frame with the columns paper, title and reference.
    """
    names = {
        "experiment": "Experiment",
        "item": "What",
        "value": "Value",
        "source": "Source",
        "note": "Note",
    }
    intro = (
        "",
        "Statements about the papers that were not checked at their source. No test and no verdict rests on them.",
    )
    return page("Unverified", [intro, *_by_paper(frame, names, papers)])


def _by_paper(frame, names, papers, may_be_absent=()):
    sections = []
    for paper in papers.itertuples():
        rows = frame.loc[frame.paper == paper.paper, list(names)]
        if len(rows):
            filled = [name for name in names if (rows[name] != "").any() or name not in may_be_absent]
            sections.append((paper.title, markdown_table(rows[filled].rename(columns=names))))
    return sections
