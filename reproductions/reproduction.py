"""What a paper gives to the shared driver."""

import dataclasses
from collections.abc import Callable, Mapping

from reproductions.experiment import Experiment
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
      build_model: `(experiment, image_shape, num_classes, seed) -> ImageModel`.
      build_optimizer: `(experiment, learning_rate schedule) -> keras.optimizers.Optimizer`.
      load_weights: `(model, path)`, weights by the authors' names.
      extend_count: `(experiment, count) -> int`: its parameters, from `count(experiment)` of smaller experiments where equal
        blocks make that exact, since building a deep model takes long.
      build_schedule: `experiment -> keras LearningRateSchedule`, the learning rate as a function of the step 0, 1, ...; by
        default a linear warm-up to its `learning_rate` over its `warmup_steps`.
      stages: `experiment -> {stage: experiment}` in the order in which they are trained; the last one is the experiment itself.
      parts_of_stages: `model -> {stage: {name in the model of that stage: tf.Variable}}`: what the model of the last stage takes
        over from those before.
      variants: The forms that the whole paper exists in, if more than one, the default first: values of the field `variant` of
        its experiments. Those of another variant have its name at the end of theirs.
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
    stages: Callable = staticmethod(lambda experiment: {"joint": experiment})
    parts_of_stages: Callable = staticmethod(lambda model: {})
    variants: tuple[str, ...] = ()

    def default_experiment(self, dataset, variant=None) -> Experiment:
        """The paper's own experiment on a data set, of a variant (None: the default one).

        Raises:
          ValueError: if it has none; names the data sets that have one.
        """
        self._check_variant(variant)
        for experiment in self.experiments.values():
            if experiment.dataset == dataset and variant in (None, getattr(experiment, "variant", None)):
                return experiment
        known = ", ".join(dict.fromkeys(experiment.dataset for experiment in self.experiments.values()))
        raise ValueError(
            f"No experiment of {self.paper} is on {dataset!r}; name one with --experiment, or a data set of: {known}."
        )

    def named_experiment(self, name, variant=None) -> Experiment:
        """An experiment by its name; with a variant its counterpart there.

        Raises:
          ValueError: if there is none; names those that there are.
        """
        self._check_variant(variant)
        if variant is not None and name in self.experiments and self.experiments[name].variant != variant:
            name = name.removesuffix(f"_{self.experiments[name].variant}")
            if variant != self.variants[0]:
                name = f"{name}_{variant}"
        if name not in self.experiments:
            raise ValueError(
                f"Unknown experiment {name!r} of {self.paper}; the valid ones are: {', '.join(self.experiments)}."
            )
        return self.experiments[name]

    def _check_variant(self, variant):
        if variant is not None and variant not in self.variants:
            forms = f"the valid ones are: {', '.join(self.variants)}" if self.variants else "it has none"
            raise ValueError(f"Unknown variant {variant!r} of {self.paper}; {forms}.")
