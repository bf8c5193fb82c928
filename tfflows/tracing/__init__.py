"""Equal blocks traced once, recomputed or rebuilt in the backward pass; the names and places of their variables."""
