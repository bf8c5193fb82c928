"""The claims of AGAVE in table 1, figure 4 and section 4, as comparisons of arms."""

from reproductions.claims.comparisons import Comparison, TermComparison

PROTOCOL = (
    "CIFAR-10 averaged over 2x2 blocks (16x16), 3,000 steps of batch 32, half a million parameters, both halves together from "
    "the start, one draw of the latents an image (paper: 32x32, separate pretraining)"
)


def _comparison(name, claim, lower, higher, paper_effect="no number"):
    return Comparison("agave", name, claim, f"claims_{lower}", f"claims_{higher}", paper_effect)


def _terms(name, claim, lower, higher, term, less=""):
    return TermComparison("agave", name, claim, f"claims_{lower}", f"claims_{higher}", term, less, "no number")


COMPARISONS = [
    _terms(
        "auxiliary_keeps_kl",
        "without the auxiliary loss (eq. 6) the latents carry fewer nats than with it (eq. 7, lambda 2)",
        "no_auxiliary",
        "guided",
        "kl_nats",
    ),
    _terms(
        "auxiliary_makes_pixels_follow",
        "latents of another image cost the pixels less without the auxiliary loss (eq. 6) than with it (eq. 7, lambda 2)",
        "no_auxiliary",
        "guided",
        "other_pixel_bits_per_dim",
        less="pixel_bits_per_dim",
    ),
    _comparison(
        "lambda_2_below_1",
        "lambda 2 reaches fewer bits/dim than lambda 1 (figure 4)",
        "guided",
        "lambda_1",
        "0.2 (section 4.2)",
    ),
    _comparison(
        "lambda_12_below_2", "lambda 12 reaches fewer bits/dim than lambda 2 (figure 4)", "lambda_12", "guided"
    ),
    _terms(
        "kl_falls_with_lambda",
        "with lambda 12 the latents carry fewer nats than with lambda 2 (figure 4)",
        "lambda_12",
        "guided",
        "kl_nats",
    ),
    _terms(
        "pixels_rise_with_lambda",
        "given the latents, pixels cost fewer bits with lambda 2 than with lambda 12 (figure 4)",
        "guided",
        "lambda_12",
        "pixel_bits_per_dim",
    ),
    _terms(
        "auxiliary_image_rises_with_lambda",
        "given the latents, the auxiliary image costs fewer bits with lambda 2 than with lambda 12 (figure 4)",
        "guided",
        "lambda_12",
        "auxiliary_bits_per_dim",
    ),
    _comparison(
        "agave_below_iaf_vae",
        "AGAVE (lambda 12) reaches fewer bits/dim than the IAF-VAE by itself (table 1)",
        "lambda_12",
        "iaf_vae",
        "0.19: 2.92 against 3.11 (of 150 samples)",
    ),
    _comparison(
        "agave_below_pixelcnn",
        "AGAVE (lambda 12) reaches fewer bits/dim than the PixelCNN++ by itself (table 1, where they reach as many)",
        "lambda_12",
        "pixelcnn",
        "0.00: 2.92 against 2.92 (of 150 samples)",
    ),
]
