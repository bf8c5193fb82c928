"""Claims on measured times and on counts, judged from the records of the benchmarks and the stored counts."""

import dataclasses
import os
import pathlib
import re
from collections.abc import Mapping, Sequence

import numpy as np

from reproductions.driver.counts import stored_counts
from reproductions.reporting.benchmarks import BENCHMARKS_DIRECTORY, Benchmark, load_benchmarks
from reproductions.reporting.claims import Claim, claim_not_run
from reproductions.reporting.rule import HELD, REVERSED, UNDECIDED
from tfflows.extras import require

TIMES = "measured times"
COUNTS = "counts at published size"

# Times that grow with the side have the exponent 1, those that grow with the number of pixels 2.
LINEAR_BELOW = 1.5
# A cost below this share is marginal.
MARGINAL = 1.1


@dataclasses.dataclass(frozen=True)
class Growth:
    """The claim that a time grows with the side of an image, not with its pixels.

    Attributes:
      paper: Paper that makes the claim.
      name: Name of the claim.
      claim: The claim in words.
      topic: Topic of the benchmark.
      cases: Pattern of its cases; the first group is the side.
      quantity: Quantity of the measurements.
      subject: Measured code.
    """

    paper: str
    name: str
    claim: str
    topic: str
    cases: str
    quantity: str
    subject: str


@dataclasses.dataclass(frozen=True)
class TimeRatio:
    """The claim that a ratio of two times is below a limit.

    Attributes:
      paper: Paper that makes the claim.
      name: Name of the claim.
      claim: The claim in words.
      paper_effect: Size of the effect in the paper, in words.
      topic: Topic of the benchmark.
      quantity: Quantity of its ratio.
      numerator: Subject in the numerator.
      denominator: Subject in the denominator.
      limit: The limit.
      limit_is_ours: Words that say so if the paper gives none.
    """

    paper: str
    name: str
    claim: str
    paper_effect: str
    topic: str
    quantity: str
    numerator: str
    denominator: str
    limit: float
    limit_is_ours: str = ""


@dataclasses.dataclass(frozen=True)
class Counted:
    """The claim on how many more parameters experiments have than others, in percent.

    Attributes:
      paper: Paper that makes the claim.
      name: Name of the claim.
      claim: The claim in words.
      percent: The percentage that the paper prints, digit for digit.
      pairs: Pairs of an experiment with more parameters and one with fewer; the percentage is the mean over them.
    """

    paper: str
    name: str
    claim: str
    percent: str
    pairs: tuple[tuple[str, str], ...]


GROWTHS = [
    Growth(
        paper="macow",
        name=f"sampling_grows_with_the_side{suffix}",
        claim=f"the time to sample grows with h + w, not with h w (section 3.1){form}",
        topic="macow_sampling",
        # Below a side of 32 a sample is mostly overhead: there even log_prob hardly grows.
        cases=rf"{variant}, (32|64|128)x\d+x3, batch 8",
        quantity="a batch",
        subject="sample",
    )
    for variant, suffix, form in (("paper", "", ""), ("release", "_release", ", in the released form"))
]
RATIOS = [
    TimeRatio(
        paper="flowpp",
        name="samples_ten_times_faster_than_pixelcnn",
        claim="an image is sampled over ten times faster than by PixelCNN++ with cached activations (section 4.1, on a GPU; "
        "here two CPU cores)",
        paper_effect="over 10 times",
        topic="flowpp_sampling",
        quantity="a sample",
        numerator="Flow++",
        denominator="PixelCNN++, cached",
        limit=0.1,
    ),
    TimeRatio(
        paper="vflow",
        name="step_hardly_longer_than_flowpp",
        claim="three more channels cost a training step of Flow++ hardly any time, here below 10% (section 5)",
        paper_effect="marginal",
        topic="vflow_step",
        quantity="training step",
        numerator="VFlow, 6 channels",
        denominator="Flow++",
        limit=MARGINAL,
        limit_is_ours=" (ours)",
    ),
]
COUNTED = [
    Counted(
        paper="glow",
        name="parameters_of_1x1",
        claim="the 1x1 convolution adds 0.2% to the parameters, over both couplings (section 5)",
        percent="0.2",
        pairs=tuple(
            (f"ablation_invertible_{coupling}", f"ablation_shuffle_{coupling}") for coupling in ("affine", "additive")
        ),
    )
]


def judge_all(results: str | os.PathLike, papers: Sequence[str]) -> list[Claim]:
    """Returns the claims of some papers.

    Args:
      results: The results directory.
      papers: Names of the papers.
    """
    benchmarks = load_benchmarks(pathlib.Path(results) / BENCHMARKS_DIRECTORY)
    claims = [judge_growth(item, benchmarks) for item in GROWTHS] + [judge_ratio(item, benchmarks) for item in RATIOS]
    claims += [judge_counts(item) for item in COUNTED]
    return [claim for claim in claims if claim.paper in papers]


def arm_without_images(name: str, seeds: Sequence[int] = (), parameters: int | None = None) -> dict[str, object]:
    """Returns the summary of an arm that has no bits/dim.

    Args:
      name: Its name.
      seeds: Its seeds.
      parameters: Its number of parameters.
    """
    return {
        "name": name,
        "seeds": list(seeds),
        "bits_per_dim": None,
        "bits_per_dim_std": None,
        "seconds_per_step": None,
        "parameters": parameters,
    }


def judge_growth(item: Growth, benchmarks: Mapping[str, Benchmark]) -> Claim:
    """Judges a `Growth` by the exponent of the time over the side, by least squares of the logarithms.

    The claim is held if the 95% interval of the exponent is below 1.5, reversed if it is above, otherwise undecided.
    """
    claim = claim_not_run(
        item.paper,
        item.name,
        item.claim,
        "1",
        TIMES,
        "exponent of the time over the side",
        f"missing: benchmark {item.topic}",
    )
    benchmark = benchmarks.get(item.topic)
    if benchmark is None:
        return claim
    times = {
        int(found.group(1)): row.median
        for row in benchmark.measurements
        if (row.quantity, row.subject) == (item.quantity, item.subject)
        and (found := re.fullmatch(item.cases, row.case))
    }
    if len(times) < 3:
        return dataclasses.replace(claim, note=f"missing: sides of {item.topic}, got {sorted(times)}")
    exponent, low, high = exponent_of(times)
    verdict = HELD if high < LINEAR_BELOW else REVERSED if low > LINEAR_BELOW else UNDECIDED
    return dataclasses.replace(
        claim,
        arms=(arm_without_images(f"{item.subject}, sides {', '.join(map(str, sorted(times)))}"),),
        difference=exponent,
        interval=(low, high),
        degrees_of_freedom=len(times) - 2,
        verdict=verdict,
        note=f"limit {LINEAR_BELOW}, between h + w (1) and h w (2)",
        commit=benchmark.commit,
        date=benchmark.date,
    )


def exponent_of(times: Mapping[int, float]) -> tuple[float, float, float]:
    """Fits `time = c side^a`; returns a and its 95% interval.

    Args:
      times: Time by side, for three sides or more.

    Example:
      >>> from reproductions.claims.measured import exponent_of
      >>> [round(value, 3) for value in exponent_of({8: 1.0, 16: 4.0, 32: 16.0})]
      [2.0, 2.0, 2.0]
    """
    stats = require("scipy.stats", "reproductions")
    found = stats.linregress(np.log(list(times)), np.log(list(times.values())))
    half = stats.t.ppf(0.975, len(times) - 2) * found.stderr
    return float(found.slope), float(found.slope - half), float(found.slope + half)


def judge_ratio(item: TimeRatio, benchmarks: Mapping[str, Benchmark]) -> Claim:
    """Judges a `TimeRatio`: held if the upper quartile of its rounds is below the limit, reversed if the lower one is above."""
    claim = claim_not_run(
        item.paper, item.name, item.claim, item.paper_effect, TIMES, f"time, a share of that of {item.denominator}", ""
    )
    benchmark = benchmarks.get(item.topic)
    key = (item.quantity, item.numerator, item.denominator)
    rows = (
        [row for row in benchmark.ratios if (row.quantity, row.numerator, row.denominator) == key] if benchmark else []
    )
    if not rows:
        return dataclasses.replace(claim, note=f"missing: benchmark {item.topic}")
    (row,) = rows
    verdict = HELD if row.upper_quartile < item.limit else REVERSED if row.lower_quartile > item.limit else UNDECIDED
    return dataclasses.replace(
        claim,
        arms=(arm_without_images(item.numerator), arm_without_images(item.denominator)),
        difference=row.median,
        verdict=verdict,
        note=f"quartiles {row.lower_quartile:.3g} to {row.upper_quartile:.3g}, limit {item.limit:g}{item.limit_is_ours}",
        commit=benchmark.commit,
        date=benchmark.date,
    )


def judge_counts(item: Counted) -> Claim:
    """Judges a `Counted`: held if our percentage, rounded to the digits of the paper's, is the paper's, else reversed."""
    counts = {name: stored_counts()[item.paper, name, "paper"] for pair in item.pairs for name in pair}
    percents = [100 * (counts[more] / counts[fewer] - 1) for more, fewer in item.pairs]
    percent = float(np.mean(percents))
    digits = len(item.percent.partition(".")[2])
    return dataclasses.replace(
        claim_not_run(item.paper, item.name, item.claim, f"{item.percent}%", COUNTS, "parameters, %", ""),
        arms=tuple(arm_without_images(name, parameters=count) for name, count in counts.items()),
        difference=percent,
        seed_differences=tuple(percents),
        verdict=HELD if f"{percent:.{digits}f}" == item.percent else REVERSED,
    )
