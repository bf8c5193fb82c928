"""The text of `--help`: the flags that most people need, by what they are for."""

import textwrap

from absl import flags

# All others are in `--helpfull`.
GROUPS = {
    "What to run": (
        "dataset",
        "experiment",
        "list",
        "mode",
        "scale",
        "steps",
        "batch_size",
        "set",
        "seed",
        "init_from",
    ),
    "Where": ("workdir", "data_dir", "results_dir"),
    "Devices, speed and memory": ("strategy", "side_by_side", "memory"),
    "Results": ("evaluation_images", "importance_samples", "image_files"),
    "Pictures": ("samples", "temperature", "label", "images"),
}
_WIDTH, _INDENT = 100, 24


def help_text(title: str, program: str, variants: str = "") -> str:
    """Returns the text of `--help`.

    Args:
      title: What the program is.
      program: How it is called.
      variants: What `--variant` takes, in words; empty if the paper has no variants.
    """
    parts = [title, "", f"Usage: {program} --dataset=NAME [flags]"]
    for group, names in GROUPS.items():
        parts += ["", f"{group}:", *(_line(flags.FLAGS[name]) for name in names)]
    if variants:
        parts += ["", variants]
    return "\n".join([*parts, "", "--helpfull shows all flags, --list all experiments."])


def _line(flag):
    """A flag with its help and its default, wrapped."""
    name = f"  --{flag.name}"
    text = flag.help.partition(";\n")[0]  # absl adds to flags that can be repeated that they can
    default = (flag.default_as_str or "").strip("'[]")
    if default and not flag.boolean and "Default" not in text:
        text += f" Default: {default}."
    lines = textwrap.wrap(text, _WIDTH - _INDENT)
    first = f"{name:<{_INDENT}}{lines[0]}" if len(name) < _INDENT else f"{name}\n{'':{_INDENT}}{lines[0]}"
    return "\n".join([first, *(f"{'':{_INDENT}}{line}" for line in lines[1:])])
