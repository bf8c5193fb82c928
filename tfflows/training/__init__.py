"""Training: `Trainer` and its parts, optimizers, schedules, checkpoints."""

from typing import TYPE_CHECKING

from tfflows.lazy import lazy_exports

if TYPE_CHECKING:  # for readers and tools; the table below is what runs
    from tfflows.devices.strategies import process_options
    from tfflows.training.checkpoints import CheckpointError, Checkpoints
    from tfflows.training.divergence import describe_not_finite, described_or_not
    from tfflows.training.logs import LogError, MetricLogger, cut_metrics, cut_tensorboard, read_metrics
    from tfflows.training.loop import (
        Evaluation,
        Loop,
        LoopSettings,
        RunCheckpoints,
        StateVariables,
        StepMetrics,
        TrainingDiverged,
        TrainingState,
    )
    from tfflows.training.moving_average import MovingAverage, average_name, evaluated_names
    from tfflows.training.optimizers import (
        Adam,
        GlowAdamax,
        IAFAdamax,
        PixelCNNAdam,
        UpdateRule,
        global_norm,
        optimizer_variables,
    )
    from tfflows.training.parameters import (
        FlatParameters,
        Part,
        TrainedParameters,
        build_flat,
        equalize_replicas,
        initialize_from_data,
    )
    from tfflows.training.schedules import (
        Constant,
        GeometricDecay,
        Linear,
        LinearWarmup,
        Piecewise,
        StepFactors,
        learning_rate_of,
        warmup_constant_cooldown,
    )
    from tfflows.training.train_step import (
        Execution,
        automatic_side_by_side,
        make_several_steps,
        make_train_step,
        steps_before,
    )
    from tfflows.training.trainer import Trainer, TrainingSummary
    from tfflows.training.workdir import (
        WorkdirError,
        described_workdir,
        lock_workdir,
        make_workdir,
        prepare_workdir,
        read_experiment,
        stored_side_by_side,
    )

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        ".devices.strategies": ["process_options"],
        "checkpoints": ["CheckpointError", "Checkpoints"],
        "divergence": ["describe_not_finite", "described_or_not"],
        "logs": ["LogError", "MetricLogger", "cut_metrics", "cut_tensorboard", "read_metrics"],
        "loop": [
            "Evaluation",
            "Loop",
            "LoopSettings",
            "RunCheckpoints",
            "StateVariables",
            "StepMetrics",
            "TrainingDiverged",
            "TrainingState",
        ],
        "moving_average": ["MovingAverage", "average_name", "evaluated_names"],
        "optimizers": [
            "Adam",
            "GlowAdamax",
            "IAFAdamax",
            "PixelCNNAdam",
            "UpdateRule",
            "global_norm",
            "optimizer_variables",
        ],
        "parameters": [
            "FlatParameters",
            "Part",
            "TrainedParameters",
            "build_flat",
            "equalize_replicas",
            "initialize_from_data",
        ],
        "schedules": [
            "Constant",
            "GeometricDecay",
            "Linear",
            "LinearWarmup",
            "Piecewise",
            "StepFactors",
            "learning_rate_of",
            "warmup_constant_cooldown",
        ],
        "train_step": ["Execution", "automatic_side_by_side", "make_several_steps", "make_train_step", "steps_before"],
        "trainer": ["Trainer", "TrainingSummary"],
        "workdir": [
            "WorkdirError",
            "described_workdir",
            "lock_workdir",
            "make_workdir",
            "prepare_workdir",
            "read_experiment",
            "stored_side_by_side",
        ],
    },
)
