"""The cells of the checkerboard study, as data (Chen et al. 2020, section 5 and figures 2 to 4)."""

import dataclasses
import re
from collections.abc import Sequence

DATA_DIMENSIONS = 2
DIMENSIONS = (2, 4, 6, 8, 10)  # section 5
STEPS = (2, 3, 4, 5, 10, 15, 20)  # section 5
WIDTH = 50  # hidden units of each of the two hidden layers, section 5
BATCH_SIZE = 64  # fresh samples per iteration, section 5
ITERATIONS = 100_000  # section 5
NUM_SEEDS = 5  # section 5
TEST_POINTS = 1_000  # section 5
IMPORTANCE_SAMPLES = 100  # section 5
LEARNING_RATE = 1e-3  # not printed, nor is its decay: deviation 4 of the README
NORMAL = "normal"  # in the name of a cell whose q(z|x) is N(0, I)
GAUSSIAN_STEP = "gaussian_step"  # in the name of a cell whose Gaussian q(z|x) is one of the L steps

_NAME = re.compile(rf"(?P<steps>\d+)x(?P<dimensions>\d+)(-(?P<variant>{NORMAL}|{GAUSSIAN_STEP}))?", re.ASCII)


@dataclasses.dataclass(frozen=True)
class Cell:
    """One model of the study.

    Attributes:
      steps: Total number of Glow steps, L; at most 20 in the paper.
      dimensions: Number of dimensions of x and z together, D; 2 is Glow, more is VFlow.
      normal_posterior: Whether q(z|x) is N(0, I) and only p(x, z) is trained (remark 2).
      counts_gaussian: Whether the Gaussian q(z|x) of a cell with one dimension of z is one of its L steps (figure 4).
    """

    steps: int
    dimensions: int
    normal_posterior: bool = False
    counts_gaussian: bool = False

    def __post_init__(self) -> None:
        if self.dimensions < DATA_DIMENSIONS:
            raise ValueError(f"A cell needs at least {DATA_DIMENSIONS} dimensions, got {self.dimensions}.")
        if self.normal_posterior and not self.latent_dimensions:
            raise ValueError(
                f"A cell of {self.dimensions} dimensions has no z; q(z|x) = N(0, I) needs more dimensions."
            )
        if self.counts_gaussian and not self.has_gaussian_posterior:
            raise ValueError(
                f"A Gaussian q(z|x) needs 3 dimensions and no q(z|x) = N(0, I); this cell has {self.dimensions}."
            )
        least = 1 + self.posterior_steps
        if self.steps < least:
            raise ValueError(f"A cell of {self.dimensions} dimensions needs at least {least} steps, got {self.steps}.")

    @property
    def name(self) -> str:
        """Name of the cell, such as `3x10` or `3x10-normal`."""
        return f"{self.steps}x{self.dimensions}" + (f"-{self.variant}" if self.variant else "")

    @property
    def variant(self) -> str:
        """Variant of the cell: `normal`, `gaussian_step`, or empty."""
        return NORMAL if self.normal_posterior else GAUSSIAN_STEP if self.counts_gaussian else ""

    @property
    def model(self) -> str:
        """Name of the model, `Glow` or `VFlow`."""
        return "Glow" if self.dimensions == DATA_DIMENSIONS else "VFlow"

    @property
    def latent_dimensions(self) -> int:
        """Number of dimensions of the augmented variable z, D_z."""
        return self.dimensions - DATA_DIMENSIONS

    @property
    def has_glow_posterior(self) -> bool:
        """Whether q(z|x) is one conditional Glow step, which needs at least two dimensions of z."""
        return self.latent_dimensions >= 2 and not self.normal_posterior

    @property
    def has_gaussian_posterior(self) -> bool:
        """Whether q(z|x) is N(mu(x), sigma(x)^2): for one dimension of z, which has no halves to couple (figure 4)."""
        return self.latent_dimensions == 1 and not self.normal_posterior

    @property
    def prior_steps(self) -> int:
        """Number of steps of p, L_p: L without those of q."""
        return self.steps - self.posterior_steps

    @property
    def posterior_steps(self) -> int:
        """Number of the L steps that are in q, L_q. A Gaussian is one only if it counts as one; N(0, I) is none."""
        return int(self.has_glow_posterior or self.counts_gaussian)


# Cells with printed numbers come first, then shallow ones, so that an interrupted study has as many cells as possible.
PAPER_CELLS = (Cell(3, 10), Cell(3, 2), Cell(20, 2))
GRID = PAPER_CELLS + tuple(
    cell for steps in STEPS for cell in (Cell(steps, size) for size in DIMENSIONS) if cell not in PAPER_CELLS
)
# For remark 2: compared with Glow of the same number of steps, and with VFlow with a trained q.
NORMAL_CELLS = (Cell(3, 4, normal_posterior=True), Cell(3, 10, normal_posterior=True))
# Figure 4 alone, whose VFlow has one step in p and one in q; then ours, with two steps in p.
VISUALIZED_CELLS = (Cell(2, 2), Cell(2, 3, counts_gaussian=True), Cell(2, 3))


def parse_cells(names: Sequence[str]) -> tuple[Cell, ...]:
    """Parses names of cells `STEPSxDIMENSIONS`, such as `3x10`, `3x10-normal` for q = N(0, I), or `2x3-gaussian_step`.

    Args:
      names: Names of cells; `all` stands for the grid and the cells of figure 4 and remark 2.

    Raises:
      ValueError: If a text is not the name of a cell, or there is no such cell.
    """
    cells: list[Cell] = []
    for name in names:
        if name == "all":
            cells += [*GRID, *VISUALIZED_CELLS, *NORMAL_CELLS]
            continue
        found = _NAME.fullmatch(name)
        if found is None:
            raise ValueError(f"A cell must be STEPSxDIMENSIONS, such as 3x10 or 3x10-{NORMAL}, or all; got {name!r}.")
        normal, counted = (found["variant"] == variant for variant in (NORMAL, GAUSSIAN_STEP))
        cells.append(Cell(int(found["steps"]), int(found["dimensions"]), normal, counted))
    return tuple(dict.fromkeys(cells))
