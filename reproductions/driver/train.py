"""`--mode=train`: training, then evaluation, samples and the record."""

import contextlib
import pathlib

from reproductions.driver.captions import caption_of
from reproductions.driver.checks import check_request
from reproductions.driver.evaluate import evaluate_and_record
from reproductions.driver.flags import temperatures
from reproductions.driver.session import Session
from tfflows.devices.strategies import check_batch_divides
from tfflows.evaluation import samples
from tfflows.training import Execution, LoopSettings, Trainer
from tfflows.training.trainer import TrainingSummary

# Folder of pictures in the workdir.
PICTURES = "pictures"


def run(session: Session) -> bool:
    """Trains, then evaluates, samples and writes the result record. Resumes an earlier run that was stopped.

    Returns:
      True if the run finished, False if it was stopped.

    Raises:
      ValueError: If the flags do not fit the experiment.
    """
    flags, experiment = session.flags, session.experiment
    check_batch_divides(experiment.batch_size, session.strategy, flags.accumulate)
    if flags.select == "best_test" and not experiment.evaluate_every:
        raise ValueError("--select=best_test needs evaluations during training; give --set evaluate_every=N.")
    if flags.select == "best_test" and flags.evaluation_images is not None and not experiment.holdout:
        raise ValueError(
            "--select=best_test chooses by all test images; remove --evaluation_images, or give --holdout=N."
        )
    source, validation = session.train_source, session.validation_source
    check_request(session)
    session.check_workers(lambda: [source, validation])
    session.check_workdir()
    trainer = make_trainer(session)
    with trainer.locked(), session.described():
        session.check_workdir_is_shared()
        trained = trainer.fit(
            source,
            experiment.num_steps,
            batch_size=experiment.batch_size,
            validation=validation,
            augmentation=experiment.augmentation,
            init_batch_size=0 if flags.init_from else experiment.init_batch_size,
        )
        if trained.step < experiment.num_steps:
            return False
        finish(session, trainer, trained)
    return True


def is_finished(session: Session) -> bool:
    """Whether an earlier stage was trained to its end, evaluated and sampled from, with the settings of today.

    The record and the samples must be later than the last checkpoint: a killed run may have left those of a shorter one. Samples
    of any number, seed and form will do, also under the names of earlier versions.

    Raises:
      WorkdirError: If it was trained with other settings.
    """
    session.check_stage(session.stage, session.workdir)
    steps = session.saved_steps()
    if not steps or steps[-1] != session.experiment.num_steps:
        return False
    trained = (session.workdir / "checkpoints" / f"step-{steps[-1]}.index").stat().st_mtime_ns
    records = (session.workdir / "results").rglob("*.json")
    found = [samples.find_samples(session.workdir / PICTURES, temperature) for temperature in temperatures()]
    return all(any(path.stat().st_mtime_ns >= trained for path in paths) for paths in (records, *found))


def make_trainer(session: Session) -> Trainer:
    """Returns the `Trainer` of the session's model, configured by the flags."""
    flags, experiment = session.flags, session.experiment
    model = session.model
    with session.strategy.scope():
        optimizer = session.reproduction.build_optimizer(experiment, session.schedule)
    return Trainer(
        model,
        optimizer,
        seed=flags.seed,
        strategy=session.strategy,
        workdir=session.workdir,
        ema_decay=experiment.ema_decay,
        initialize=session.load_initial_weights,
        execution=Execution(flags.accumulate, flags.jit, flags.memory, flags.side_by_side),
        settings=LoopSettings(
            log_every=flags.log_every,
            checkpoint_every=flags.checkpoint_every,
            evaluate_every=experiment.evaluate_every,
            evaluation_batch_size=experiment.evaluation_batch_size,
            keep_best=flags.select == "best_test",
            steps_per_execution=flags.steps_per_execution,
        ),
        describe_workdir=False,  # the session already did
    )


def finish(session: Session, trainer: Trainer, trained: TrainingSummary) -> None:
    """Evaluates a finished run, and writes its record and samples.

    Args:
      session: The session.
      trainer: `Trainer` of its model.
      trained: Summary at the end of training.
    """
    best = session.flags.select == "best_test"
    step = session.restore() if best else trained.step
    evaluator = trainer.evaluator(session.validation_source)
    with (
        contextlib.nullcontext() if best else trainer.averages()
    ):  # a restored best checkpoint holds the averages already
        evaluate_and_record(session, evaluator, step, hours=trained.seconds / 3600)
        for path in write_samples(session, step):
            print(f"samples: {path}", flush=True)
    if session.chief and session.stage not in session.earlier_stages:
        print(
            f"next: the same command with --mode=sample, or tfflows.load({str(session.workdir)!r}) in Python",
            flush=True,
        )


def write_samples(session: Session, step: int) -> list[pathlib.Path]:
    """Writes samples of the session's model with its current parameters, as --samples_as says, and returns their paths.

    Args:
      session: The session.
      step: Training step of the parameters.
    """
    flags = session.flags
    if not session.chief:
        return []
    conditional = session.experiment.conditional
    return samples.write_samples(
        session.model,
        session.workdir / PICTURES,
        flags.samples,
        temperatures(),
        flags.sample_seed,
        flags.samples_as,
        label=None if flags.label is None else session.class_number(flags.label),
        num_classes=session.num_classes if conditional else 0,
        class_names=session.class_names if conditional else (),
        step=step,
        caption=caption_of(session, step) if flags.samples_as == "grid" else None,
        jit_compile=flags.jit,
    )
