"""Names of the quantities that are measured for a bound over latents."""

# Per image: the KL, and bits/dim of the pixels given the latents of their own image, of the pixels given those of the image
# before it in the batch, and of the auxiliary image.
QUANTITIES = ("kl_nats", "pixel_bits_per_dim", "other_pixel_bits_per_dim", "auxiliary_bits_per_dim")
# For the model as a whole, see `sample_distance`.
SAMPLE_DISTANCE = "sample_distance"
