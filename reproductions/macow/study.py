"""MaCow's arms of the claims study (reproductions/claims), in both variants, half a million live parameters each.

The masked taps of the paper's kernels are dead; they are a fifth of all parameters at this size. The smallest dequantizer that
the structure allows has a fifth of the live parameters (published: 3 to 4%). Variational dequantization is therefore also
compared with uniform dequantization of the same flow, without the parameters of the dequantizer: the arms `uniform_flow_of_var`.
"""

import dataclasses

from reproductions.macow.experiments import EXPERIMENTS, VARIANTS
from reproductions.recipe import PREFIX, study_experiments

_SIZE = {
    "factors": "4",
    "dequantization_steps": "1, 1",
    "dequantization_widths": "4, 8",
    "context_planes": "8, 8",
    "decay": 1.0,
    "source": "tables 1 and 2, reduced",
}
_VAR = {"dequantization": "variational"}
_FLOWS = {
    "paper": {
        "org": {"steps": "1, 2, 1", "factors": "2", "widths": "16, 200, 200"},
        "fine_grained": {"steps": "1, 1+1, 1", "widths": "16, 188, 188"},
        "flow_of_var": {"steps": "1, 1+1, 1", "widths": "16, 148, 148"},
    },
    "release": {
        "org": {"steps": "1, 3, 1", "factors": "2", "widths": "16, 138, 138"},
        "fine_grained": {"steps": "1, 2+1, 1", "widths": "16, 134, 134"},
        "flow_of_var": {"steps": "1, 1+1, 1", "widths": "16, 120, 120"},
    },
}
_TWO_LEVELS = {"factors": "", "source": "VFlow, section 4, reduced"}


def _arms(variant):
    flows = {arm: {**_SIZE, **fields} for arm, fields in _FLOWS[variant].items()}
    of_var = flows.pop("flow_of_var")
    return flows | {"uniform_flow_of_var": of_var, "var": {**of_var, **_VAR}}


_PAPER = _arms("paper")
ARMS = {
    **_PAPER,
    **{f"{arm}_5bit": {**_PAPER[arm], "num_bits": 5} for arm in ("fine_grained", "uniform_flow_of_var", "var")},
    # With and without VFlow's three extra channels. With six channels, three levels would have twice as many parameters.
    "two_levels": {**_SIZE, "steps": "1, 5", "widths": "16, 194", **_TWO_LEVELS},
    "two_levels_augmented": {
        **_SIZE,
        "steps": "1, 2",
        "widths": "16, 210",
        "augment_channels": 3,
        "augmenter": "flow",
        "augmenter_width": 16,
        "augmenter_steps": 2,
        **_TWO_LEVELS,
    },
}
RELEASE_ARMS = {f"{arm}_release": fields for arm, fields in _arms("release").items()}


def _make(name, **fields):
    variant = "release" if name.removeprefix(PREFIX) in RELEASE_ARMS else VARIANTS[0]
    base = EXPERIMENTS["cifar10_fine_grained" + ("_release" if variant == "release" else "")]
    return dataclasses.replace(base, name=name, **fields)


STUDY = study_experiments(_make, ARMS | RELEASE_ARMS, tried="var", trends=("fine_grained", "org"))
