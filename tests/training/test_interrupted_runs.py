"""The command of a reproduction, interrupted in every way, ends with the figures of an unbroken run."""

import pytest


@pytest.mark.parametrize("scenario", ["killed", "terminated", "in_evaluation", "after_the_last_step", "full_disk"])
@pytest.mark.slow
def test_the_same_command_ends_with_the_same_figures(interrupted_runs, scenario):
    """See interrupted_runs.py for each scenario, and for what is compared."""
    interrupted_runs(scenario)
