"""`--mode=train`."""

import contextlib

import tensorflow as tf

from reproductions.driver.evaluate import evaluate_and_record, evaluated_split, make_evaluator
from reproductions.driver.pictures import write_samples
from tfflows.devices.strategies import check_batch_divides
from tfflows.training.flat_parameters import build_flat
from tfflows.training.initialize import initialize_from_data
from tfflows.training.loop import LoopSettings, train
from tfflows.training.moving_average import MovingAverage
from tfflows.training.optimizers.slots import optimizer_variables
from tfflows.training.train_step import make_train_step
from tfflows.training.workdir import lock_workdir


def run(session):
    """Trains, then evaluates, samples and writes the result record. Goes on where an earlier run stopped.

    Returns:
      Whether it came to the end, or was stopped.
    """
    flags, experiment, strategy = session.flags, session.experiment, session.strategy
    check_batch_divides(experiment.batch_size, strategy, flags.accumulate)
    if flags.select == "best_test" and not experiment.evaluate_every:
        raise ValueError("--select=best_test needs evaluations on the way: --set evaluate_every=N.")
    source = session.train_source
    session.prepare_workdir()
    model, trained = session.model, session.trained_variables
    with strategy.scope():
        optimizer = session.reproduction.build_optimizer(experiment, session.schedule)
        flat = build_flat(optimizer, trained)
        updated = trained if flat is None else flat.variables
        average = MovingAverage(updated, experiment.ema_decay) if experiment.ema_decay else None
    train_step = make_train_step(
        strategy,
        model,
        optimizer,
        trained,
        global_batch_size=experiment.batch_size,
        seed=flags.seed,
        accumulate=flags.accumulate,
        jit_compile=flags.jit,
        memory=flags.memory,
        num_side_by_side=flags.side_by_side,
        moving_average=average,
        flat_parameters=flat,
    )
    evaluator = make_evaluator(session)

    def initialize():
        if flags.init_from:
            session.reproduction.load_weights(model, flags.init_from)
        else:
            session.take_over_earlier_stages()
            initialize_from_data(
                strategy,
                model,
                source,
                batch_size=min(experiment.init_batch_size, source.num_images),
                seed=flags.seed,
                augmentation=experiment.augmentation,
            )
        gather()
        if average is not None:
            average.reset()

    def gather():
        if flat is not None:
            flat.gather()

    def averages():
        if average is None:
            return contextlib.nullcontext()
        return average.exchanged() if flat is None else flat.exchanged(average)

    def evaluate():
        with averages():
            return evaluator.evaluate()

    beside = {
        **optimizer_variables(optimizer, list(updated)),
        **({} if average is None else average.variables()),
    }
    with lock_workdir(session.workdir) if session.chief else contextlib.nullcontext():
        state = train(
            strategy,
            train_step,
            source,
            workdir=session.workdir,
            variables={**session.model_variables, **(beside if flat is None else flat.named_parts(beside))},
            num_steps=experiment.num_steps,
            global_batch_size=experiment.batch_size,
            seed=flags.seed,
            augmentation=experiment.augmentation,
            learning_rate=lambda step: float(session.schedule(tf.constant(step))),
            metric_names=["loss", "gradient_norm", *model.metric_names],
            settings=LoopSettings(
                log_every=flags.log_every,
                checkpoint_every=flags.checkpoint_every,
                evaluate_every=experiment.evaluate_every,
                keep_best=flags.select == "best_test",
                steps_per_call=flags.steps_per_execution,
            ),
            initialize=initialize,
            restored=gather,
            evaluate=evaluate,
            accumulate=flags.accumulate,
            evaluated_split=evaluated_split(experiment),
        )
        if state.step < experiment.num_steps:
            return False
        finish(session, evaluator, state, averages)
    return True


def finish(session, evaluator, state, averages):
    """Evaluation, record and samples of a finished run.

    Args:
      session: `Session`.
      evaluator: `Evaluator` of its model.
      state: `TrainingState` at the end.
      averages: `() -> context` in which the model's variables hold what is evaluated.
    """
    best = session.flags.select == "best_test"
    step = session.restore() if best else state.step
    with contextlib.nullcontext() if best else averages():  # restored is what is evaluated
        evaluate_and_record(session, evaluator, step, hours=state.seconds / 3600)
        for path in write_samples(session):
            print(f"samples: {path}", flush=True)
