"""`--mode=sample`, `interpolate` and `manipulate`."""


def write_samples(session):
    return []


def run_sample(session):
    """x"""


def run_interpolate(session):
    """x"""


def run_manipulate(session):
    """x"""
