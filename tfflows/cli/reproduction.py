"""What a paper gives to the shared driver."""

import dataclasses
from collections.abc import Callable, Mapping

from tfflows.training.experiment import Experiment
from tfflows.training.schedules import LinearWarmup


def _linear_warmup(experiment):
    return LinearWarmup(experiment.learning_rate, experiment.warmup_steps)


@dataclasses.dataclass(frozen=True)
class Reproduction:
    """A paper's experiments and how to build their models.

    Attributes:
      paper: Short name, such as `glow`.
      title: One line for `--help`.
      experiments: By name; the first on a data set is the paper's own for it.
      small: `experiment -> experiment`, sized for two CPU cores.
      build_model: `(experiment, image_shape, num_classes, seed) -> DequantizedFlow`.
      build_optimizer: `(experiment, learning_rate schedule) -> keras.optimizers.Optimizer`.
      load_weights: `(model, path)`, weights by the authors' names.
      extend_count: `(experiment, count) -> int`: its parameters, from `count(experiment)` of smaller experiments where equal
        blocks make that exact, since building a deep model takes long.
      build_schedule: `experiment -> keras LearningRateSchedule`, the learning rate as a function of the step 0, 1, ...; by
        default a linear warm-up to its `learning_rate` over its `warmup_steps`.
    """

    paper: str
    title: str
    experiments: Mapping[str, Experiment]
    small: Callable
    build_model: Callable
    build_optimizer: Callable
    load_weights: Callable
    extend_count: Callable = staticmethod(lambda experiment, count: count(experiment))
    build_schedule: Callable = staticmethod(_linear_warmup)

    def default_experiment(self, dataset) -> Experiment:
        """The paper's own experiment on a data set.

        Raises:
          ValueError: if it has none; names the data sets that have one.
        """
        for experiment in self.experiments.values():
            if experiment.dataset == dataset:
                return experiment
        known = ", ".join(dict.fromkeys(experiment.dataset for experiment in self.experiments.values()))
        raise ValueError(
            f"No experiment of {self.paper} is on {dataset!r}; name one with --experiment, or a data set of: {known}."
        )

    def named_experiment(self, name) -> Experiment:
        """An experiment by its name.

        Raises:
          ValueError: if there is none; names those that there are.
        """
        if name not in self.experiments:
            raise ValueError(
                f"Unknown experiment {name!r} of {self.paper}; the valid ones are: {', '.join(self.experiments)}."
            )
        return self.experiments[name]
