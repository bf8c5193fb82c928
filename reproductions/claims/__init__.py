"""The papers' claims, asked at a size that two cores can train."""
