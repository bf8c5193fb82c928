"""What `--variant` takes, in words."""

import textwrap

from reproductions.experiment import Reproduction
from reproductions.fields import text_of


def describe_variants(reproduction: Reproduction, width: int = 100) -> str:
    """Returns a sentence for each variant of a paper but the default one, or an empty text if there are none.

    A variant with other values of some fields says which, as `--set` takes them. What it changes in some of the paper's
    experiments only has their names behind it.

    Args:
      reproduction: The reproduction.
      width: Largest number of characters of a line.

    Example:
      >>> from reproductions.driver.variants import describe_variants
      >>> from reproductions.macow.reproduction import MACOW
      >>> print(describe_variants(MACOW))
      --variant=release takes the experiments whose names end with _release.
    """
    sentences = []
    for variant in reproduction.variants[1:]:
        if variant in reproduction.variant_fields:
            text = f"--variant={variant} is the same as --set {_changes(reproduction, variant)}."
        else:
            text = f"--variant={variant} takes the experiments whose names end with _{variant}."
        sentences.append(textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False))
    return "\n".join(sentences)


def _changes(reproduction, variant):
    published = [experiment for experiment in reproduction.experiments.values() if experiment.scale == "paper"]
    forms = [reproduction.variant_fields[variant](experiment) for experiment in published]
    common = {field: value for field, value in forms[0].items() if all(form.get(field) == value for form in forms)}
    names: dict[str, list[str]] = {}
    for experiment in published:
        for field, value in reproduction.variant_changes(experiment, variant).items():
            if field not in common:
                names.setdefault(f"{field}={_text(value)}", []).append(experiment.name)
    everywhere = [f"{field}={_text(value)}" for field, value in common.items()]
    elsewhere = [f"{change} ({', '.join(of)})" for change, of in names.items()]
    return ", ".join(everywhere) + (f"; of some experiments, {', '.join(elsewhere)}" if elsewhere else "")


def _text(value):
    text = str(text_of(value))
    return f'"{text}"' if " " in text else text
