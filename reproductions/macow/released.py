"""Configurations of the released MaCow code, which its training copies beside its checkpoints."""

import pathlib
from collections.abc import Mapping
from typing import Any

from tfflows.files import read_json

CONFIG = "config.json"


def read_config(directory: pathlib.Path) -> dict[str, Any]:
    """Returns the fields of an experiment that `config.json` in the directory says; none if there is no such file.

    Raises:
      ValueError: If the file is no configuration of the released code.
    """
    path = directory / CONFIG
    if not path.is_file():
        return {}
    try:
        return fields_of(read_json(path))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no configuration of the released code: {type(error).__name__} {error}.") from error


def fields_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of an experiment from a configuration of the released code.

    Whether the dequantization is variational is not among them: the released commands say it, and one configuration serves both.

    Args:
      config: Its content: a `flow`, and the sizes of the dequantizer's flow as `dequant`.

    Raises:
      ValueError: If the couplings are not convolutional; the released form with attention is not built here.

    Example:
      >>> from reproductions.macow.released import fields_of
      >>> flow = {"num_steps": [1, [2, 2], 2], "factors": [4], "hidden_channels": [24, 64, 64], "kernel_size": [2, 3]}
      >>> fields_of({"flow": flow})["steps"]
      ((1,), (2, 2), (2,))
    """
    flow = config["flow"]
    if flow.get("coupling_type", "conv") != "conv":
        raise ValueError(f"Couplings of the type {flow['coupling_type']!r} are not built here; only 'conv' is.")
    fields = {
        "variant": "release",
        **_sizes(flow, ""),
        "kernel_height": flow["kernel_size"][0],
        "kernel_width": flow["kernel_size"][1],
        "coupling": _form(flow.get("scale", True)),
        "prior_coupling": _form(flow.get("prior_scale", True)),
    }
    return fields | (_sizes(config["dequant"], "dequantization_") if "num_steps" in config.get("dequant", {}) else {})


def _sizes(flow, prefix):
    steps = tuple(tuple(number) if isinstance(number, list) else (number,) for number in flow["num_steps"])
    return {
        f"{prefix}steps": steps,
        f"{prefix}widths": tuple(flow["hidden_channels"]),
        f"{prefix}factors": tuple(flow.get("factors", ())),
        f"{prefix}bottom": flow.get("bottom", True),
    }


def _form(scales):
    return "affine" if scales else "additive"
