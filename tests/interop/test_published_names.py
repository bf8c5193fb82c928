"""The authors' names of published configurations: each variable has its own, and none is left out."""

import contextlib
import dataclasses

import pytest
import tensorflow as tf

from reproductions.agave.reproduction import AGAVE
from reproductions.flowpp.reproduction import FLOWPP
from reproductions.glow.reproduction import GLOW
from reproductions.macow.reproduction import MACOW
from reproductions.realnvp.reproduction import REALNVP
from reproductions.vflow.reproduction import VFLOW
from tests.slow import slow_but
from tfflows.interop import agave, flowpp, glow, macow, realnvp, vflow
from tfflows.tracing.variables import as_variable, named_variables

INTEROP = {"glow": glow, "flowpp": flowpp, "macow": macow, "vflow": vflow, "agave": agave, "realnvp": realnvp}
PAPERS = {reproduction.paper: reproduction for reproduction in (GLOW, FLOWPP, MACOW, VFLOW, AGAVE, REALNVP)}
SHALLOW = {"glow": {"depth": 1}, "flowpp": {"num_blocks": 1}, "vflow": {"num_blocks": 1}, "realnvp": {"num_blocks": 1}}
# What decides about the names of a MaCow's variables; several data sets have one architecture.
MACOW_FIELDS = ("variant", "factors", "coupling", "prior_coupling", "dequantization", "context_planes")


def published(paper):
    """The names of the published experiments, of those of MaCow one an architecture."""
    found = {
        name: experiment
        for name, experiment in PAPERS[paper].experiments.items()
        if experiment.scale == "paper" and "claims" not in name
    }
    if paper == "macow":
        found = {
            tuple(getattr(own, field) for field in MACOW_FIELDS): (name, own) for name, own in found.items()
        }.values()
        return [name for name, _ in found]
    return list(found)


CASES = [f"{paper} {name}" for paper in PAPERS for name in published(paper)]
BY_DEFAULT = ("glow celeba_hq", "agave cifar10_pixelcnn")


def shallow(paper, name):
    """A published experiment with all levels and stages, but narrow and with fewer equal layers."""
    experiment = PAPERS[paper].small(PAPERS[paper].experiments[name])
    if paper != "macow":
        return dataclasses.replace(experiment, **SHALLOW.get(paper, {}))
    full, changes = PAPERS[paper].experiments[name], {}
    for field in ("steps", "dequantization_steps"):
        changes[field] = tuple(tuple(1 for _ in level) for level in getattr(full, field))
    for field in ("widths", "dequantization_widths", "context_planes"):
        # The planes stay different, and so do the shapes.
        changes[field] = tuple(4 + 2 * number for number, _ in enumerate(getattr(full, field)))
    return dataclasses.replace(full, **changes)


@pytest.mark.parametrize("case", slow_but(BY_DEFAULT, CASES))
def test_every_variable_has_one_name(case):
    """Built in a graph, so that no memory is needed; MaCow, whose many small layers take longer there, eagerly."""
    paper, name = case.split()
    reproduction, experiment = PAPERS[paper], shallow(paper, name)
    with contextlib.nullcontext() if paper == "macow" else tf.Graph().as_default():
        model = reproduction.build_model(experiment, [experiment.image_size, experiment.image_size, 3], 10, 0)
        if paper in ("glow", "realnvp"):
            places = [((own,), variable) for own, variable in INTEROP[paper].released_variables(model).items()]
        else:
            places = [(place.names, place.variable) for place in INTEROP[paper].released_places(model)]
        names = [own for owns, _ in places for own in owns]
        assert len(set(names)) == len(names)
        reached = {id(variable) for _, variable in places}
        assert [
            own for own, variable in named_variables(model).items() if id(as_variable(variable)) not in reached
        ] == []
