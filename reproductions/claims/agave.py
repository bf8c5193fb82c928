"""The claims of AGAVE in table 1, figures 3 to 5 and section 4, as comparisons of arms."""

from reproductions.claims.comparisons import EQUALITY, MEASURED, Comparison
from reproductions.claims.quantities import AUXILIARY, KL, OTHER_LATENTS, PIXELS, SAMPLE_DISTANCE, VAE_BITS_PER_DIM


def _comparison(name, claim, lower, higher, paper_effect="a curve (figure 4)", **options):
    return Comparison("agave", name, claim, f"study_{lower}", f"study_{higher}", paper_effect, **options)


def _levels(fewer, more, arm):
    return _comparison(
        f"levels_{fewer}_below_{more}",
        f"{fewer} levels of the auxiliary image reach fewer bits/dim than {more}, at lambda 8 (figure 5)",
        f"levels_{fewer}",
        arm,
        "a curve (figure 5b)",
    )


COMPARISONS = [
    _comparison(
        "auxiliary_keeps_kl",
        "without the auxiliary loss (eq. 6) the latents carry fewer nats than with it (eq. 7, lambda 2)",
        "no_auxiliary",
        "lambda_2",
        "in words (section 3.2)",
        quantity=KL,
    ),
    _comparison(
        "auxiliary_makes_pixels_follow",
        "latents of another image cost the pixels less without the auxiliary loss (eq. 6) than with it (eq. 7, lambda 2)",
        "no_auxiliary",
        "lambda_2",
        "in words (section 3.2)",
        quantity=OTHER_LATENTS,
    ),
    _comparison(
        "lambda_2_below_1",
        "lambda 2 reaches fewer bits/dim than lambda 1 (figure 4)",
        "lambda_2",
        "lambda_1",
        "0.2 (section 4.2)",
    ),
    _comparison(
        "lambda_12_below_2", "lambda 12 reaches fewer bits/dim than lambda 2 (figure 4)", "lambda_12", "lambda_2"
    ),
    _comparison(
        "kl_falls_with_lambda",
        "with lambda 12 the latents carry fewer nats than with lambda 2 (figure 4)",
        "lambda_12",
        "lambda_2",
        quantity=KL,
    ),
    _comparison(
        "pixels_rise_with_lambda",
        "given the latents, pixels cost fewer bits with lambda 2 than with lambda 12 (figure 4)",
        "lambda_2",
        "lambda_12",
        quantity=PIXELS,
    ),
    _comparison(
        "auxiliary_image_rises_with_lambda",
        "given the latents, the auxiliary image costs fewer bits with lambda 2 than with lambda 12 (figure 4)",
        "lambda_2",
        "lambda_12",
        quantity=AUXILIARY,
    ),
    _comparison(
        "vae_rises_with_lambda",
        "the VAE by itself has fewer bits/dim with lambda 2 than with lambda 12 (figure 4)",
        "lambda_2",
        "lambda_12",
        quantity=VAE_BITS_PER_DIM,
    ),
    _comparison(
        "samples_near_reconstructions",
        "the VAE's samples are nearer to its reconstructions with lambda 12 than with lambda 2 (figure 3)",
        "lambda_12",
        "lambda_2",
        "pictures (figure 3)",
        quantity=SAMPLE_DISTANCE,
    ),
    _levels(64, 256, "lambda_8"),
    _levels(16, 64, "levels_64"),
    _levels(4, 16, "levels_16"),
    _comparison(
        "agave_below_iaf_vae",
        "AGAVE (lambda 12) reaches fewer bits/dim than the IAF-VAE by itself, of the size of its own VAE (table 1)",
        "lambda_12",
        "iaf_vae",
        "0.19: 2.92 against 3.11 (of 150 samples)",
    ),
    _comparison(
        "agave_below_iaf_vae_matched",
        "AGAVE (lambda 12) reaches fewer bits/dim than an IAF-VAE of as many parameters",
        "lambda_12",
        "iaf_vae_matched",
        "",
        judged=MEASURED,
    ),
    _comparison(
        "agave_equals_pixelcnn",
        "AGAVE (lambda 12) reaches as many bits/dim as the PixelCNN++ by itself, of the size of its own decoder (table 1)",
        "lambda_12",
        "pixelcnn",
        "0.00: 2.92 against 2.92 (of 150 samples)",
        judged=EQUALITY,
    ),
]
