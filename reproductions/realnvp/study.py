"""RealNVP's arm of the claims study (reproductions/claims), half a million parameters: the comparator of Glow's table 2.

As on CIFAR-10, there are two scales; width and number of residual blocks are reduced.
"""

import dataclasses

from reproductions.realnvp.experiments import EXPERIMENTS
from reproductions.recipe import study_experiments

ARMS = {"full": {"levels": 2, "width": 14, "num_blocks": 4, "source": "table 1, reduced"}}


def _make(name, **fields):
    return dataclasses.replace(EXPERIMENTS["cifar10"], name=name, **fields)


STUDY = study_experiments(_make, ARMS, tried="full")
