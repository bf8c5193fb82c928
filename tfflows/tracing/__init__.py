"""Equal blocks traced once, recomputed or rebuilt in the backward pass; the names and places of their variables."""

from typing import TYPE_CHECKING

from tfflows.lazy import lazy_exports

if TYPE_CHECKING:  # for readers and tools; the table below is what runs
    from tfflows.tracing.batch_statistics import (
        BatchStatistics,
        Update,
        has_batch_statistics,
        in_training_pass,
        normalizing_moments,
        num_replicas,
        pass_within,
        record_batch_statistic,
    )
    from tfflows.tracing.finite import (
        NotFiniteError,
        check_finite,
        described,
        find_not_finite,
        is_finite,
        naming_singular,
        refuse,
    )
    from tfflows.tracing.gradients import GradientSums, add, gradients_of, is_differentiable, opposite, pull_back, watch
    from tfflows.tracing.memory import memory_mode, memory_scope, reversible_value_and_log_det
    from tfflows.tracing.of_parameters import ComputedTogether, given_tensors, given_to, giving, is_computed_together
    from tfflows.tracing.reports import reporting
    from tfflows.tracing.sampler import compiled_pixels, compiles_pixels, current_sampler, sampler_scope
    from tfflows.tracing.shared_blocks import SharedBlocks, are_traced_apart, traces_apart
    from tfflows.tracing.shared_layers import SharedLayers
    from tfflows.tracing.stateless import Derived, Structure, is_assignment, pure
    from tfflows.tracing.together import Together, computing_together
    from tfflows.tracing.variables import (
        CopiedWithoutLayers,
        as_variable,
        check_built,
        copied_by_attributes,
        count_as_done,
        count_parameters,
        is_module,
        named_variables,
        own_children,
        parameter_table,
        public_children,
        share_variables,
        short_variable_names,
        unlisted_variables,
        variables_of_layers,
        walk,
    )

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "batch_statistics": [
            "BatchStatistics",
            "Update",
            "has_batch_statistics",
            "in_training_pass",
            "normalizing_moments",
            "num_replicas",
            "pass_within",
            "record_batch_statistic",
        ],
        "finite": [
            "NotFiniteError",
            "check_finite",
            "described",
            "find_not_finite",
            "is_finite",
            "naming_singular",
            "refuse",
        ],
        "gradients": ["GradientSums", "add", "gradients_of", "is_differentiable", "opposite", "pull_back", "watch"],
        "memory": ["memory_mode", "memory_scope", "reversible_value_and_log_det"],
        "of_parameters": ["ComputedTogether", "given_tensors", "given_to", "giving", "is_computed_together"],
        "reports": ["reporting"],
        "sampler": ["compiled_pixels", "compiles_pixels", "current_sampler", "sampler_scope"],
        "shared_blocks": ["SharedBlocks", "are_traced_apart", "traces_apart"],
        "shared_layers": ["SharedLayers"],
        "stateless": ["Derived", "Structure", "is_assignment", "pure"],
        "together": ["Together", "computing_together"],
        "variables": [
            "CopiedWithoutLayers",
            "as_variable",
            "check_built",
            "copied_by_attributes",
            "count_as_done",
            "count_parameters",
            "is_module",
            "named_variables",
            "own_children",
            "parameter_table",
            "public_children",
            "share_variables",
            "short_variable_names",
            "unlisted_variables",
            "variables_of_layers",
            "walk",
        ],
    },
)
