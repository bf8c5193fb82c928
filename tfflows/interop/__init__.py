"""Loading and exporting weights by the names of the authors' released code."""
