"""Hyper-parameters of the released Glow code, as its training writes them beside its checkpoints."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

# The first line of either log is a JSON object of all hyper-parameters.
LOGS = ("train.txt", "test.txt")
_PERMUTATIONS = ("reverse", "shuffle", "invertible")
_COUPLINGS = ("additive", "affine")


def read_config(directory: pathlib.Path) -> dict[str, Any]:
    """Returns the fields of an experiment that a log in the directory says; none if there is no such log.

    Raises:
      ValueError: If a log does not begin with hyper-parameters.
    """
    for log in LOGS:
        path = directory / log
        if path.is_file():
            with open(path, encoding="utf-8") as lines:
                return fields_of(_parsed(path, lines.readline()))
    return {}


def _parsed(path, line):
    try:
        read = json.loads(line)
    except ValueError:
        read = None
    if not isinstance(read, dict) or "n_levels" not in read:
        raise ValueError(
            f"{path} does not begin with the hyper-parameters of the released code, a JSON object with n_levels."
        )
    return read


def fields_of(hps: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of an experiment from hyper-parameters of the released code.

    Args:
      hps: By the names of its flags.

    Example:
      >>> from reproductions.glow.released import fields_of
      >>> fields_of({"n_levels": 3, "depth": 32, "flow_permutation": 2, "flow_coupling": 1, "learntop": True})
      {'levels': 3, 'depth': 32, 'permutation': 'invertible', 'coupling': 'affine', 'top_prior': 'learned'}
    """
    names = {
        "n_levels": "levels",
        "depth": "depth",
        "width": "width",
        "n_bits_x": "num_bits",
        "image_size": "image_size",
    }
    fields = {own: hps[name] for name, own in names.items() if name in hps}
    if "flow_permutation" in hps:
        fields["permutation"] = _PERMUTATIONS[hps["flow_permutation"]]
    if "flow_coupling" in hps:
        fields["coupling"] = _COUPLINGS[hps["flow_coupling"]]
    if "learntop" in hps:
        fields["top_prior"] = "learned" if hps["learntop"] else "standard"
    if "ycond" in hps:
        fields["conditional"] = bool(hps["ycond"])
        fields["class_weight"] = float(hps.get("weight_y", 0.0)) if hps["ycond"] else 0.0
    return fields
