"""Functions run in processes that are forked after TensorFlow is imported and before it is initialised.

The import takes longer than all the rest, and a process that has used its devices cannot be forked.
"""

import json
import os
import socket
import sys
import traceback


def fork(function, *arguments):
    """The id of a process that runs `function` and exits with 0, with 1 if it raises, or as `sys.exit` in it says."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        function(*arguments)
        status = 0
    except SystemExit as exit_:
        status = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def wait(process):
    """The exit code of a process; minus the number of the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def cluster(num_workers):
    """The values of TF_CONFIG of workers on this machine, at ports that were free a moment ago."""
    sockets = [socket.create_server(("localhost", 0)) for _ in range(num_workers)]
    hosts = [f"localhost:{own.getsockname()[1]}" for own in sockets]
    for own in sockets:
        own.close()
    return [{"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}} for index in range(num_workers)]


def slurm_step(num_tasks):
    """The variables of the tasks of a SLURM step on this machine."""
    common = {
        "SLURM_JOB_ID": str(os.getpid()),  # what makes ports that no other step has
        "SLURM_STEP_NUM_TASKS": str(num_tasks),
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_STEP_TASKS_PER_NODE": str(num_tasks),
        "SLURMD_NODENAME": "localhost",
    }
    return [{**common, "SLURM_PROCID": str(index), "SLURM_LOCALID": str(index)} for index in range(num_tasks)]


def run_scenarios(scenarios, arguments_of):
    """Runs each scenario with its arguments; prints a JSON object from its name to its error, empty if it held."""
    errors = {}
    for scenario in scenarios:
        try:
            scenario(*arguments_of(scenario))
            errors[scenario.__name__] = ""
        except Exception:
            errors[scenario.__name__] = traceback.format_exc()
    print(json.dumps(errors))
