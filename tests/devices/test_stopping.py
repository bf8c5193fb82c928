import os
import signal

import pytest

from tfflows.devices.stopping import stop_on_sigterm


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_sets_the_flag_and_the_handlers_come_back(number):
    before = signal.getsignal(number)
    steps = 0
    with stop_on_sigterm() as stop:
        while not stop and steps < 100:
            steps += 1
            if steps == 3:
                os.kill(os.getpid(), number)
        assert stop.signal_number == number
    assert steps == 3
    assert signal.getsignal(number) is before


def test_a_second_interrupt_raises_and_a_second_sigterm_does_not():
    with stop_on_sigterm() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop

        def interrupt():
            os.kill(os.getpid(), signal.SIGINT)
            signal.sigtimedwait([], 1)

        with pytest.raises(KeyboardInterrupt):
            interrupt()


def test_no_signal_no_stop():
    with stop_on_sigterm() as stop:
        assert not stop
