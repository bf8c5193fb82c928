"""Kernels by kind."""

import pytest

from benchmarks.glow.operations import KINDS, kind_of


@pytest.mark.parametrize(
    ("kernel", "kind"),
    [
        ("_MklNativeConv2DBackpropFilterWithBias", "convolutions"),
        ("_MklMatMul", "matrix products and transpositions"),
        ("ResourceApplyAdaMax", "updates of the parameters"),
        ("AddN", "sums"),
        ("AddV2", "elementwise"),
        ("StatelessRandomUniformFullIntV2", "random numbers"),
        ("MatrixInverse", "determinants and inverses"),
        ("ConcatV2", "splits and joins"),
        ("ReadVariableOp", "others"),
    ],
)
def test_kind_of_a_kernel(kernel, kind):
    assert kind_of(kernel) == kind
    assert kind in KINDS or kind == "others"
