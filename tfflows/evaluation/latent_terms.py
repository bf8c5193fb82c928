"""Names of what is measured of a bound over latents."""

# Of an image: the KL, and bits/dim of the pixels given latents of their own image, of the pixels given those of the image before
# it in its batch, and of the auxiliary image.
QUANTITIES = ("kl_nats", "pixel_bits_per_dim", "other_pixel_bits_per_dim", "auxiliary_bits_per_dim")
# Of a model as a whole: see `sample_distance`.
SAMPLE_DISTANCE = "sample_distance"
