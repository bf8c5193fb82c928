#!/bin/bash
# Trains on machines that ssh reaches and that share a file system, and starts all again as long as a worker ends with 75.
#
#     examples/cluster/ssh.sh host0 host1 -- tfflows glow --dataset=cifar10 --workdir=/shared/glow
#
# Ctrl-C or SIGTERM stops the workers, which save first; the same command goes on from there. PORT (12345) is that of the first
# worker; each further one takes the next.
set -u

hosts=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    hosts+=("$1")
    shift
done
if [ ${#hosts[@]} -eq 0 ] || [ $# -lt 2 ]; then
    sed -n 's/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
shift
if ! program=$(command -v "$1"); then
    echo "$1 is not to be found here; the file system that the machines share must have it." >&2
    exit 2
fi
command=$(printf '%q ' "$program" "${@:2}")
port=${PORT:-12345}
workers=
for index in "${!hosts[@]}"; do
    workers+="${workers:+, }\"${hosts[$index]}:$((port + index))\""
done

# The number of each worker's process is in a file on its machine, since ssh hands no signals on.
pid_file() {
    echo "/tmp/tfflows-$USER-$((port + $1)).pid"
}

stopped=
stop() {
    stopped=yes
    for index in "${!hosts[@]}"; do
        ssh "${hosts[$index]}" "kill -TERM \$(cat $(pid_file "$index"))"
    done
}
trap stop INT TERM

wait_for() {
    # A signal ends `wait` before the process ends.
    wait "$1"
    local status=$?
    while kill -0 "$1" 2> /dev/null; do
        wait "$1"
        status=$?
    done
    return "$status"
}

while true; do
    processes=()
    for index in "${!hosts[@]}"; do
        config="{\"cluster\": {\"worker\": [$workers]}, \"task\": {\"type\": \"worker\", \"index\": $index}}"
        remote="cd $(printf %q "$PWD") && echo \$\$ > $(pid_file "$index") && TF_CONFIG=$(printf %q "$config") exec $command"
        # In a group of its own: the terminal sends Ctrl-C to this script alone.
        setsid ssh "${hosts[$index]}" "bash -c $(printf %q "$remote")" < /dev/null &
        processes+=($!)
    done
    again= failed=0
    for process in "${processes[@]}"; do
        wait_for "$process"
        status=$?
        if [ "$status" -eq 75 ]; then
            again=yes
        elif [ "$status" -ne 0 ]; then
            failed=$status
        fi
    done
    # Where one was told to stop as it could not tell the others (75), these have lost it (1): all go on.
    if [ -z "$again" ]; then
        exit "$failed"
    fi
    if [ -n "$stopped" ]; then
        exit 75
    fi
    sleep 1
done
