"""Equal blocks traced once, recomputed or rebuilt in the backward pass, and where their variables lie."""
