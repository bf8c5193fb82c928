"""Training: `Trainer` and its parts, optimizers, schedules, checkpoints."""

import importlib
from typing import TYPE_CHECKING

from tfflows.devices.strategies import process_options

if TYPE_CHECKING:
    from tfflows.training.loop import LoopSettings
    from tfflows.training.train_step import Execution
    from tfflows.training.trainer import Trainer, TrainingSummary

__all__ = ["Execution", "LoopSettings", "Trainer", "TrainingSummary", "process_options"]

# Imported when they are asked for: data sets and distributions would make importing an optimizer take a quarter longer.
_MODULES = {
    "Execution": "train_step",
    "LoopSettings": "loop",
    "Trainer": "trainer",
    "TrainingSummary": "trainer",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
