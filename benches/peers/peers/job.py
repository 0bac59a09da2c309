"""A peer's run as a process of its own, so that its memory and CPU time are nobody else's.

The parent hands over a job as JSON and reads the figures from the file that the job names.
"""

import json
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

PACKAGE_ROOT = Path(__file__).resolve().parents[1]


def run(module: str, job: dict, work: Path, timeout_s: float) -> dict:
    """Starts `python -m peers.MODULE` on the job and returns its figures, or its failure."""
    work.mkdir(parents=True, exist_ok=True)
    job = {**job, "work": str(work), "out": str(work / "figures.json")}
    path = work / "job.json"
    path.write_text(json.dumps(job))
    command = [sys.executable, "-m", f"peers.{module}", str(path)]
    try:
        # Stopped when time is up, with the figures that it has not written: a failure.
        subprocess.run(command, cwd=PACKAGE_ROOT, timeout=timeout_s, check=False)
        return json.loads(Path(job["out"]).read_text())
    except subprocess.TimeoutExpired:
        return {"failed": f"took more than {timeout_s:.0f} s"}
    except FileNotFoundError:
        return {"failed": "ended without figures"}


def main(work: Callable[[dict], dict]) -> None:
    """The other side: does the job that the command line names."""
    job = json.loads(Path(sys.argv[1]).read_text())
    try:
        figures = work(job)
    except Exception as error:
        # A peer that fails is a row that says so, not the end of the run.
        traceback.print_exc()
        figures = {"failed": f"{type(error).__name__}: {error}"[:500]}
    Path(job["out"]).write_text(json.dumps(figures))
