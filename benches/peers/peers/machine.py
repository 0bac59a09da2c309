"""What the figures were measured on and with."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

from .workload import REPOSITORY

PACKAGES = ("chdb", "chdb-core", "duckdb", "numpy", "pyarrow", "pyzmq", "redis", "hiredis")


def about() -> dict:
    """Processor, memory, system, commit and versions."""
    return {
        "processor": value_of(Path("/proc/cpuinfo"), "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "cache": value_of(Path("/proc/cpuinfo"), "cache size"),
        "memory": value_of(Path("/proc/meminfo"), "MemTotal"),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := version_of(name))},
        "commit": commit(),
    }


def value_of(path: Path, name: str) -> str:
    """The first line of a file of /proc that has the name."""
    for line in path.read_text().splitlines():
        if line.startswith(name):
            return line.split(":", 1)[1].strip()
    return "unknown"


def version_of(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def commit() -> str:
    """Of the checkout; the binary's own version stands in its rows."""
    command = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty", "--abbrev=12"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    return told.stdout.strip() or "unknown"
