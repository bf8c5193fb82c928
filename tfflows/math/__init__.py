"""Pure functions of tensors: no variables, no layers."""

from typing import TYPE_CHECKING

from tfflows.lazy import lazy_exports

if TYPE_CHECKING:  # for readers and tools; the table below is what runs
    from tfflows.math.actnorm import (
        at_least,
        data_dependent_exp_scale_then_shift,
        data_dependent_scale_then_shift,
        data_dependent_shift_then_scale,
        exp_scale_then_shift,
        moments,
        per_event_log_det,
        positive_scale_then_shift,
        unscale_then_unshift,
        unshift_then_exp_unscale,
        unshift_then_positive_unscale,
        unshift_then_unscale,
    )
    from tfflows.math.attention import self_attention
    from tfflows.math.auxiliary import area_mean, enlarge
    from tfflows.math.bounded_logit import bounded_logit_inverse, greatest_value
    from tfflows.math.convolution import (
        border_convolution,
        conv2d,
        conv2d_transpose,
        convolution_with_border,
        deinterleave,
        sums_bfloat16_in_float32,
        taps_on_border,
    )
    from tfflows.math.coupling import (
        colour_mask,
        contiguous,
        identity_log_scale,
        interleaved,
        inverse_scale_then_shift,
        inverse_scale_then_shift_of_sigmoid,
        inverse_shift_then_scale,
        log_sigmoid_scale,
        rescaled_tanh_log_scale,
        shift_then_sigmoid_scale,
    )
    from tfflows.math.discretized_logistic import check_num_levels, log_sigmoid_difference, logit, lower_edges, quantile
    from tfflows.math.discretized_logistic_mixture import (
        Components,
        components_of,
        num_parameters,
        rounded_to_levels,
        sample,
        to_levels,
        to_pixels,
    )
    from tfflows.math.gating import concat_elu, dropout_rows, gate, layer_norm
    from tfflows.math.invertible_conv import (
        inverse_matrix,
        is_invertible,
        log_abs_det,
        log_abs_det_and_inverse,
        lu_compose,
        lu_compose_inverse,
        lu_factors,
        matmul_channels,
        matrix_near_identity,
        orthogonal_matrix,
    )
    from tfflows.math.logistic_mixture import decode, encode, mixture_logit, mixture_logit_inverse, solve
    from tfflows.math.masked_convolution import (
        autoregressive_mask,
        canonical_kernel,
        canonical_size,
        causal_mask,
        check,
        convolve,
        from_canonical,
        pixel_network,
        shifted,
        to_canonical,
    )
    from tfflows.math.random import RowKeys, derive_seed, fold_in, kept_rows, normal_rows, row_keys, uniform_rows
    from tfflows.math.shapes import flatten_batch, product_as_factor, shape_of, sizes_of, unflatten_batch
    from tfflows.math.squeeze import merge_colours, split_colours, unsqueeze
    from tfflows.math.wavefront import Phase, Tap, Wavefront, diagonals, lines

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "actnorm": [
            "at_least",
            "data_dependent_exp_scale_then_shift",
            "data_dependent_scale_then_shift",
            "data_dependent_shift_then_scale",
            "exp_scale_then_shift",
            "moments",
            "per_event_log_det",
            "positive_scale_then_shift",
            "unscale_then_unshift",
            "unshift_then_exp_unscale",
            "unshift_then_positive_unscale",
            "unshift_then_unscale",
        ],
        "attention": ["self_attention"],
        "auxiliary": ["area_mean", "enlarge"],
        "bounded_logit": ["bounded_logit_inverse", "greatest_value"],
        "convolution": [
            "border_convolution",
            "conv2d",
            "conv2d_transpose",
            "convolution_with_border",
            "deinterleave",
            "sums_bfloat16_in_float32",
            "taps_on_border",
        ],
        "coupling": [
            "colour_mask",
            "contiguous",
            "identity_log_scale",
            "interleaved",
            "inverse_scale_then_shift",
            "inverse_scale_then_shift_of_sigmoid",
            "inverse_shift_then_scale",
            "log_sigmoid_scale",
            "rescaled_tanh_log_scale",
            "shift_then_sigmoid_scale",
        ],
        "discretized_logistic": ["check_num_levels", "log_sigmoid_difference", "logit", "lower_edges", "quantile"],
        "discretized_logistic_mixture": [
            "Components",
            "components_of",
            "num_parameters",
            "rounded_to_levels",
            "sample",
            "to_levels",
            "to_pixels",
        ],
        "gating": ["concat_elu", "dropout_rows", "gate", "layer_norm"],
        "invertible_conv": [
            "inverse_matrix",
            "is_invertible",
            "log_abs_det",
            "log_abs_det_and_inverse",
            "lu_compose",
            "lu_compose_inverse",
            "lu_factors",
            "matmul_channels",
            "matrix_near_identity",
            "orthogonal_matrix",
        ],
        "logistic_mixture": ["decode", "encode", "mixture_logit", "mixture_logit_inverse", "solve"],
        "masked_convolution": [
            "autoregressive_mask",
            "canonical_kernel",
            "canonical_size",
            "causal_mask",
            "check",
            "convolve",
            "from_canonical",
            "pixel_network",
            "shifted",
            "to_canonical",
        ],
        "random": ["RowKeys", "derive_seed", "fold_in", "kept_rows", "normal_rows", "row_keys", "uniform_rows"],
        "shapes": ["flatten_batch", "product_as_factor", "shape_of", "sizes_of", "unflatten_batch"],
        "squeeze": ["merge_colours", "split_colours", "unsqueeze"],
        "wavefront": ["Phase", "Tap", "Wavefront", "diagonals", "lines"],
    },
)
