"""The generated page of the claims study."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from reproductions.reporting.claims import Claim
from reproductions.reporting.expected import format_value
from reproductions.reporting.markdown import lines_table, page
from reproductions.reporting.provenance import short_commit

if TYPE_CHECKING:
    import pandas as pd


def claims_page(claims: Sequence[Claim], papers: "pd.DataFrame") -> str:
    """Returns the page: the verdicts and the arms behind them, two tables per paper.

    Args:
      claims: All claims.
      papers: Frame with the columns paper, title and reference.
    """
    sections = [
        (
            "",
            "A claim on bits/dim is held or reversed if the paired difference per image exceeds two combined standard errors and "
            "has the same sign for each seed, and otherwise undecided. Differences are positive if they go as claimed; for a "
            "cost they are its size. A gap is how much higher bits/dim are on test images than on training images. Gaps are "
            "compared in the same way, with the errors of both sets of images.",
        )
    ]
    for paper in papers.itertuples():
        own = [claim for claim in claims if claim.paper == paper.paper]
        if not own:
            continue
        lines = [
            {
                "Claim": claim.claim,
                "In the paper": claim.paper_effect,
                "Arms": " against ".join(arm["name"] for arm in claim.arms),
                "Quantity": claim.quantity,
                "Difference": format_value(claim.difference, claim.standard_error),
                "Each seed": ", ".join(f"{value:+.4f}" for value in claim.seed_differences),
                "Verdict": claim.verdict,
                "Protocol": claim.protocol,
                "Images": claim.num_images,
                "Commit": short_commit(claim.commit),
            }
            for claim in own
        ]
        arms = [
            {
                "Protocol": claim.protocol,
                "Arm": arm["name"],
                "Seeds": ", ".join(map(str, arm["seeds"])),
                "Bits/dim": "" if arm["bits_per_dim"] is None else f"{arm['bits_per_dim']:.4f}",
                "Standard deviation": "" if arm["bits_per_dim_std"] is None else f"{arm['bits_per_dim_std']:.4f}",
                **_gap_cells(arm),
                "Seconds per step": f"{arm['seconds_per_step']:.3f}",
                "Parameters": arm["parameters"],
            }
            for claim in own
            for arm in claim.arms
        ]
        unique = [arm for index, arm in enumerate(arms) if arm not in arms[:index]]
        sections.append((paper.title, lines_table(lines)))
        sections.append((f"Arms of {paper.title}", lines_table(unique)))
    if len(sections) == 1:
        sections.append(("", "No claim has been studied yet."))
    return page("Claims", sections)


def _gap_cells(arm) -> dict[str, str]:
    """Two more columns if the training images of the arm were evaluated."""
    if "gap" not in arm:
        return {}
    return {
        "Training bits/dim": f"{arm['train_bits_per_dim']:.4f}",
        "Gap": format_value(arm["gap"], arm["gap_standard_error"]),
    }
