"""Start-up: seconds from the command to the end of the first training step: `python -m benchmarks.start_up`."""

from benchmarks.command import run_command
from benchmarks.images import image_folder
from benchmarks.timing import summary
from benchmarks.topic import Findings, main
from reproductions.reporting.benchmarks import Measurement

# The largest of the published Glows in number of variables, and the largest image.
EXPERIMENTS = {"imagenet64": 64, "celeba_hq": 256}
LIMIT = 420
GOAL = 30

# Events of `command_process`, and what passes before each.
PHASES = {
    "imports": "interpreter and imports",
    "data": "data set",
    "model": "model",
    "optimizer": "optimizer and train step",
    "initialization": "data-dependent init",
}

NOTES = [
    "Each experiment as published (depth, width, levels), by the true command on noise images, with batch and init batch of one "
    "image, since neither changes the start. *Start-up* is the time from the command to the end of step 1, less one later step "
    "and less one forward pass of the init batch; the rows below it are its parts, in order, nothing subtracted. One run each; "
    f"stopped after {LIMIT} s.",
]


def measure():
    findings = Findings("Start-up", NOTES)
    for experiment, size in EXPERIMENTS.items():
        findings.measurements += start_up_rows(experiment, started_once("glow", experiment, size))
    return findings


def started_once(paper, experiment, size, num_images=1):
    """A `Run` of two steps of an experiment as published, but for batch and init batch, on noise images."""
    with image_folder(size, num_images=max(num_images, 2)) as dataset:
        flags = [f"--dataset={dataset}", f"--experiment={experiment}", f"--set=image_size={size}"]
        flags += ["--batch_size=1", f"--set=init_batch_size={num_images}"]
        return run_command(flags, num_steps=2, paper=paper, limit=LIMIT, forward_pass=True)


def start_up_rows(experiment, run, goal=GOAL):
    """The measurements of a `Run`, whole or stopped; goal in seconds."""

    def row(quantity, seconds, **fields):
        return Measurement(experiment, quantity, "tfflows", "s", **summary([seconds]), **fields)

    rows, before = [], 0.0
    for event, name in PHASES.items():
        if event in run.events:
            rows.append(row(name, run.events[event] - before))
            before = run.events[event]
    if not run.steps:
        stopped = row("start-up", LIMIT, at_least=True, goal=goal, peak_memory_mib=run.peak_memory_mib)
        return [stopped, *rows]
    first = run.steps[0][1]
    rows.append(row("tracing and first step", first - before))
    subtracted = 0.0
    if len(run.steps) > 1:
        subtracted = run.seconds_per_step(after=1)
        rows.append(row("a later step", subtracted))
    if run.forward_pass is not None:
        subtracted += run.forward_pass
        rows.append(row("a forward pass", run.forward_pass))
    return [row("start-up", first - subtracted, goal=goal, peak_memory_mib=run.peak_memory_mib), *rows]


if __name__ == "__main__":
    main("start_up", measure)
