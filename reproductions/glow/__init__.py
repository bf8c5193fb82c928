"""Glow (Kingma & Dhariwal 2018)."""
