"""Glow's arms of the claims study (reproductions/claims), half a million parameters each.

As in figure 3, depth and width are the same in all six. The invertible affine arm represents Glow in comparisons between papers.
Only live parameters count towards the half million, not the weights of the top prior whose inputs are always zero.
"""

import dataclasses

from reproductions.glow.experiments import EXPERIMENTS
from reproductions.recipe import study_experiments

_SIZE = {
    "levels": 3,
    "depth": 4,
    "width": 84,
    "beta_2": 1 - 1 / 1563,  # the released one for batches of 32
    "evaluate_every": 500,
    "source": "figure 3, reduced",
}

ARMS = {
    **{
        f"{permutation}_{coupling}": {**_SIZE, "permutation": permutation, "coupling": coupling}
        for coupling in ("additive", "affine")
        for permutation in ("reverse", "shuffle", "invertible")
    },
    # For the comparison with MaCow on 5 bits.
    "invertible_affine_5bit": {**_SIZE, "num_bits": 5, "source": "MaCow, table 2, reduced"},
    # The same flow, narrower, with VFlow's three extra channels.
    "augmented": {
        **_SIZE,
        "width": 40,
        "augment_channels": 3,
        "augmenter": "flow",
        "augmenter_width": 16,
        "augmenter_steps": 2,
        "source": "VFlow, section 4, reduced",
    },
}


def _make(name, **fields):
    return dataclasses.replace(EXPERIMENTS["cifar10"], name=name, **fields)


STUDY = study_experiments(_make, ARMS, tried="invertible_affine")
