"""VFlow's arms of the claims study (reproductions/claims).

As in table 2, the width D_H is fixed, and arms with more channels have fewer blocks: D_H 14 with 6, 5 and 3 blocks. Dequantizer
and q have 11% of the parameters each.
"""

import dataclasses

from reproductions.flowpp.study import SMALL_DEQUANTIZER
from reproductions.recipe import GAP, study_experiments
from reproductions.vflow.experiments import EXPERIMENTS

_SIZE = {
    "width": 14,
    "num_components": 4,
    "num_heads": 1,
    "dropout_rate": 0.0,
    "schedule": "",
    "augmenter_width": 12,
    "augmenter_blocks": 1,
    "source": "table 2, figure 6, reduced",
    **SMALL_DEQUANTIZER,
}
_THREE_CHANNELS = {"augment_channels": 0, "stages": EXPERIMENTS["budget_3_channels"].stages}

ARMS = {
    "3_channels": {**_SIZE, **_THREE_CHANNELS, "num_blocks": 6, "evaluate_every": 500},
    "4_channels": {**_SIZE, "augment_channels": 1, "num_blocks": 5, "evaluate_every": 500},
    "6_channels": {**_SIZE, "augment_channels": 3, "num_blocks": 3, "evaluate_every": 500},
    # q = N(0, I) has no parameters, so there is one more block.
    "6_channels_normal": {
        **_SIZE,
        "augment_channels": 3,
        "num_blocks": 4,
        "augmenter": "normal",
        "source": "remark 2, reduced",
    },
    # Table 3: the same number of blocks; the narrower arm has 2.5 times fewer parameters.
    "table_3_3_channels": {**_SIZE, **_THREE_CHANNELS, "width": 27, "num_blocks": 3, "source": "table 3, reduced"},
    "table_3_6_channels": {
        **_SIZE,
        "augment_channels": 3,
        "width": 10,
        "num_blocks": 3,
        "dequantization_width": 8,
        "augmenter_width": 8,
        "source": "table 3, reduced",
    },
}
ARMS |= {
    f"gap_{arm}": {**ARMS[arm], **GAP, "evaluate_every": 1000, "source": "figure 6, reduced"}
    for arm in ("3_channels", "6_channels")
}


def _make(name, **fields):
    return dataclasses.replace(EXPERIMENTS["cifar10"], name=name, **fields)


STUDY = study_experiments(_make, ARMS, tried="6_channels", trends=("3_channels", "6_channels"))
