"""Data sets of the papers: what they are, how they are prepared, and batches as a function of (seed, step)."""

from tfflows.data.augmentation import AUGMENTATIONS
from tfflows.data.celeba import load_celeba_hq_attributes
from tfflows.data.pipeline import evaluation_batches, training_batches
from tfflows.data.registry import DATASETS, DatasetSpec, canonical_name, dataset_spec, load_dataset
from tfflows.data.sources import (
    ArraySource,
    DatasetFingerprintError,
    DatasetNotFoundError,
    ImageSource,
    OnDemandSource,
    RecordSource,
    array_source,
    as_source,
)

__all__ = [
    "AUGMENTATIONS",
    "DATASETS",
    "ArraySource",
    "DatasetFingerprintError",
    "DatasetNotFoundError",
    "DatasetSpec",
    "ImageSource",
    "OnDemandSource",
    "RecordSource",
    "array_source",
    "as_source",
    "canonical_name",
    "dataset_spec",
    "evaluation_batches",
    "load_celeba_hq_attributes",
    "load_dataset",
    "training_batches",
]
