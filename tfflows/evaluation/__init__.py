"""What trained models are measured by: bits/dim, bounds, samples, and what their latents do."""
