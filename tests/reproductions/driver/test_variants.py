"""What `--variant` takes is said in words that `--set` understands."""

import dataclasses

import pytest

from reproductions.agave.reproduction import AGAVE
from reproductions.driver.variants import describe_variants
from reproductions.fields import override
from reproductions.flowpp.reproduction import FLOWPP
from reproductions.glow.reproduction import GLOW
from reproductions.vflow.reproduction import VFLOW


@pytest.mark.parametrize("reproduction", [GLOW, FLOWPP, VFLOW], ids=lambda reproduction: reproduction.paper)
def test_what_is_listed_gives_the_form(reproduction):
    text = " ".join(describe_variants(reproduction).split()).removesuffix(".")
    everywhere = text.removeprefix("--variant=paper is the same as --set ").partition("; ")[0].split(", ")
    released, form = (reproduction.named_experiment(name) for name in ("imagenet64", "imagenet64_paper"))
    left = reproduction.variant_changes(override(released, everywhere), "paper")
    # What is left is listed with the names of the experiments that it is of.
    for field, value in left.items():
        assert "imagenet64" in text.partition(f"{field}={value} (")[2].partition(")")[0]
    set_by_hand = override(released, [*everywhere, *(f"{field}={value}" for field, value in left.items())])
    assert set_by_hand == dataclasses.replace(form, name=released.name, source=released.source)


def test_a_paper_with_one_form_has_none_to_describe():
    assert describe_variants(AGAVE) == ""
