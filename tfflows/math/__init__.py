"""Pure functions of tensors: no variables, no layers."""
