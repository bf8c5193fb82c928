"""A run of an arm: an experiment of a paper with a seed."""

import dataclasses


@dataclasses.dataclass(frozen=True, order=True)
class ArmRun:
    """One run of the queue.

    Attributes:
      paper: Name of the folder under `reproductions/`.
      experiment: Name of the experiment.
      seed: Seed of the run.
    """

    paper: str
    experiment: str
    seed: int
