"""Flags and modes shared by the `run.py` of every reproduction."""
