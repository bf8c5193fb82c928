"""`--mode=train`: training, then evaluation, samples and the record."""

import contextlib
import dataclasses
import pathlib
import re

from absl import logging

from reproductions.driver.checks import check_request
from reproductions.driver.evaluate import evaluate_and_record
from reproductions.driver.flags import image_numbers, steps_per_execution, temperatures
from reproductions.driver.session import Session
from reproductions.driver.workdirs import (
    check_stage,
    check_workdir,
    check_workdir_is_shared,
    check_workers,
    described,
    restore,
    saved_steps,
)
from reproductions.fields import text_of, watching_fields
from reproductions.reporting.records import Record
from tfflows.data import short_name
from tfflows.devices.strategies import check_batch_divides
from tfflows.evaluation import samples
from tfflows.evaluation.grids import check_text_can_be_drawn, join_caption
from tfflows.extras import MissingExtraError
from tfflows.tracing.sampler import sampler_scope
from tfflows.training import Execution, LoopSettings, MetricLogger, Trainer
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
    source, validation = session.data.train_source, session.data.validation_source
    check_request(session)
    check_workers(session, lambda: [source, validation])
    check_workdir(session)
    trainer = make_trainer(session)
    with trainer.locked(), described(session):
        check_workdir_is_shared(session)
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
    check_stage(session, session.stage, session.workdir)
    steps = saved_steps(session)
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
        execution=Execution(flags.accumulate, flags.jit, flags.memory, session.side_by_side),
        settings=LoopSettings(
            log_every=flags.log_every,
            checkpoint_every=flags.checkpoint_every,
            evaluate_every=experiment.evaluate_every,
            evaluation_batch_size=experiment.evaluation_batch_size,
            keep_best=flags.select == "best_test",
            steps_per_execution=steps_per_execution(),
        ),
        describe_workdir=False,  # the session already did
        hyperparameters=hyperparameters(session),
    )


def hyperparameters(session: Session) -> dict[str, object]:
    """Returns what TensorBoard's HParams page shows of a run: paper, stage, seed and the fields of the experiment."""
    experiment = session.experiment
    watching = {*watching_fields(type(experiment)), "num_steps"}  # the same run may be prolonged
    fields = {
        field.name: text_of(getattr(experiment, field.name))
        for field in dataclasses.fields(experiment)
        if field.name not in watching
    }
    plain = {name: value for name, value in fields.items() if isinstance(value, int | float | str)}
    return {"paper": session.reproduction.paper, "stage": session.stage, "seed": session.seed, **plain}


def final_values(record: Record, step: int) -> dict[str, object]:
    """Returns what `metrics.jsonl` and TensorBoard are given of a result at the end of a run.

    Args:
      record: The result.
      step: Number of steps done; the checkpoint that was measured may be an earlier one.
    """
    values = {"test_bits_per_dim": record.value, "test_bits_per_dim_standard_error": record.standard_error}
    for split, own in {"validation": record.validation, "train": record.train}.items():
        if own is not None:
            values |= {
                f"{split}_bits_per_dim": own["value"],
                f"{split}_bits_per_dim_standard_error": own["standard_error"],
            }
    values |= {name: term["value"] for name, term in (record.terms or {}).items()}
    return values if record.steps == step else {**values, "step": record.steps}


def finish(session: Session, trainer: Trainer, trained: TrainingSummary) -> None:
    """Evaluates a finished run, and writes its record and samples.

    Args:
      session: The session.
      trainer: `Trainer` of its model.
      trained: Summary at the end of training.
    """
    best = session.flags.select == "best_test"
    step = restore(session) if best else trained.step
    evaluator = trainer.evaluator(session.data.validation_source)
    with (
        contextlib.nullcontext() if best else trainer.averages()
    ):  # a restored best checkpoint holds the averages already
        record = evaluate_and_record(session, evaluator, step, hours=trained.seconds / 3600)
        with MetricLogger(session.workdir, trained.step, session.chief, is_end=True) as logger:
            if record is not None:
                logger.log_final(trained.step, final_values(record, trained.step))
            paths = _write_reconstructions(session, step)  # before the samples, which say that a stage has ended
            with sampler_scope(session.flags.sampler):
                paths += write_samples(session, step)
            for path in paths:
                print(f"{'samples' if path.name.startswith('samples') else 'reconstructions'}: {path}", flush=True)
            pictures = [path for path in paths if path.suffix == ".png" and path.is_file()]
            logger.log_pictures(trained.step, {_tag(path): path for path in pictures})
    if session.chief and session.stage not in session.earlier_stages:
        print(
            f"next: the same command with --mode=sample, or tfflows.load({str(session.workdir)!r}) in Python",
            flush=True,
        )


def _write_reconstructions(session, step):
    """Writes reconstructions of the test images of --images, as far as there are any, and returns the path in a list."""
    if not (session.chief and session.model.has_encoder):
        return []
    from reproductions.driver.pictures import reconstructions_of  # which other runs do not need

    numbers = [number for number in image_numbers() if number < session.data.numbered_source.num_images]
    return [reconstructions_of(session, numbers, step)] if numbers else []


def _tag(path):
    """Name of a picture in TensorBoard: the same at every end of a run, however many steps it has."""
    return re.sub(r"_step_\d+", "", path.stem)


def caption_of(session: Session, step: int, shown: str = "") -> str | None:
    """Returns the caption of pictures: the model, its data set, the training step, and what is shown.

    It is the same wherever the data are stored. Without Pillow it is None, for pictures without texts, and a warning is logged.

    Args:
      session: The session.
      step: Training step of the parameters; 0 for weights of a file.
      shown: What is shown, beyond samples.
    """
    try:
        check_text_can_be_drawn()
    except MissingExtraError as error:
        logging.warning("Pictures have no captions. %s", error)
        return None
    experiment = session.experiment
    scale = " (small)" if experiment.scale == "small" else ""
    model = f"{session.reproduction.title.partition(':')[0]} {experiment.name}{scale}"
    return join_caption(
        model, f"data set {short_name(experiment.dataset)}", f"step {step:,}" if step else "weights of a file", shown
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
        label=None if flags.label is None else session.data.class_number(flags.label),
        num_classes=session.data.num_classes if conditional else 0,
        class_names=session.data.class_names if conditional else (),
        step=step,
        caption=caption_of(session, step) if flags.samples_as == "grid" else None,
        jit_compile=flags.jit,
    )
