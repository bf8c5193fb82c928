"""Trained models in hand: load, use, go on training, export."""

from typing import TYPE_CHECKING

from tfflows.lazy import lazy_exports

if TYPE_CHECKING:  # for readers and tools; the table below is what runs
    from tfflows.models.catalog import ModelEntry, list_models
    from tfflows.models.description import ModelDescription, describe_from_experiment, read_description
    from tfflows.models.export import ExportedModel
    from tfflows.models.fitting import continue_training
    from tfflows.models.functions import random_labels, rows_of_labels
    from tfflows.models.loading import find_run, load, load_run, load_weights
    from tfflows.models.model import Model
    from tfflows.models.saving import save

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "catalog": ["ModelEntry", "list_models"],
        "description": ["ModelDescription", "describe_from_experiment", "read_description"],
        "export": ["ExportedModel"],
        "fitting": ["continue_training"],
        "functions": ["random_labels", "rows_of_labels"],
        "loading": ["find_run", "load", "load_run", "load_weights"],
        "model": ["Model"],
        "saving": ["save"],
    },
)
