"""Integer maps of the bijectors, by the class of the bijector."""
