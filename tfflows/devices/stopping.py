"""Stopping on request: SIGTERM and the first Ctrl-C end a run at the next step, on all workers alike.

A command that was stopped exits with `STOPPED`, so that schedulers can tell it from one that failed and start it again.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator

import tensorflow as tf
from absl import logging

from tfflows.devices.strategies import num_workers

STOPPED = os.EX_TEMPFAIL  # 75
"""Exit status of a command that was stopped and has kept what it did: the same command goes on from there."""


class StopRequest:
    """Whether a stop was requested; false at first. Use it as `if stop: break`."""

    def __init__(self) -> None:
        self.signal_number: int | None = None

    def __bool__(self) -> bool:
        return self.signal_number is not None


@contextlib.contextmanager
def stop_on_sigterm() -> Iterator[StopRequest]:
    """Turns SIGTERM and SIGINT into a flag that the training loop reads between two steps.

    The loop saves and returns. A second SIGINT raises `KeyboardInterrupt` at once, for those
    who do not want to wait. The previous handlers are put back on leaving. Signals reach only the main thread: in any other
    thread nothing is turned into a flag.

    Yields:
      A `StopRequest`, true once a signal has come.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def handle(signal_number, frame):
        del frame
        if request and signal_number == signal.SIGINT:
            raise KeyboardInterrupt
        request.signal_number = signal_number
        logging.warning("Got %s: stopping after this step.", signal.Signals(signal_number).name)

    previous = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def exit_on_sigterm() -> Iterator[None]:
    """Ends the process with `STOPPED` at SIGTERM, with one line on standard error, except where `stop_on_sigterm` saves first.

    The process ends at once and cleans nothing up, as if it was killed: nothing that this library writes is lost then. It also
    ends while a device computes or other workers are waited for, where a handler would not be called. Does nothing outside the
    main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(signal_number, frame):
        """Only there so that Python tells the watching thread."""
        del signal_number, frame

    def watch():
        while numbers := os.read(told, 1):
            # Within a training loop another handler is in place.
            if numbers[0] == signal.SIGTERM and signal.getsignal(signal.SIGTERM) is handle:
                print("Stopped by SIGTERM. The same command goes on from what is saved.", file=sys.stderr, flush=True)
                os._exit(STOPPED)

    told, telling = os.pipe()
    os.set_blocking(telling, False)
    before = signal.signal(signal.SIGTERM, handle)
    earlier = signal.set_wakeup_fd(telling, warn_on_full_buffer=False)
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(earlier)
        signal.signal(signal.SIGTERM, before)
        os.close(telling)
        watcher.join()
        os.close(told)


def make_any_worker(strategy: tf.distribute.Strategy) -> Callable[[object], bool]:
    """A function that tells whether a flag is set in any worker: signals reach workers between different steps.

    Args:
      strategy: Every worker must call the function the same number of times.

    Returns:
      A function `flag -> bool`.
    """
    if num_workers(strategy) == 1:
        return bool

    @tf.function(autograph=False)
    def total(flag):
        def replica(flag):
            # An argument is on no device, and the sum goes where its summand is.
            return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(flag))

        return strategy.experimental_local_results(strategy.run(replica, args=(flag,)))[0]

    return lambda flag: float(total(tf.constant(float(bool(flag))))) > 0
