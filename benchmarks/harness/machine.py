"""What else runs on the machine: the processor time that other processes take."""

import os
import pathlib
import resource
import time
from collections.abc import Callable, Sequence

STAT = pathlib.Path("/proc/stat")


def busy_seconds() -> float | None:
    """Processor time that all processes together have taken since the machine started; None without /proc."""
    if not STAT.exists():
        return None
    # user nice system idle iowait irq softirq steal
    ticks = [int(field) for field in STAT.read_text().splitlines()[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def process_seconds(process: int) -> float:
    """Processor time that one process has taken, its threads included."""
    # The name, in brackets, may hold spaces.
    fields = pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def own_seconds() -> float:
    """Processor time of this process and of its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


class Others:
    """The share of the machine's processor time that other processes take, from the object's creation on.

    Args:
      own: Gives the seconds of the processes that do not count as others.
    """

    def __init__(self, own: Callable[[], float] = own_seconds):
        self._own = own
        self._wall, self._others = time.monotonic(), self._seconds()

    def share(self) -> float | None:
        """Between 0 and 1; None where it cannot be told."""
        if self._others is None:
            return None
        capacity = (time.monotonic() - self._wall) * len(os.sched_getaffinity(0))
        return min(max((self._seconds() - self._others) / max(capacity, 1e-9), 0.0), 1.0)

    def _seconds(self):
        busy = busy_seconds()
        return None if busy is None else busy - self._own()


class Patience:
    """Whether a turn was too disturbed to count; gives in after some seconds of such turns, so that a run ends anywhere.

    Args:
      processes: Ids of the processes that are measured.
      seconds: How long turns are repeated, all together.
      limit: Share of the machine that others may take.
    """

    def __init__(self, processes: Sequence[int], seconds: float = 90.0, limit: float = 0.1):
        self._processes, self._left, self._limit = tuple(processes), seconds, limit

    def watch(self) -> Callable[[], bool]:
        """Begins a turn; the function that it returns ends it and says whether to repeat it."""
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
