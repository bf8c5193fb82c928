"""Reproduction of Glow (Kingma & Dhariwal 2018), https://arxiv.org/abs/1807.03039."""
