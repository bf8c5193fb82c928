"""What trained models are measured by: bits/dim, bounds, samples, and what their latents do."""

from typing import TYPE_CHECKING

from tfflows.lazy import lazy_exports

if TYPE_CHECKING:  # for readers and tools; the table below is what runs
    from tfflows.evaluation.bits_per_dim import BitsPerDim, Evaluator
    from tfflows.evaluation.checks import CheckReport, Finding, check_model
    from tfflows.evaluation.directions import (
        Directions,
        attribute_directions,
        cached_directions,
        class_directions,
        load_directions,
        save_directions,
    )
    from tfflows.evaluation.grids import (
        captioned_grid,
        check_captions,
        check_text_can_be_drawn,
        enlarged,
        enlargement,
        grid_bytes,
        image_grid,
        is_drawable,
        join_caption,
        near_square_columns,
    )
    from tfflows.evaluation.image_files import file_bits_per_dim
    from tfflows.evaluation.importance import ImportanceBitsPerDim, ImportanceEvaluator
    from tfflows.evaluation.interpolation import interpolate, interpolate_with, write_interpolation
    from tfflows.evaluation.jacobians import estimated_log_abs_det, log_abs_det
    from tfflows.evaluation.latent_use import describe_terms, measure_terms
    from tfflows.evaluation.latents import LatentCodec, is_conditional, num_classes_of
    from tfflows.evaluation.log_weights import (
        LogWeights,
        load_log_weights,
        read_log_weights_description,
        save_log_weights,
    )
    from tfflows.evaluation.manipulation import manipulate, write_manipulation
    from tfflows.evaluation.reconstructions import write_reconstructions
    from tfflows.evaluation.sample_distance import frechet_distance
    from tfflows.evaluation.samples import (
        find_samples,
        numbered_name,
        sample_images,
        sample_path,
        write_png,
        write_samples,
    )

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "bits_per_dim": ["BitsPerDim", "Evaluator"],
        "checks": ["CheckReport", "Finding", "check_model"],
        "directions": [
            "Directions",
            "attribute_directions",
            "cached_directions",
            "class_directions",
            "load_directions",
            "save_directions",
        ],
        "grids": [
            "captioned_grid",
            "check_captions",
            "check_text_can_be_drawn",
            "enlarged",
            "enlargement",
            "grid_bytes",
            "image_grid",
            "is_drawable",
            "join_caption",
            "near_square_columns",
        ],
        "image_files": ["file_bits_per_dim"],
        "importance": ["ImportanceBitsPerDim", "ImportanceEvaluator"],
        "interpolation": ["interpolate", "interpolate_with", "write_interpolation"],
        "jacobians": ["estimated_log_abs_det", "log_abs_det"],
        "latent_use": ["describe_terms", "measure_terms"],
        "latents": ["LatentCodec", "is_conditional", "num_classes_of"],
        "log_weights": ["LogWeights", "load_log_weights", "read_log_weights_description", "save_log_weights"],
        "manipulation": ["manipulate", "write_manipulation"],
        "reconstructions": ["write_reconstructions"],
        "sample_distance": ["frechet_distance"],
        "samples": ["find_samples", "numbered_name", "sample_images", "sample_path", "write_png", "write_samples"],
    },
)
