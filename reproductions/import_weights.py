"""`tfflows import`: makes a workdir of weights under the authors' names, which is then like one of our own runs."""

import argparse
import dataclasses
import glob
import pathlib
import sys
from collections.abc import Sequence

from reproductions.experiment import Experiment, Reproduction
from reproductions.fields import override
from tfflows.files import first_line
from tfflows.papers import list_papers, load_paper

# --help takes no time: what computes is imported by the functions that need it.

_COMMAND = "tfflows import"


def main(arguments: Sequence[str]) -> int:
    """Imports, and returns the exit status.

    Args:
      arguments: Command-line arguments.
    """
    parser = argparse.ArgumentParser(prog=_COMMAND, description=__doc__.partition(": ")[2])
    parser.add_argument("file", help=".npz, .safetensors, .pt, or a TF1 checkpoint, under the authors' names")
    parser.add_argument("--paper", required=True, choices=list_papers())
    parser.add_argument("--workdir", required=True, help="new directory to make")
    parser.add_argument(
        "--experiment", help="experiment that the weights are of; default: the paper's own on --dataset"
    )
    parser.add_argument("--dataset", help="data set that they were trained on; default: that of the experiment")
    parser.add_argument("--scale", choices=["paper", "small"], default="paper")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="field of the experiment")
    options = parser.parse_args(arguments)

    from tfflows.training.workdir import read_experiment

    try:
        step = import_weights(
            load_paper(options.paper),
            options.file,
            options.workdir,
            experiment=options.experiment,
            dataset=options.dataset,
            scale=options.scale,
            settings=options.set,
        )
    except (ValueError, OSError, RuntimeError) as error:
        print(f"{_COMMAND}: {type(error).__name__}: {first_line(error)}", file=sys.stderr)
        return 1
    name = read_experiment(options.workdir)["name"]
    print(f"{options.workdir} holds {name} of {options.paper} at step {step}. What to do with it:")
    run = f"  tfflows {options.paper} --workdir={options.workdir}"
    print(f"{run} --mode=evaluate\n{run} --mode=sample\n  tfflows export {options.workdir} DIRECTORY")
    return 0


def import_weights(
    reproduction: Reproduction,
    file: str,
    workdir: str,
    *,
    experiment: str | None = None,
    dataset: str | None = None,
    scale: str = "paper",
    settings: Sequence[str] = (),
) -> int:
    """Makes a workdir that holds weights under the authors' names as its checkpoint of step 0.

    It can be evaluated, sampled from, exported, and trained on with the experiment's optimizer begun anew. Hyper-parameters are
    those of the experiment, then those in the authors' own file beside the weights, then `settings`.

    Args:
      reproduction: The paper's reproduction.
      file: Path of the weights.
      workdir: A new directory.
      experiment: Name of the experiment; None: the paper's own on the data set.
      dataset: Data set that they were trained on; None: that of the experiment.
      scale: `paper` or `small`.
      settings: `field=value` strings.

    Returns:
      The step of the checkpoint, 0.

    Raises:
      ValueError: If the weights do not fit the model (the message names the first that does not), or an argument is unknown.
      OSError: If the weights cannot be read, or the workdir holds a run already.
    """
    from tfflows.data import dataset_spec
    from tfflows.models.description import ModelDescription
    from tfflows.tracing.variables import count_parameters, short_variable_names
    from tfflows.training import Trainer
    from tfflows.training.workdir import described_workdir

    directory = pathlib.Path(workdir)
    if directory.exists() and any(directory.iterdir()):
        raise FileExistsError(f"{directory} is not empty. Give a new --workdir.")
    path = pathlib.Path(file)
    parts = path.parent.glob(f"{glob.escape(path.name)}.*")  # of a TF1 checkpoint, which is named by their prefix
    if not path.exists() and not any(parts):
        raise FileNotFoundError(f"There is no file {file}. Give the path of weights under the authors' names.")
    chosen = _experiment(reproduction, file, experiment, dataset, scale, settings)
    spec = dataset_spec(chosen.dataset)
    shape = [chosen.image_size, chosen.image_size, spec.num_channels]
    with short_variable_names():
        model = reproduction.build_model(chosen, shape, spec.num_classes, 0)
    reproduction.load_weights(model, file)
    optimizer = reproduction.build_optimizer(chosen, reproduction.schedule_of(chosen))
    trainer = Trainer(model, optimizer, workdir=directory, ema_decay=chosen.ema_decay, describe_workdir=False)
    content = {"paper": reproduction.paper, "seed": 0, **dataclasses.asdict(chosen), "init_from": None}
    description = ModelDescription(tuple(shape), spec.num_classes, spec.class_names, chosen.num_bits)
    with trainer.locked(), described_workdir(directory, content):
        description.write(directory)
        step = trainer.save()
    print(f"{chosen.name}: {count_parameters(model):,} parameters, from {file}.")
    return step


def _experiment(reproduction, file, name, dataset, scale, settings) -> Experiment:
    path = pathlib.Path(file)
    fields = reproduction.read_config(path if path.is_dir() else path.parent)
    if name is not None:
        chosen = reproduction.named_experiment(name)
    elif dataset is not None:
        chosen = reproduction.default_experiment(dataset, fields.get("variant"))
    else:
        raise ValueError("Give --experiment or --dataset: it says what the weights are of.")
    if scale == "small" and chosen.scale == "paper":
        chosen = reproduction.small(chosen)
    known = {field.name for field in dataclasses.fields(chosen)}
    if dataset is not None:
        fields["dataset"] = dataset
    if fields:
        print(f"Hyper-parameters beside the weights: {', '.join(f'{key}={value}' for key, value in fields.items())}.")
    chosen = dataclasses.replace(chosen, **{key: value for key, value in fields.items() if key in known})
    return override(chosen, settings)
