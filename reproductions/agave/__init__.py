"""Reproduction of AGAVE (Lucas & Verbeek 2018), https://arxiv.org/abs/1711.11479."""
