"""`--mode=evaluate`: bits/dim of the test images, and their record."""

import hashlib
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from absl import logging

from reproductions.driver.checks import check_request, why_not_writable
from reproductions.driver.flags import EXECUTION_FLAGS, steps_per_execution
from reproductions.driver.session import Session
from reproductions.driver.workdirs import check_workers, restore, write_report_elsewhere
from reproductions.experiment import Experiment
from reproductions.reporting.expected import compare_with, format_comparison, load_expected
from reproductions.reporting.provenance import collect_provenance
from reproductions.reporting.records import (
    Record,
    evaluation_curve,
    name_elsewhere,
    train_test_gap,
    training_curve,
    write_record,
)
from tfflows.data import evaluation_batches, is_own
from tfflows.devices.agreement import source_fingerprint
from tfflows.devices.stopping import make_any_worker, stop_on_sigterm
from tfflows.evaluation.bits_per_dim import BitsPerDim, Evaluator
from tfflows.tracing.variables import count_parameters
from tfflows.training.logs import METRICS_FILE, read_metrics

if TYPE_CHECKING:
    from tfflows.evaluation.importance import ImportanceBitsPerDim

PER_IMAGE_FILE = "test_bits_per_dim.npy"
TRAIN_PER_IMAGE_FILE = "train_bits_per_dim.npy"
VALIDATION_PER_IMAGE_FILE = "validation_bits_per_dim.npy"
NUM_DISTANCE_IMAGES = 1000
_FEW_EFFECTIVE = 2.0  # effective samples: with fewer, one sample carries most of the weight
NOISE_SEED = 0  # the same evaluation noise for every training seed


def make_evaluator(session: Session) -> Evaluator:
    """Returns an `Evaluator` of the session's model on the held-out images, or on the test images if none are held out."""
    return Evaluator(
        session.strategy,
        session.model,
        session.data.validation_source,
        batch_size=session.experiment.evaluation_batch_size,
        seed=NOISE_SEED,
        jit_compile=session.flags.jit,
        num_side_by_side=session.side_by_side,
    )


def run(session: Session) -> bool:
    """Evaluates the checkpoint selected by --select and prints the expected and obtained value, difference and verdict.

    Returns:
      False if a signal stopped it before its end.

    Raises:
      ValueError: If both --importance_samples and --evaluate_train are given.
    """
    if session.flags.importance_samples > 1 and session.experiment.evaluate_train:
        raise ValueError("--importance_samples evaluates test images only; remove --evaluate_train.")
    check_request(session)
    if session.data.is_elsewhere:
        _ = session.data.test_source  # images that do not fit are refused before the model is built
    check_workers(session, lambda: [session.data.test_source])
    step = restore(session)
    lines = read_metrics(session.workdir / METRICS_FILE) if step else []
    seconds = [line["seconds"] for line in lines if "seconds" in line and line["step"] <= step]
    hours = (seconds[-1] if seconds else 0.0) / 3600
    if session.flags.importance_samples > 1:
        return _evaluate_importance(session, step, hours)
    evaluate_and_record(session, make_evaluator(session), step, hours)
    return True


def _evaluate_importance(session, step, hours):
    """Like `evaluate_and_record`, with the importance-weighted bound; resumes an earlier measurement that was stopped."""
    from tfflows.evaluation.importance import ImportanceEvaluator
    from tfflows.evaluation.log_weights import read_log_weights_description

    flags = session.flags
    evaluator = ImportanceEvaluator(
        session.strategy,
        session.model,
        session.data.test_source,
        num_samples=flags.importance_samples,
        batch_size=session.experiment.evaluation_batch_size,
        seed=NOISE_SEED,
        jit_compile=flags.jit,
        num_side_by_side=session.side_by_side,
    )
    reason = why_not_writable(session.workdir) if session.chief else ""
    if reason:
        raise ValueError(
            f"--importance_samples keeps what it has measured in {session.workdir}, which cannot be written to: {reason}. Copy "
            "the workdir to where you may write, and give --workdir."
        )
    sums = session.workdir / f"{_per_image_name(session)}-sums.npz"
    measured = {"step": step, "parameters": _fingerprint(session.evaluated_variables), "noise_seed": NOISE_SEED}
    begun = read_log_weights_description(sums)
    # Other data sets are what their name says; measurements of earlier versions go on without.
    if is_own(session.data.evaluated_dataset) and (not begun or "images" in begun):
        measured["images"] = source_fingerprint(session.data.test_source)
    any_worker = make_any_worker(session.strategy)
    with stop_on_sigterm() as stop:
        result = evaluator.evaluate(sums, measured, chief=session.chief, stop=lambda: any_worker(stop))
    if result is None:
        logging.warning("Stopped. Run the same command again to continue from %s.", sums)
    elif session.chief:
        _keep(session, result, make_record(session, result, step, hours), writable=True)
    return result is not None


def _per_image_name(session):
    """Name of the file of bits/dim per image, without its suffix."""
    flags, parts = session.flags, [pathlib.Path(PER_IMAGE_FILE).stem]
    if session.data.is_elsewhere:
        parts.append(name_elsewhere(session.data.evaluated_dataset, session.data.preparation))
    if flags.importance_samples > 1:
        parts.append(f"samples{flags.importance_samples}")
    if flags.evaluation_images is not None:
        parts.append(f"images{flags.evaluation_images}")
    return "-".join(parts)


def _fingerprint(variables):
    """Hash of the values of `{name: variable}`."""
    digest = hashlib.sha256()
    for name in sorted(variables):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(variables[name].numpy()).tobytes())
    return digest.hexdigest()[:16]


def evaluate_and_record(session: Session, evaluator: Evaluator, step: int, hours: float) -> Record | None:
    """Evaluates, writes the bits/dim of each image and the record to the workdir, and prints the comparison.

    Held-out training images are also evaluated, if there are any. If the experiment has `evaluate_train`, so are the images
    that it trains on, without augmentation.

    Args:
      session: The session.
      evaluator: Evaluator from `make_evaluator`.
      step: Training step of the parameters.
      hours: Wall-clock hours of training.

    Returns:
      The record; None on workers other than the chief.
    """
    writable = _is_writable(session)
    held_out = session.experiment.holdout > 0 and not session.data.is_elsewhere
    measures_train = session.experiment.evaluate_train and not session.data.is_elsewhere
    validation = evaluator.evaluate() if held_out else None
    result = (evaluator.on(session.data.test_source) if held_out else evaluator).evaluate()
    train = evaluator.on(session.data.train_source).evaluate() if measures_train else None
    terms = _terms(session) if session.model.has_terms else None
    if not session.chief:
        return None
    record = make_record(session, result, step, hours, train, validation, terms)
    if writable and train is not None:
        np.save(session.workdir / TRAIN_PER_IMAGE_FILE, train.per_image)
    if writable and held_out:
        np.save(session.workdir / VALIDATION_PER_IMAGE_FILE, validation.per_image)
    _keep(session, result, record, writable)
    return record


def _is_writable(session):
    """Whether results can be kept in the workdir; warns if not, before anything is measured."""
    reason = why_not_writable(session.workdir) if session.chief else ""
    if reason:
        logging.warning("Results are printed, but not kept in %s: %s.", session.workdir, reason)
    return not reason


def _terms(session):
    """`Record.terms` of a model of latents and pixels, on the test images."""
    from tfflows.evaluation.latent_terms import SAMPLE_DISTANCE  # only such a model needs these
    from tfflows.evaluation.latent_use import describe_terms, measure_terms
    from tfflows.evaluation.sample_distance import MIN_IMAGES, sample_distance

    evaluator = Evaluator(
        session.strategy,
        session.model,
        session.data.test_source,
        batch_size=session.experiment.evaluation_batch_size,
        seed=NOISE_SEED,
        jit_compile=session.flags.jit,
        measure=measure_terms(session.model),
    )
    terms = describe_terms(evaluator.values())
    count = min(NUM_DISTANCE_IMAGES, session.data.test_source.num_images)
    if count >= MIN_IMAGES:
        source = session.data.some_test_images(count)
        images = next(iter(evaluation_batches(source, global_batch_size=count)))["image"].numpy()
        distance, error = sample_distance(session.model.vae, images, NOISE_SEED)
        terms[SAMPLE_DISTANCE] = {"value": distance, "standard_error": error}
    return terms


def _keep(session, result, record, writable):
    """Prints the comparison of a result with the paper, then writes the result; not to the workdir if that is not writable."""
    lines = [format_comparison(compare_with(record, load_expected()))]
    lines += [f"  Warning: {caution}" for caution in cautions(record, session.experiment.warmup_steps)]
    print("\n".join(lines), flush=True)
    if writable:
        np.save(session.workdir / f"{_per_image_name(session)}.npy", result.per_image)
        write_report_elsewhere(session)
        path = write_record(record, session.workdir / "results", overwrite=True)
        print(f"record: {path}", flush=True)
    # Earlier stages are not experiments of the paper.
    if session.flags.results_dir and session.stage not in session.earlier_stages:
        write_record(record, session.flags.results_dir, overwrite=True)
    if session.flags.image_files:
        _print_image_files(session)


def cautions(record: Record, warmup_steps: int) -> list[str]:
    """Returns what would mislead a reader of a result, one sentence each.

    Args:
      record: The result.
      warmup_steps: Steps over which the learning rate of its run rose.
    """
    found = []
    if record.num_images == 1:
        found.append("One image says little about others, and has no standard error.")
    if 0 < record.steps < warmup_steps:
        found.append(
            f"The run ended in the warm-up of its learning rate, after {record.steps:,} of {warmup_steps:,} steps."
        )
    importance = record.importance
    if importance is not None and importance["effective_samples"] < _FEW_EFFECTIVE <= importance["samples"]:
        found.append(
            f"Of {importance['samples']:,} samples per image one decides nearly alone ({importance['effective_samples']:.1f} "
            "effective): ln P is higher than this bound, and more samples will say by how much."
        )
    return found


def _print_image_files(session):
    """Prints the bits/dim of the test images as lossless files, when the model's are saved."""
    from tfflows.evaluation.image_files import FORMATS, file_bits_per_dim

    batches = evaluation_batches(session.data.test_source, global_batch_size=256)
    images = [batch["image"][batch["mask"]].numpy() for batch in batches]
    for file_format in FORMATS:
        mean = np.concatenate([file_bits_per_dim(own, file_format) for own in images]).mean()
        print(f"{file_format}: {mean:.4f} (each test image as a lossless file of its own)", flush=True)


def make_record(
    session: Session,
    result: BitsPerDim,
    step: int,
    hours: float,
    train: BitsPerDim | None = None,
    validation: BitsPerDim | None = None,
    terms: Mapping[str, Mapping[str, float]] | None = None,
) -> Record:
    """Returns the `Record` of a result.

    Args:
      session: The session.
      result: `BitsPerDim` or `ImportanceBitsPerDim` of the test images.
      step: Training step of the parameters.
      hours: Wall-clock hours of training.
      train: `BitsPerDim` of the images trained on, or None.
      validation: `BitsPerDim` of the held-out images, or None.
      terms: `Record.terms`, or None.
    """
    experiment, flags = session.experiment, session.flags
    metrics = session.workdir / METRICS_FILE
    lines = [line for line in (read_metrics(metrics) if metrics.exists() else []) if line["step"] <= step]
    importance = describe_importance(result, flags.importance_samples) if flags.importance_samples > 1 else None
    # One curve per run: that of its plain evaluations.
    has_curve = importance is None and flags.evaluation_images is None and not session.data.is_elsewhere
    last = result if validation is None else validation
    on_the_way = evaluation_curve(lines, evaluated_split(experiment))
    curve = [*(point for point in on_the_way if point[0] < step), (step, last.mean)]
    speeds = [line["images_per_second"] for line in lines if "images_per_second" in line]
    return Record(
        paper=session.reproduction.paper,
        experiment=experiment.name,
        dataset=session.data.evaluated_dataset,
        trained_on=experiment.dataset if session.data.is_elsewhere else None,
        preparation=session.data.preparation,
        split="test",
        metric="bits_per_dim",
        value=result.mean,
        standard_error=result.standard_error,
        num_images=len(result.per_image),
        steps=step,
        batch_size=experiment.batch_size,
        scale=experiment.scale,
        seed=session.seed,
        select=flags.select,
        parameters=count_parameters(session.model),
        hours=hours,
        overrides=session.overrides,
        curve=tuple(curve) if has_curve else None,
        seconds_per_step=experiment.batch_size / float(np.median(speeds)) if speeds else None,
        execution=describe_execution(session),
        train=None if train is None else describe_train(result, train),
        validation=None if validation is None else describe_validation(validation),
        terms=terms,
        train_curve=(tuple(training_curve(lines, [step for step, _ in curve])) or None) if has_curve else None,
        evaluation_images=flags.evaluation_images,
        importance=importance,
        **collect_provenance(),
    )


def describe_train(test: BitsPerDim, train: BitsPerDim) -> dict[str, float]:
    """Returns `Record.train` from the results on test and on training images."""
    gap, gap_standard_error = train_test_gap(test.per_image, train.per_image)
    return {
        "value": train.mean,
        "standard_error": train.standard_error,
        "num_images": len(train.per_image),
        "gap": gap,
        "gap_standard_error": gap_standard_error,
    }


def describe_validation(validation: BitsPerDim) -> dict[str, float]:
    """Returns `Record.validation` from the result on held-out images."""
    return {
        "value": validation.mean,
        "standard_error": validation.standard_error,
        "num_images": len(validation.per_image),
    }


def evaluated_split(experiment: Experiment) -> str:
    """Name in the log of the evaluations during training: `validation` if images are held out, otherwise `test`."""
    return "validation" if experiment.holdout else "test"


def describe_importance(result: "ImportanceBitsPerDim", samples: int) -> dict[str, float]:
    """Returns `Record.importance` from an importance-weighted result."""
    return {
        "samples": samples,
        "noise_standard_error": result.noise_standard_error,
        "effective_samples": float(np.median(result.effective_samples)),
        "elbo": result.elbo.mean,
        "elbo_standard_error": result.elbo.standard_error,
    }


def describe_execution(session: Session) -> dict[str, object]:
    """Returns `Record.execution`: how this process computes."""
    return {
        "replicas": session.strategy.num_replicas_in_sync,
        "precision": session.experiment.precision,
        "tf32": session.experiment.tf32,
        **{name: getattr(session.flags, name) for name in EXECUTION_FLAGS},
        "steps_per_execution": steps_per_execution(),
        "side_by_side": session.side_by_side,
    }
