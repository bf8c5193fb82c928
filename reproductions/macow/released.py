"""Configurations of the released MaCow code, which its training copies beside its checkpoints."""

import pathlib
from collections.abc import Iterator, Mapping
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

    Args:
      config: Its content: a `flow`, and a `dequant` that is uniform or has a flow of its own.

    Example:
      >>> from reproductions.macow.released import fields_of
      >>> flow = {"num_steps": [1, [2, 2], 2], "factors": [4], "hidden_channels": [24, 64, 64], "kernel_size": [2, 3]}
      >>> fields_of({"flow": flow, "dequant": {"type": "uniform"}})["steps"]
      ((1,), (2, 2), (2,))
    """
    flow = config["flow"]
    fields = {
        "variant": "release",
        **_sizes(flow, ""),
        "kernel_height": flow["kernel_size"][0],
        "kernel_width": flow["kernel_size"][1],
        "coupling": _form(flow.get("scale", True)),
        "prior_coupling": _form(flow.get("prior_scale", True)),
        "dequantization": "uniform",
    }
    inner = next(_flows(config.get("dequant", {})), None)
    if inner is not None:
        fields |= {"dequantization": "variational", **_sizes(inner, "dequantization_")}
    return fields


def _sizes(flow, prefix):
    steps = tuple(tuple(number) if isinstance(number, list) else (number,) for number in flow["num_steps"])
    return {
        f"{prefix}steps": steps,
        f"{prefix}widths": tuple(flow["hidden_channels"]),
        f"{prefix}factors": tuple(flow.get("factors", ())),
    }


def _form(scales):
    return "affine" if scales else "additive"


def _flows(content) -> Iterator[Mapping[str, Any]]:
    """All objects within `content` that describe a flow."""
    if isinstance(content, Mapping):
        if "num_steps" in content:
            yield content
        for value in content.values():
            yield from _flows(value)
