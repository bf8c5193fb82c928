"""Which of a paper's experiments a test runs by default: one for each graph that they make."""

import pytest


def distinct_experiments(experiments, fields, claims_experiment):
    """Names as parameters; those whose `fields` an earlier one shares are slow, as are all of the claims study but one.

    Args:
      experiments: By name.
      fields: What a graph depends on.
      claims_experiment: The one of the claims study, whose arms are the ablation's once more at half the size.
    """
    seen = set()
    for name, experiment in experiments.items():
        key = tuple(getattr(experiment, field) for field in fields)
        repeated = name != claims_experiment if experiment.scale == "claims" else key in seen
        seen.add(key)
        yield pytest.param(name, marks=[pytest.mark.slow] if repeated else [])
