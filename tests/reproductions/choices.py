"""The choices that the experiments of a paper have."""

from reproductions.fields import settings_of


def own_choices(kind):
    """`{field: choices}` of those that a class of experiments declares itself."""
    return {
        name: own.choices for name, own in settings_of(kind).items() if own.choices and name in kind.__annotations__
    }
