"""Two processes that TF_CONFIG names train as one process with the same global batch."""

import pytest


@pytest.mark.slow
def test_two_workers_stop_together_and_end_with_the_figures_of_one_process(interrupted_runs):
    """See interrupted_runs.py: one of the two is told to stop half-way."""
    interrupted_runs("two_workers")
