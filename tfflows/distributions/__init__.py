"""What is not a bijection: discrete images under continuous densities, and the bounds that this gives."""

from typing import TYPE_CHECKING

from tfflows.lazy import lazy_exports

if TYPE_CHECKING:  # for readers and tools; the table below is what runs
    from tfflows.distributions.agave import AGAVE, Terms
    from tfflows.distributions.augmented_flow import AugmentedFlow, augment
    from tfflows.distributions.augmenters import FlowAugmenter, GaussianAugmenter, NormalAugmenter, make_augmenter
    from tfflows.distributions.classifying_flow import ClassifyingFlow
    from tfflows.distributions.conditional_noise import ConditionalNoise, log_standard_normal, noise_beside
    from tfflows.distributions.dequantized_flow import DequantizedFlow
    from tfflows.distributions.dequantizers import (
        UniformDequantizer,
        VariationalDequantizer,
        bits_per_dim,
        center,
        quantize,
        to_images,
    )
    from tfflows.distributions.discretized_logistic import DiscretizedLogistic
    from tfflows.distributions.discretized_logistic_mixture import DiscretizedLogisticMixture
    from tfflows.distributions.iaf_ladder import BottomUpBlock, Evidence, IAFLadder, TopDownBlock, double, log_normal
    from tfflows.distributions.iaf_vae import IAFVAE, free_kl, total_kl
    from tfflows.distributions.image_model import ImageModel, check_distribution, log_mean_weight, refuse_reversible
    from tfflows.distributions.penalized_flow import PenalizedFlow
    from tfflows.distributions.pixelcnn_images import PixelCNNImages

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "agave": ["AGAVE", "Terms"],
        "augmented_flow": ["AugmentedFlow", "augment"],
        "augmenters": ["FlowAugmenter", "GaussianAugmenter", "NormalAugmenter", "make_augmenter"],
        "classifying_flow": ["ClassifyingFlow"],
        "conditional_noise": ["ConditionalNoise", "log_standard_normal", "noise_beside"],
        "dequantized_flow": ["DequantizedFlow"],
        "dequantizers": [
            "UniformDequantizer",
            "VariationalDequantizer",
            "bits_per_dim",
            "center",
            "quantize",
            "to_images",
        ],
        "discretized_logistic": ["DiscretizedLogistic"],
        "discretized_logistic_mixture": ["DiscretizedLogisticMixture"],
        "iaf_ladder": ["BottomUpBlock", "Evidence", "IAFLadder", "TopDownBlock", "double", "log_normal"],
        "iaf_vae": ["IAFVAE", "free_kl", "total_kl"],
        "image_model": ["ImageModel", "check_distribution", "log_mean_weight", "refuse_reversible"],
        "penalized_flow": ["PenalizedFlow"],
        "pixelcnn_images": ["PixelCNNImages"],
    },
)
