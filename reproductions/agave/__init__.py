"""AGAVE (Lucas & Verbeek 2018)."""
