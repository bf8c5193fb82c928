"""Bits/dim, records of results, their comparison with the papers, and the tables of both."""
