"""Data sets of the papers: what they are, how they are prepared, and batches as a function of (seed, step)."""

from typing import TYPE_CHECKING

from tfflows.lazy import lazy_exports

if TYPE_CHECKING:  # for readers and tools; the table below is what runs
    from tfflows.data.augmentation import (
        AUGMENTATIONS,
        affine_matrices,
        augment,
        check_augmentation,
        crop_reflected,
        flip_columns,
        transform_bilinear,
        translate_bilinear,
    )
    from tfflows.data.celeba import (
        image_numbers,
        load_celeba_hq_attributes,
        read_attribute_names,
        read_celeba_attributes,
        read_index_map,
    )
    from tfflows.data.division import cut, divide, hash_order, pool_of
    from tfflows.data.embedded import digits, photographs
    from tfflows.data.images import Header, read_header, read_image
    from tfflows.data.lsun import decode, square
    from tfflows.data.pipeline import evaluation_batches, training_batches, without_tuner
    from tfflows.data.preprocessing import (
        average_2x2,
        average_box,
        celeba_square,
        centre_square,
        crop_at,
        describe_resize,
        imagenet_pyramid,
        pad_mnist,
        reduce_short_side,
        resize,
    )
    from tfflows.data.registry import (
        DATASETS,
        DatasetSpec,
        OwnImages,
        canonical_name,
        dataset_spec,
        is_own,
        load_dataset,
        own_spec,
        short_name,
        stored_image_shape,
    )
    from tfflows.data.sources import (
        ArraySource,
        DatasetFingerprintError,
        DatasetNotFoundError,
        ImageSource,
        OnDemandSource,
        RecordFile,
        RecordSource,
        array_source,
        as_source,
        file_table,
        find_damage,
        in_color,
        naming_damage,
        read_file,
        read_in_order,
        reading,
        stored_name,
        stretch,
    )
    from tfflows.data.tfds_sets import open_builder, read_split

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "augmentation": [
            "AUGMENTATIONS",
            "affine_matrices",
            "augment",
            "check_augmentation",
            "crop_reflected",
            "flip_columns",
            "transform_bilinear",
            "translate_bilinear",
        ],
        "celeba": [
            "image_numbers",
            "load_celeba_hq_attributes",
            "read_attribute_names",
            "read_celeba_attributes",
            "read_index_map",
        ],
        "division": ["cut", "divide", "hash_order", "pool_of"],
        "embedded": ["digits", "photographs"],
        "images": ["Header", "read_header", "read_image"],
        "lsun": ["decode", "square"],
        "pipeline": ["evaluation_batches", "training_batches", "without_tuner"],
        "preprocessing": [
            "average_2x2",
            "average_box",
            "celeba_square",
            "centre_square",
            "crop_at",
            "describe_resize",
            "imagenet_pyramid",
            "pad_mnist",
            "reduce_short_side",
            "resize",
        ],
        "registry": [
            "DATASETS",
            "DatasetSpec",
            "OwnImages",
            "canonical_name",
            "dataset_spec",
            "is_own",
            "load_dataset",
            "own_spec",
            "short_name",
            "stored_image_shape",
        ],
        "sources": [
            "ArraySource",
            "DatasetFingerprintError",
            "DatasetNotFoundError",
            "ImageSource",
            "OnDemandSource",
            "RecordFile",
            "RecordSource",
            "array_source",
            "as_source",
            "file_table",
            "find_damage",
            "in_color",
            "naming_damage",
            "read_file",
            "read_in_order",
            "reading",
            "stored_name",
            "stretch",
        ],
        "tfds_sets": ["open_builder", "read_split"],
    },
)
