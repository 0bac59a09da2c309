"""What a process has used, read from outside of the work that is measured.

Linux only: figures come from /proc and from getrusage.
"""

import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def own_cpu() -> float:
    """User and system time of all threads of this process, in seconds."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def cpu_of(pid: int) -> float:
    """User and system time of all threads of a process, in seconds; in steps of 10 ms."""
    # The name of the program stands in parentheses and may hold spaces.
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def peak_rss(pid: int | str = "self") -> int:
    """The most memory that a process held since its start or `reset_peak`, in bytes.

    Not ru_maxrss: that one is inherited from the process that started this one.
    """
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def reset_peak(pid: int | str = "self") -> None:
    """Starts `peak_rss` anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def bytes_under(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(p.stat().st_size for p in files)


@dataclass
class Span:
    """CPU and wall time of a `with` block."""

    cpu: Callable[[], float] = own_cpu
    cpu_s: float = 0.0
    wall_s: float = 0.0

    def __enter__(self) -> "Span":
        self.wall_s, self.cpu_s = time.perf_counter(), self.cpu()
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu_s = self.cpu() - self.cpu_s
        self.wall_s = time.perf_counter() - self.wall_s

    def figures(self, repeats: int = 1) -> dict:
        """As it stands in the results."""
        return {"cpu_s": self.cpu_s, "wall_s": self.wall_s, "repeats": repeats}


def repeat(work: Callable[[], object], repeats: int, cpu: Callable[[], float] = own_cpu) -> dict:
    """Does the work so many times and measures all of them together."""
    with Span(cpu) as span:
        for _ in range(repeats):
            work()
    return span.figures(repeats)
