"""Flow++'s arms of the claims study (reproductions/claims), half a million live parameters each.

As in table 2, the widths equalize the number of parameters. A dequantizer has 11% of them, as published. It is shallower and has
a smaller context network, because at this size the published depths would take half of the parameters.
"""

import dataclasses

from reproductions.flowpp.experiments import EXPERIMENTS
from reproductions.recipe import GAP, study_experiments

# A sufficiently small dequantizer; shared with VFlow.
SMALL_DEQUANTIZER = {"dequantization_width": 12, "dequantization_blocks": 1, "context_width": 8, "context_blocks": 2}
_SIZE = {
    "width": 28,
    "num_blocks": 1,
    "num_components": 4,
    "num_heads": 1,
    "dropout_rate": 0.0,
    "schedule": "",
    "source": "table 2, reduced",
    **SMALL_DEQUANTIZER,
}

ARMS = {
    "full": _SIZE,
    "uniform_dequantization": {**_SIZE, "width": 30, "dequantization": "uniform"},
    "affine_coupling": {**_SIZE, "width": 37, "coupling": "affine", "dequantization_width": 16},
    # The released ablation: the same number of parameters, and positions interact only through convolutions.
    "maximum": {**_SIZE, "mixer": "maximum", "dequantization_mixer": "maximum"},
    # The paper's ablation: only convolutions, widened to match.
    "convolutions_only": {
        **_SIZE,
        "width": 30,
        "mixer": "none",
        "dequantization_width": 14,
        "dequantization_mixer": "none",
    },
    # For table 1 of VFlow: width and blocks of its arm with 6 channels.
    "vflow_width": {**_SIZE, "width": 14, "num_blocks": 3, "source": "VFlow, table 1, reduced"},
}
ARMS |= {
    f"gap_{arm}": {**ARMS[arm], **GAP, "source": "section 4.2, reduced"} for arm in ("full", "uniform_dequantization")
}


def _make(name, **fields):
    return dataclasses.replace(EXPERIMENTS["cifar10"], name=name, **fields)


STUDY = study_experiments(_make, ARMS, tried="full", trends=("full", "uniform_dequantization"))
