"""A study of the papers' claims at a size that two cores can train."""
