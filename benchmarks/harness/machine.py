"""The load of the machine: processor time that other processes take."""

import os
import pathlib
import resource
import time
from collections.abc import Callable, Sequence

STAT = pathlib.Path("/proc/stat")


def busy_seconds() -> float | None:
    """Processor time in seconds of all processes since the machine started; None without /proc."""
    if not STAT.exists():
        return None
    # user nice system idle iowait irq softirq steal
    ticks = [int(field) for field in STAT.read_text().splitlines()[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def process_seconds(process: int) -> float:
    """Processor time in seconds that a process and its threads have taken."""
    # The name, in brackets, may contain spaces.
    fields = pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def own_seconds() -> float:
    """Processor time in seconds of this process and of its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


class Others:
    """The share of the machine's processor time that other processes have taken since this object was created.

    Args:
      own: Function that returns the processor seconds of the processes that do not count as others.
    """

    def __init__(self, own: Callable[[], float] = own_seconds):
        self._own = own
        self._wall, self._others = time.monotonic(), self._seconds()

    def share(self) -> float | None:
        """The share between 0 and 1; None if the system does not tell it."""
        if self._others is None:
            return None
        capacity = (time.monotonic() - self._wall) * len(os.sched_getaffinity(0))
        return min(max((self._seconds() - self._others) / max(capacity, 1e-9), 0.0), 1.0)

    def _seconds(self):
        busy = busy_seconds()
        return None if busy is None else busy - self._own()


class Patience:
    """Decides whether a turn was too disturbed to count.

    After some seconds of repeated turns it accepts all, so that a run ends on a busy machine too.

    Args:
      processes: Ids of the measured processes.
      seconds: Time in total that repeated turns may take.
      limit: Share of the machine that other processes may take.
    """

    def __init__(self, processes: Sequence[int], seconds: float = 90.0, limit: float = 0.1):
        self._processes, self._left, self._limit = tuple(processes), seconds, limit

    def watch(self) -> Callable[[], bool]:
        """Begins a turn; the returned function ends it and says whether to repeat it."""
        begin = time.monotonic()
        others = Others(lambda: own_seconds() + sum(map(process_seconds, self._processes)))

        def disturbed():
            share = others.share()
            if share is None or share <= self._limit or self._left <= 0:
                return False
            time.sleep(1.0)
            self._left -= time.monotonic() - begin
            return True

        return disturbed
