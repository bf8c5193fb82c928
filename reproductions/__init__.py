"""Reproductions of papers, what their commands share, and what keeps and publishes results."""
