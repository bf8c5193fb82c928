"""How many steps each stage of a training takes.

`--steps` is the whole training: its stages share it in the proportion that they have in the experiment. With `--stage` it is the
number of steps of that stage.
"""

import collections
import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from reproductions.experiment import Experiment, Reproduction
from reproductions.fields import assigned_fields, settings_of
from tfflows.training.workdir import EXPERIMENT_FILE, read_experiment

# In the `experiment.json` of each stage of a run whose --steps was shared. In older ones it was that of the last stage alone.
SHARES_STEPS = "shares_steps"


def experiment_of_base(reproduction: Reproduction, chosen: Experiment) -> Experiment:
    """Returns the paper's experiment at the scale of a chosen one, without what the flags changed.

    Args:
      reproduction: The paper's reproduction.
      chosen: The experiment from `select_experiment`.
    """
    base = reproduction.named_experiment(chosen.name)
    if chosen.scale == "small" and base.scale == "paper":
        base = reproduction.small(base)
    return base


def share_steps(reproduction: Reproduction, experiment: Experiment, total: int) -> dict[str, int]:
    """Returns `{field: steps}` with which the stages of an experiment take `total` steps, at least one each.

    Args:
      reproduction: The paper's reproduction.
      experiment: The experiment; the stages keep its proportions. The last stage takes what rounding leaves.
      total: Steps of all stages together.

    Example:
      >>> from reproductions.agave.reproduction import AGAVE
      >>> from reproductions.driver.stages import share_steps
      >>> share_steps(AGAVE, AGAVE.small(AGAVE.experiments["cifar10"]), 100)  # 1,000, 1,000 and 2,000 steps
      {'pretraining_steps': 25, 'num_steps': 50}
    """
    fields = [reproduction.steps_of_stages[stage] for stage in reproduction.stages(experiment)]
    stages_of = collections.Counter(fields)
    *earlier, last = dict.fromkeys(fields)
    whole = sum(getattr(experiment, field) for field in fields)
    shares, left, waiting = {}, total, len(fields)
    for field in earlier:
        waiting -= stages_of[field]
        most = (left - waiting) // stages_of[field]  # each later stage needs a step
        shares[field] = max(1, min(round(total * getattr(experiment, field) / whole), most))
        left -= shares[field] * stages_of[field]
    return {**shares, last: max(1, left)}


def with_steps_of_stages(
    reproduction: Reproduction, flags: Any, chosen: Experiment, workdir: pathlib.Path
) -> tuple[Experiment, bool]:
    """Returns the experiment with the steps of its stages, and whether its workdir is one whose stages share --steps.

    A workdir in which --steps was that of the last stage alone goes on so, and so does a run that sets a field of steps itself.
    Once the last stage has begun, the earlier ones keep their steps.

    Args:
      reproduction: The paper's reproduction.
      flags: Values of the flags.
      chosen: The experiment from `select_experiment`.
      workdir: Directory of the last stage; the others are below it.

    Raises:
      WorkdirError: If the workdir holds an `experiment.json` that cannot be read.
    """
    *earlier, last = reproduction.stages(chosen)
    if not earlier:
        return _as_trained(flags, chosen, workdir), False
    fields = reproduction.steps_of_stages
    stored = _stored(workdir, earlier, last)
    shares = all(content.get(SHARES_STEPS) for content in stored.values())
    explicit = any(fields[stage] in assigned_fields(flags.set) for stage in (*earlier, last))
    if explicit or not shares:
        return chosen, shares if stored else not explicit
    base = experiment_of_base(reproduction, chosen)
    steps = {fields[stage]: getattr(base, fields[stage]) for stage in (*earlier, last)}
    kept = _steps_of_earlier(fields, stored, earlier, last)
    if flags.stage in earlier:
        if flags.steps is not None:
            steps[fields[flags.stage]] = flags.steps
    elif flags.mode != "train" and last in stored:
        steps |= kept
        steps[fields[last]] = stored[last]["num_steps"]
    elif flags.stage == last:
        steps |= kept
        steps[fields[last]] = flags.steps or steps[fields[last]]
    elif flags.steps is not None:
        if last in stored:
            steps |= kept
            steps[fields[last]] = max(1, flags.steps - sum(steps[fields[stage]] for stage in earlier))
        else:
            steps = share_steps(reproduction, base, flags.steps)
    return dataclasses.replace(chosen, **steps), True


def _as_trained(flags, chosen, workdir):
    """The experiment with the steps and rates of the run in a workdir that is only looked at, unless the flags name their own.

    A record or a caption would otherwise say that a short run was as long as the experiment.
    """
    if flags.mode == "train" or not (workdir / EXPERIMENT_FILE).exists():
        return chosen
    stored, settings = read_experiment(workdir), settings_of(type(chosen))
    asked = {*assigned_fields(flags.set), *(["num_steps"] if flags.steps is not None else [])}
    kept = {
        name: stored[name] for name, own in settings.items() if own.may_change and name in stored and name not in asked
    }
    return dataclasses.replace(chosen, **kept)


def describe_stages(stages: Mapping[str, Experiment]) -> str:
    """Returns a sentence about the steps of stages.

    Args:
      stages: `{stage: experiment}`, in order.
    """
    total = sum(experiment.num_steps for experiment in stages.values())
    return f"{total:,} steps in stages: {', '.join(f'{name} {own.num_steps:,}' for name, own in stages.items())}."


def _stored(workdir, earlier, last):
    """`{stage: content of its experiment.json}` of the stages that have begun."""
    directories = {last: workdir, **{stage: workdir / stage for stage in earlier}}
    return {stage: read_experiment(path) for stage, path in directories.items() if (path / EXPERIMENT_FILE).exists()}


def _steps_of_earlier(fields, stored, earlier, last):
    """`{field: steps}` of the earlier stages as the last stage knows them, or else as all of them were trained."""
    if last in stored:
        return {fields[stage]: stored[last][fields[stage]] for stage in earlier if fields[stage] in stored[last]}
    trained = collections.defaultdict(set)
    for stage in earlier:
        trained[fields[stage]].add(stored.get(stage, {}).get("num_steps"))
    return {field: steps.pop() for field, steps in trained.items() if len(steps) == 1 and None not in steps}
