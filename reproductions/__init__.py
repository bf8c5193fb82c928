"""Reproductions of papers, the driver that their commands share, and the code that keeps and publishes results."""
