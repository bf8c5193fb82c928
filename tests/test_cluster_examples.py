"""The scripts of examples/cluster start a command again where it ends with 75, and nowhere else."""

import json
import os
import pathlib
import signal
import subprocess
import time

import pytest

SCRIPTS = pathlib.Path(__file__).parents[1] / "examples" / "cluster"
# A worker that ends with the next of its statuses, and keeps what it was told.
WORKER = """#!/bin/bash
index=$(echo "$TF_CONFIG" | grep -o '[0-9]*}}$' | tr -d '}')
echo "$TF_CONFIG" >> config-$index
echo "$1" >> calls
read -r status rest < statuses-$index
echo "$rest" > statuses-$index
exit $status
"""
# One that waits for SIGTERM.
WAITING = """#!/bin/bash
trap 'exit 75' TERM
touch waiting-$$
while true; do sleep 0.1; done
"""


@pytest.fixture
def run(tmp_path):
    """Gives a function that starts a script in an empty directory, where `commands` are what its PATH finds first."""
    started = []

    def start(script, *arguments, **commands):
        (tmp_path / "bin").mkdir()
        for name, text in commands.items():
            path = tmp_path / "bin" / name
            path.write_text(text)
            path.chmod(0o755)
        # The port names files in /tmp.
        variables = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "PORT": str(os.getpid() % 30_000 + 20_000)}
        environment = {**os.environ, "USER": "tests", "SLURM_JOB_ID": "7", **variables}
        started.append(subprocess.Popen([SCRIPTS / script, *arguments], cwd=tmp_path, env=environment))
        return started[-1]

    yield start
    for process in started:
        process.kill()


SSH = """#!/bin/bash
[ "$1" = host0 ] || [ "$1" = host1 ] || exit 255
exec bash -c "$2"
"""


@pytest.mark.parametrize(
    ("statuses", "calls", "status"),
    [
        (("0", "0"), 2, 0),
        (("75 0", "1 0"), 4, 0),  # one that was stopped while it could not tell the other
        pytest.param(("75 75 0", "75 75 0"), 6, 0, marks=pytest.mark.slow),
        pytest.param(("1", "1"), 2, 1, marks=pytest.mark.slow),
        (("75 3", "75 1"), 4, 1),
    ],
)
def test_ssh_starts_all_again_while_one_says_so(run, tmp_path, statuses, calls, status):
    for index, own in enumerate(statuses):
        (tmp_path / f"statuses-{index}").write_text(own + "\n")
    (tmp_path / "worker").write_text(WORKER)
    process = run("ssh.sh", "host0", "host1", "--", "bash", "worker", "two words", ssh=SSH, sleep="#!/bin/bash\n")
    assert process.wait(timeout=60) == status
    assert (tmp_path / "calls").read_text().splitlines() == ["two words"] * calls
    for index in range(2):
        config = json.loads((tmp_path / f"config-{index}").read_text().splitlines()[0])
        assert config["task"] == {"type": "worker", "index": index}
        hosts = [address.rpartition(":") for address in config["cluster"]["worker"]]
        assert [host for host, _, _ in hosts] == ["host0", "host1"]
        assert int(hosts[1][2]) == int(hosts[0][2]) + 1


def test_ssh_hands_sigterm_on_and_does_not_start_again(run, tmp_path):
    (tmp_path / "waiting").write_text(WAITING)
    process = run("ssh.sh", "host0", "host1", "--", "bash", "waiting", ssh=SSH)
    deadline = time.monotonic() + 30
    while len(list(tmp_path.glob("waiting-*"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 75
    assert len(list(tmp_path.glob("waiting-*"))) == 2


@pytest.mark.parametrize("status", [0, 1, 75])
def test_slurm_queues_a_job_again_only_if_it_says_so(run, tmp_path, status):
    srun = f'#!/bin/bash\necho "$@" > calls\nexit {status}\n'
    process = run("slurm.sh", "glow", "--dataset=a b", srun=srun, scontrol='#!/bin/bash\necho "$@" > requeued\n')
    assert process.wait(timeout=30) == status
    assert (tmp_path / "calls").read_text() == "--kill-on-bad-exit=0 tfflows glow --dataset=a b --cluster=slurm\n"
    assert (tmp_path / "requeued").exists() == (status == 75)
    if status == 75:
        assert (tmp_path / "requeued").read_text() == "requeue 7\n"


def test_the_command_of_a_pod_tells_all_pods_apart(tmp_path):
    """Without a parser of YAML: the text of the block after `- |`."""
    lines = (SCRIPTS / "kubernetes.yaml").read_text().splitlines()
    begin = next(number for number, line in enumerate(lines) if line.strip() == "- |") + 1
    indent = len(lines[begin]) - len(lines[begin].lstrip())
    block = []
    for line in lines[begin:]:
        if not line.startswith(" " * indent):
            break
        block.append(line[indent:])
    script = "\n".join(block).replace("exec tfflows", "echo $TF_CONFIG; exit; tfflows")
    for index in "01":
        done = subprocess.run(["sh", "-c", script], env={"JOB_COMPLETION_INDEX": index}, capture_output=True, text=True)
        config = json.loads(done.stdout)
        assert config["task"] == {"type": "worker", "index": int(index)}
        assert config["cluster"]["worker"] == [f"tfflows-{i}.tfflows-workers:12345" for i in range(2)]
    assert "values: [75]" in (SCRIPTS / "kubernetes.yaml").read_text()
