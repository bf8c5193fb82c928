"""Normalizing flows for images in TensorFlow: bijectors, distributions, training, evaluation."""

__version__ = "0.2.0"
