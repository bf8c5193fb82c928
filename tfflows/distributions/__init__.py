"""What is not a bijection: discrete images under continuous densities, and the bounds that this gives."""
