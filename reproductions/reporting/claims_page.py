"""The generated page of the claims study."""

import collections
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from reproductions.reporting.claims import DIVERGED, MEASURED, NOT_RUN, Claim
from reproductions.reporting.expected import format_value
from reproductions.reporting.markdown import lines_table, page

if TYPE_CHECKING:
    import pandas as pd

RULE = """\
A claim on arms says that a quantity is smaller in one arm than in another. Both are trained with the same seeds, and the
effect is the mean over seeds of their difference, positive if it goes as claimed. With n seeds and A arms of the paper's
study that were trained on the same data and have been run,

    t = effect / sqrt(s^2 / n + e^2)        df = (A - 1)(n - 1)

where e is the error over images (none for curves and for terms of a bound, which keep no values per image) and s^2 the larger
of the variance of the claim's own differences and twice the residual mean square of arm x seed over those A arms. A claim is
**held** or **reversed** if its p-value, adjusted by Holm's method over all difference claims of the paper in that study
(those not run included), is below 5% and the effect is at least the smallest that matters; otherwise it is **undecided**. A
claim on all stages of training has the largest p-value of its stages, or 1 if they differ in sign; its effect and interval
are those of the mean over the stages. A claim of equality is held if two one-sided tests at 5% put the effect within the
margin. What the paper does not compare is **measured**. Arms of two papers are **not comparable** if their recipes differ.
The interval has 95% coverage and is *not* adjusted for the other claims."""

PROTOCOLS = """\
**Second study.** CIFAR-10 averaged over 2x2 blocks (16x16), 4,000 steps of batch 32, warm-up, constant rate, linear decay to
0 over the last third; no averages, no dropout, no augmentation; three seeds; the peak rate of each paper chosen from three on
held-out training images. Half a million live parameters (those that can affect the output) within 5%, except where the paper
fixes something else: table 3 of VFlow, the widths of its table 1, the halves of AGAVE, MaCow's flows without their
dequantizer. Gaps are measured after training on 2,000 images alone.

**First study.** 3,000 steps of batch 32 of the same images at each paper's own rate and dropout, two or three seeds; VFlow's
arms held 10,000 training images out. A claim of it stands here until the second study has run it again.

**Measured times** come from the [benchmarks](benchmarks.md). A ratio is judged by the quartiles of its rounds against a
limit; the growth of a time by the 95% interval of its exponent. **Counts** are of the models at published size. The
**checkerboard** has its own [study](vflow_checkerboard.md), whose log-likelihoods are judged by the rule of arms. **Costs**
are the time a step takes with and without a change."""


def claims_page(
    claims: Sequence[Claim], papers: "pd.DataFrame", further: Mapping[str, str] = MappingProxyType({})
) -> str:
    """Returns the page: the rule, and for each paper the verdicts and the arms behind them.

    Args:
      claims: All claims.
      papers: Frame with the columns paper, title and reference.
      further: Further sections, by heading.
    """
    sections = [("", RULE), ("", PROTOCOLS), ("", counts_of_verdicts(claims))] if claims else []
    for paper in papers.itertuples():
        own = [claim for claim in claims if claim.paper == paper.paper]
        if own:
            sections.append((paper.title, _verdicts(own)))
            arms = _arms(own)
            sections += [(f"Arms of {paper.title}", arms)] if arms else []
    if sections:
        sections += further.items()
    return page("Claims", sections or [("", "No claim has been studied yet.")])


def counts_of_verdicts(claims: Sequence[Claim]) -> str:
    """Returns how many claims of each study have which verdict, in a sentence for each study.

    Args:
      claims: All claims.
    """
    counts: dict[str, collections.Counter] = {}
    for claim in claims:
        counts.setdefault(_heading(claim), collections.Counter())[claim.verdict] += 1
    sentences = (
        f"{of.capitalize()}: {', '.join(f'{count} {verdict}' for verdict, count in own.items())}."
        for of, own in counts.items()
    )
    return " ".join(sentences)


def short_table(claims: Sequence[Claim]) -> str:
    """Returns a table of the claims of a paper that have been run, and how many have not.

    Args:
      claims: Claims of the paper.
    """
    lines = []
    for claim in claims:
        if claim.verdict != NOT_RUN:
            line = _line(claim)
            cells = {name: line[name] for name in ("Claim", "Paper", "Effect", "95% interval")}
            cells |= {"Quantity": claim.quantity, "Verdict": claim.verdict, "n": line["n"], "Run in": _heading(claim)}
            lines.append(cells)
    missing = len(claims) - len(lines)
    parts = [lines_table(lines)] if lines else []
    return "\n\n".join(parts + ([f"Not run yet: {missing} claims."] if missing else []))


def _verdicts(claims):
    """One table for each protocol, with the protocol above it."""
    parts = []
    for heading in dict.fromkeys(map(_heading, claims)):
        own = [claim for claim in claims if _heading(claim) == heading]
        parts += [f"**{heading.capitalize()}**", lines_table([_line(claim) for claim in own])]
    return "\n\n".join(parts)


def _heading(claim):
    """The study of a claim; the protocols of costs, which were timed for these claims alone, stand in their own words."""
    is_cost = claim.verdict == MEASURED and claim.interval is None and claim.standard_error is not None
    return "costs" if is_cost else claim.protocol


def _line(claim):
    if claim.verdict == NOT_RUN:
        verdict = f"{NOT_RUN} ({claim.note})" if DIVERGED in claim.note else NOT_RUN
        return {"Claim": claim.claim, "Paper": claim.paper_effect, "Verdict": verdict, "Quantity": claim.quantity}
    # The effect of a claim on arms has a sign; a cost, a ratio, an exponent and a share have a size.
    sign = "+" if claim.p_value is not None else ""
    error = "" if claim.interval is not None or claim.standard_error is None else f" ± {claim.standard_error:.4f}"
    low, high = claim.interval or (None, None)
    return {
        "Claim": claim.claim,
        "Paper": claim.paper_effect,
        "Effect": f"{claim.difference:{sign}.4f}{error}",
        "95% interval": "" if low is None else f"{low:{sign}.4f} to {high:{sign}.4f}",
        "Verdict": f"{claim.verdict} ({claim.note})" if claim.note else claim.verdict,
        "Adjusted p": "" if claim.adjusted_p_value is None else _p_value(claim.adjusted_p_value),
        "n": len(claim.seed_differences) or "",
        "df": "" if claim.degrees_of_freedom is None else claim.degrees_of_freedom,
        "Quantity": claim.quantity + _smallest(claim),
    }


def _p_value(value):
    return "<0.0001" if value < 1e-4 else f"{value:.4f}"


def _smallest(claim):
    if claim.smallest is None:
        return ""
    return f"; {'within' if claim.adjusted_p_value is None else 'from'} {claim.smallest:.3g}"


def _arms(claims):
    arms = [
        {
            "Study": claim.protocol,
            "Arm": arm["name"],
            "Seeds": ", ".join(map(str, arm["seeds"])),
            "Bits/dim": "" if arm["bits_per_dim"] is None else f"{arm['bits_per_dim']:.4f}",
            "Standard deviation": "" if arm["bits_per_dim_std"] is None else f"{arm['bits_per_dim_std']:.4f}",
            **_gap_cells(arm),
            "Live parameters": arm["parameters"],
        }
        for claim in claims
        for arm in claim.arms
    ]
    unique = [arm for index, arm in enumerate(arms) if arm not in arms[:index]]
    return lines_table(unique) if unique else ""


def _gap_cells(arm) -> dict[str, str]:
    """Two more columns if the training images of the arm were evaluated."""
    if "gap" not in arm:
        return {}
    return {
        "Training bits/dim": f"{arm['train_bits_per_dim']:.4f}",
        "Gap": format_value(arm["gap"], arm["gap_standard_error"]),
    }
