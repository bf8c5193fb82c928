"""The authors' names of published configurations: each variable has its own, and none is left out."""

import dataclasses

import pytest
import tensorflow as tf

from reproductions.agave.reproduction import AGAVE
from reproductions.flowpp.reproduction import FLOWPP
from reproductions.glow.reproduction import GLOW
from reproductions.macow.reproduction import MACOW
from reproductions.vflow.reproduction import VFLOW
from tests.slow import slow_but
from tfflows.interop import agave, flowpp, glow, macow, vflow
from tfflows.tracing.variables import as_variable, named_variables

INTEROP = {"glow": glow, "flowpp": flowpp, "macow": macow, "vflow": vflow, "agave": agave}
PAPERS = {reproduction.paper: reproduction for reproduction in (GLOW, FLOWPP, MACOW, VFLOW, AGAVE)}
SHALLOW = {"glow": {"depth": 1}, "flowpp": {"num_blocks": 1}, "vflow": {"num_blocks": 1}}
CASES = [
    f"{paper} {name}"
    for paper, reproduction in PAPERS.items()
    for name, experiment in reproduction.experiments.items()
    if experiment.scale == "paper" and "claims" not in name and (paper in SHALLOW or paper == "agave")
]
BY_DEFAULT = ("glow celeba_hq", "agave cifar10_pixelcnn")


@pytest.mark.parametrize("case", slow_but(BY_DEFAULT, CASES))
def test_every_variable_has_one_name(case):
    """Built in a graph, with all levels and stages but fewer equal layers, so that no memory is needed."""
    paper, name = case.split()
    reproduction = PAPERS[paper]
    experiment = dataclasses.replace(reproduction.small(reproduction.experiments[name]), **SHALLOW.get(paper, {}))
    with tf.Graph().as_default():
        model = reproduction.build_model(experiment, [experiment.image_size, experiment.image_size, 3], 10, 0)
        if paper == "glow":
            places = [((own,), variable) for own, variable in glow.released_variables(model).items()]
        else:
            places = [(place.names, place.variable) for place in INTEROP[paper].released_places(model)]
        names = [own for owns, _ in places for own in owns]
        assert len(set(names)) == len(names)
        reached = {id(variable) for _, variable in places}
        assert [
            own for own, variable in named_variables(model).items() if id(as_variable(variable)) not in reached
        ] == []
