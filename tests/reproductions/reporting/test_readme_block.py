"""The README's table holds what the records say, and nothing else of the README changes."""

import pytest

from reproductions.reporting.readme_block import BEGIN, END, replace_block


def test_only_the_block_changes():
    readme = f"# Title\n\n{BEGIN}\nold\n{END}\n\nrest"
    once = replace_block(readme, "new")
    assert once == f"# Title\n\n{BEGIN}\n\nnew\n\n{END}\n\nrest"
    assert replace_block(once, "new") == once


@pytest.mark.parametrize("readme", ["none", f"{BEGIN} only", f"{END} before {BEGIN}"])
def test_markers_are_needed(readme):
    with pytest.raises(ValueError, match="must hold"):
        replace_block(readme, "new")
