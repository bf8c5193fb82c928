"""The small trained models of `results/models/`: how each is trained, and how it gets there.

    python -m reproductions.shipped train NAME [--data_dir=DIR]     trains, or goes on; the workdir is workdirs/models/NAME
    python -m reproductions.shipped publish NAME                    saves what the workdir holds to results/models/NAME
    python -m reproductions.shipped show [NAME]                     writes samples of a model of results/models
    python -m reproductions.shipped pictures NAME [--data_dir=DIR]  writes what results/pictures shows of it

A run that has ended is published only if it measures less than the model that is there.
"""

import argparse
import dataclasses
import pathlib
import subprocess
import sys

import numpy as np

import tfflows
from reproductions.checkout import results_directory
from reproductions.driver.start_up import start_up
from tfflows import data, evaluation  # what they hold is imported when it is asked for, after `start_up`

NUM_SHOWN = 36
# Of the pictures: rows of the same noise at each temperature, and test images to go between or to reconstruct.
NUM_COLUMNS = 10
TEMPERATURES = (0.0, 0.5, 0.7, 0.8, 0.9, 1.0)
SHOWN_IMAGES = (0, 1, 8, 13)
TEMPERATURE = 0.8
WORKDIRS = pathlib.Path("workdirs") / "models"


@dataclasses.dataclass(frozen=True)
class ShippedModel:
    """How a model is trained.

    Attributes:
      paper: Short name of the paper.
      arguments: Command-line arguments of its `run.py`.
    """

    paper: str
    arguments: tuple[str, ...]


def _small(dataset, steps, cooldown, *settings, experiment="cifar10"):
    return (
        f"--experiment={experiment}",
        f"--dataset={dataset}",
        "--scale=small",
        f"--steps={steps}",
        f"--set=cooldown_steps={cooldown}",
        "--set=evaluate_every=0",
        *(f"--set={each}" for each in settings),
        "--checkpoint_every=250",
        "--samples=64",
    )


# A run takes about an hour on two cores; the learning rate falls to 0 over the last third. So few steps do not overfit.
_NO_DROPOUT = "dropout_rate=0"
_MACOW = ("steps=4, 4+4, 2", "widths=24, 64, 64", "factors=4")
MODELS = {
    "glow_cifar10": ShippedModel("glow", _small("cifar10", 12_000, 4_000, "width=72", "depth=6")),
    "flowpp_cifar10": ShippedModel("flowpp", _small("cifar10", 8_000, 2_700, _NO_DROPOUT)),
    "macow_cifar10": ShippedModel(
        "macow", _small("cifar10", 8_000, 2_700, *_MACOW, experiment="cifar10_fine_grained_release")
    ),
    "vflow_cifar10": ShippedModel("vflow", _small("cifar10", 6_000, 2_000, _NO_DROPOUT, "context_blocks=1")),
    "agave_cifar10": ShippedModel("agave", _small("cifar10", 3_000, 1_000, _NO_DROPOUT, "pretraining_steps=3000")),
    "pixelcnn_cifar10": ShippedModel(
        "agave",
        _small("cifar10", 7_000, 2_400, _NO_DROPOUT, "width=24", "num_blocks=2", experiment="cifar10_pixelcnn"),
    ),
    "realnvp_cifar10": ShippedModel("realnvp", _small("cifar10", 10_000, 3_300, "width=23")),
    # 718 photographs are too few to begin with: the weights are those of CIFAR-10, which a smaller rate fits to larger images.
    "macow_photos": ShippedModel(
        "macow",
        (
            *_small(
                "folder:photos_cc64",
                1_000,
                700,
                *_MACOW,
                "image_size=64",
                "warmup_steps=100",
                "learning_rate=0.0005",
                experiment="cifar10_fine_grained_release",
            ),
            "--init_from=results/models/macow_cifar10",
        ),
    ),
}


def command(name: str, data_dir: str | None = None) -> list[str]:
    """Returns the command line that trains a model, or goes on training it.

    Args:
      name: One of `MODELS`.
      data_dir: Directory of the data sets.
    """
    model = MODELS[name]
    own = [f"--workdir={WORKDIRS / name}", "--side_by_side=2", *([f"--data_dir={data_dir}"] if data_dir else [])]
    return [sys.executable, "-m", f"reproductions.{model.paper}", *model.arguments, *own]


def publish(name: str, directory: pathlib.Path | None = None) -> bool:
    """Saves the model of a workdir among the shipped ones, unless the one that is there measures less.

    Args:
      name: One of `MODELS`.
      directory: Directory of the shipped models; default: `results/models`.

    Returns:
      Whether it was saved.

    Raises:
      ValueError: If its run has not ended with a record of all test images.
    """
    directory = results_directory() / "models" if directory is None else directory
    model = tfflows.load(WORKDIRS / name)
    if model.record is None or model.record.get("evaluation_images") is not None or model.record["split"] != "test":
        raise ValueError(f"{WORKDIRS / name} has no record of step {model.step} on all test images: let its run end.")
    there = {entry.name: entry.bits_per_dim for entry in tfflows.list_models(directory)}
    if there.get(name, float("inf")) <= model.record["value"]:
        return False
    model.save(directory / name)
    return True


def show(name: str | None = None, directory: pathlib.Path | None = None) -> pathlib.Path | None:
    """Writes a grid of samples of a shipped model to `workdirs/models/NAME-samples.png`, and says what it shows.

    Args:
      name: Name of the model; None: a Glow, or the first one that is there.
      directory: Directory of the shipped models; default: `results/models`.

    Returns:
      Path of the picture; None if there is no model.

    Raises:
      MissingExtraError: If Pillow is not installed.
    """
    entries = {entry.name: entry for entry in tfflows.list_models(directory)}
    name = name or next((own for own in entries if own.startswith("glow")), next(iter(entries), None))
    if name is None:
        return None
    caption = f"{entries[name]}, temperature {TEMPERATURE:g}, seed 0"
    evaluation.check_captions(caption)
    samples = tfflows.load(name, models_dir=directory).sample(NUM_SHOWN, TEMPERATURE, seed=0)
    path = evaluation.write_png(WORKDIRS / f"{name}-samples.png", evaluation.captioned_grid(samples, caption=caption))
    print(f"Samples of the trained model {entries[name]}: {path}")
    return path


def pictures(
    name: str, data_dir: str | None = None, models: pathlib.Path | None = None, directory: pathlib.Path | None = None
) -> list[pathlib.Path]:
    """Writes pictures of a shipped model: samples at several temperatures, and an interpolation or reconstructions.

    Those show test images, so there are none of a model of own images.

    Args:
      name: Name of the model.
      data_dir: Directory of the data sets.
      models: Directory of the shipped models; default: `results/models`.
      directory: Directory of the pictures; default: `results/pictures`.

    Returns:
      Paths of the pictures.

    Raises:
      MissingExtraError: If Pillow is not installed.
    """
    directory = results_directory() / "pictures" if directory is None else directory
    entry = {entry.name: entry for entry in tfflows.list_models(models)}[name]
    evaluation.check_captions("")
    model = tfflows.load(name, models_dir=models)
    rows = [model.sample(NUM_COLUMNS, temperature, seed=0).numpy() for temperature in TEMPERATURES]
    grid = evaluation.captioned_grid(
        np.concatenate(rows),
        NUM_COLUMNS,
        caption=f"{entry}, seed 0",
        row_names=[f"{temperature:g}" for temperature in TEMPERATURES],
        corner="temperature",
    )
    paths = [evaluation.write_png(directory / f"{name}_samples.png", grid)]
    if data.is_own(model.experiment.dataset):
        return paths  # images that may not be ours to pass on
    test = data.load_dataset(
        model.experiment.dataset, "test", data_dir, max_images=max(SHOWN_IMAGES) + 1, in_order=True
    )
    images = test.images[list(SHOWN_IMAGES)]
    if model.distribution.has_encoder:
        columns = [images, *(model.reconstruct(images, seed=0, drawn=drawn).numpy() for drawn in (False, True))]
        grid = evaluation.captioned_grid(
            np.stack(columns, axis=1).reshape([-1, *images.shape[1:]]),
            len(columns),
            caption=f"{entry}, seed 0",
            row_names=[f"test image {number}" for number in SHOWN_IMAGES],
            column_names=["image", "f(z)", "sample"],
        )
        paths.append(evaluation.write_png(directory / f"{name}_reconstructions.png", grid))
    elif model.has_latent:
        frames = np.concatenate([model.interpolate(images[pair], images[pair + 1], num_frames=9) for pair in (0, 2)])
        grid = evaluation.captioned_grid(
            frames,
            9,
            caption=f"{entry}, between test images",
            row_names=[f"{a} to {b}" for a, b in zip(SHOWN_IMAGES[::2], SHOWN_IMAGES[1::2], strict=True)],
            column_names=[f"{number / 8:.3g}" for number in range(9)],
            corner="alpha",
        )
        paths.append(evaluation.write_png(directory / f"{name}_interpolation.png", grid))
    return paths


def main() -> int:
    """Does what the command line asks for; returns the exit status."""
    start_up()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["train", "publish", "show", "pictures"])
    parser.add_argument("name", nargs="?", choices=list(MODELS))
    parser.add_argument("--data_dir")
    options = parser.parse_args()
    if options.action == "show":
        show(options.name)
        return 0
    if options.name is None:
        parser.error(f"{options.action} needs a NAME: {', '.join(MODELS)}.")
    if options.action == "pictures":
        print(*pictures(options.name, options.data_dir), sep="\n")
        return 0
    if options.action == "train":
        status = subprocess.run(command(options.name, options.data_dir)).returncode
        if status:
            return status
    saved = publish(options.name)
    print(
        f"{options.name}: {'published; `make tables` puts it on the page' if saved else 'the model that is there measures less'}."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
