"""This program: its server as operators start it, fed by `summarizer send` from a file.

The sender is a process of its own and parses and packs the events; only the server is measured.
"""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import zmq

from . import job, workload
from .measure import Span, bytes_under, cpu_of, peak_rss, repeat, reset_peak

PATIENCE_S = 600


def free_address() -> str:
    """An address of the loopback that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{listener.getsockname()[1]}"


def configuration(events_at: str, questions_at: str) -> str:
    """The canonical one, with nothing that happens by the clock: a stop writes a checkpoint.

    The day of the events is past, and would be published at once without a grace of years.
    """
    text = workload.CONFIGURATION.read_text()
    for section, address in (("ingest.zmq", events_at), ("query.zmq", questions_at)):
        pattern = rf"(\[{re.escape(section)}\]\nbind = )[^\n]*"
        text, found = re.subn(pattern, rf'\1"{address}"', text)
        assert found == 1, f"{workload.CONFIGURATION} has no bind in [{section}]"
    still = '[checkpoint]\ninterval = "24h"\n[snapshots]\ngrace = "3650d"\nquiet = "24h"\n'
    return f"{text}\n{still}"


class Server:
    """A server that we started, and that ends with us."""

    def __init__(self, binary: str, work: Path) -> None:
        self.events_at, self.questions_at = free_address(), free_address()
        self.data = work / "data"
        config = work / "peers.toml"
        config.write_text(configuration(self.events_at, self.questions_at))
        command = [binary, "serve", "-c", str(config), "--data-dir", str(self.data)]
        with (work / "server.log").open("a") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self.context = zmq.Context()
        self.dealer = self.context.socket(zmq.DEALER)
        self.dealer.setsockopt(zmq.LINGER, 0)
        self.dealer.connect(self.questions_at)

    def __enter__(self) -> "Server":
        self.ask({"get": "stats"})
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.process.kill()
            self.process.wait()
        self.dealer.close()
        self.context.term()

    def cpu(self) -> float:
        return cpu_of(self.process.pid)

    def ask(self, question: dict) -> dict:
        """The answer to one question."""
        self.dealer.send(json.dumps(question).encode())
        if not self.dealer.poll(PATIENCE_S * 1000):
            raise RuntimeError(f"no answer to {question}")
        answer = json.loads(self.dealer.recv())
        if "error" in answer:
            raise RuntimeError(f"{question} was answered with {answer['error']}")
        return answer

    def ask_all(self, questions: list[bytes], under_way: int) -> None:
        """Asks with so many under way; what the answers say is not read."""
        asked = 0
        for answered in range(len(questions)):
            while asked < min(answered + under_way, len(questions)):
                self.dealer.send(questions[asked])
                asked += 1
            if b'"error"' in self.dealer.recv():
                raise RuntimeError("a question was answered with an error")

    def wait_for(self, events: int, sender: subprocess.Popen) -> None:
        """Until all are accepted and applied."""
        deadline = time.monotonic() + PATIENCE_S
        while (stats := self.ask({"get": "stats"}))["events_accepted"] < events:
            late = time.monotonic() > deadline
            if late or stats["events_refused"] or sender.poll() not in (None, 0):
                raise RuntimeError(f"only {stats['events_accepted']} of {events} were accepted")
            time.sleep(0.05)
        # An answer holds every event that was accepted before its question.
        self.ask({"summary": "browser", "select": ["events"]})

    def rows(self) -> int:
        """Rows in memory, which are all: every event is of one day."""
        return sum(shard["rows"] for shard in self.ask({"get": "stats"})["shards"])

    def stop(self) -> dict:
        """Stops it as an operator would, with one checkpoint; tells what that took."""
        before, begin, peak = self.cpu(), time.perf_counter(), [0]
        reset_peak(self.process.pid)
        ended = threading.Event()

        def watch() -> None:
            # Gone with the memory itself when the process ends.
            with contextlib.suppress(OSError):
                while not ended.wait(0.01):
                    peak[0] = max(peak[0], peak_rss(self.process.pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        self.process.send_signal(signal.SIGTERM)
        _, status, usage = os.wait4(self.process.pid, 0)
        ended.set()
        watcher.join()
        self.process.returncode = os.waitstatus_to_exitcode(status)
        if self.process.returncode != 0:
            raise RuntimeError(f"the server ended with {self.process.returncode}")
        used = usage.ru_utime + usage.ru_stime
        wall = time.perf_counter() - begin
        return {"cpu_s": used - before, "wall_s": wall, "repeats": 1, "peak_rss": peak[0]}


def load(order: dict) -> dict:
    """Takes all events in, answers questions, stops with a checkpoint, restarts."""
    work = Path(order["work"])
    send = [order["binary"], "send", "--batch", str(order["batch"]), "--format", order["format"]]
    with Server(order["binary"], work) as server:
        before = peak_rss(server.process.pid)
        with Span(server.cpu) as ingest:
            command = [*send, "--limit", str(order["events"]), "--to", server.events_at]
            sender = subprocess.Popen(
                [*command, order["input"]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            try:
                server.wait_for(order["events"], sender)
            finally:
                sender.terminate()
                sender.wait()
        peak = peak_rss(server.process.pid)
        figures = {
            "version": subprocess.check_output([order["binary"], "--version"], text=True).strip(),
            "command": " ".join(["summarizer", *command[1:-1], "ADDRESS"]),
            "ingest": {**ingest.figures(), "peak_rss": peak, "rss_before": before},
            "rows": server.rows(),
        }
        if order["questions"]:
            figures["questions"] = questions(server, order)
        figures["persist"] = server.stop()
    figures["peak_rss"] = max(peak, figures["persist"]["peak_rss"])
    figures["disk_bytes"] = bytes_under(server.data) - bytes_under(server.data / "snapshots")
    if order["questions"]:
        restarted = restart(order, work)
        figures["start"] = restarted.pop("start")
        figures["questions"] |= restarted
    return figures


def top(server: Server, day: str) -> dict:
    return server.ask(
        {
            "summary": "placement",
            "from": day,
            "to": day,
            "by": ["placement"],
            "select": ["users"],
            "order": "-users",
            "limit": 10,
        }
    )


def questions(server: Server, order: dict) -> dict:
    day = order["day"]

    def gets(**more: object) -> list[bytes]:
        get = {"get": "placement", "day": day, **more}
        asked = [{**get, "key": {"placement": key}} for key in order["keys"]]
        return [json.dumps(question).encode() for question in asked]

    def one_key(under_way: int, repeats: int, **more: object) -> dict:
        asked = gets(**more)
        figures = repeat(lambda: server.ask_all(asked, under_way), repeats, server.cpu)
        figures["repeats"] *= len(asked)
        return figures

    def by_country() -> dict:
        select = ["users", "latency.p95"]
        question = {"summary": "country_region", "from": day, "to": day, "by": ["country"]}
        return server.ask({**question, "select": select})

    answers = {
        "one key": one_key(1, 10),
        "one key, 64 under way": one_key(64, 20),
        "one key, not fresh": one_key(1, 10, fresh=False),
        "one key, not fresh, 64 under way": one_key(64, 20, fresh=False),
        "top 10": repeat(lambda: top(server, day), 20, server.cpu),
        "by country": repeat(by_country, 20, server.cpu),
    }
    rows = [",".join(map(str, row)) for row in by_country()["rows"]]
    text = "\n".join(["country,users,latency_p95", *rows])
    (Path(order["exports"]) / "by_country.csv").write_text(f"{text}\n")
    return answers


def restart(order: dict, work: Path) -> dict:
    """A server that opens the store, and its first question.

    Exports here, since an export writes a checkpoint, which is to be measured by itself.
    """
    day, exports = order["day"], Path(order["exports"])

    def export() -> None:
        for name in workload.summaries():
            server.ask({"export": name, "day": day})

    begin = time.perf_counter()
    with Server(order["binary"], work) as server:
        start = {"cpu_s": server.cpu(), "wall_s": time.perf_counter() - begin, "repeats": 1}
        first = repeat(lambda: top(server, day), 1, server.cpu)
        exported = repeat(export, 1, server.cpu)
        server.stop()
    exported["bytes"] = 0
    for name in workload.summaries():
        path = server.data / "snapshots" / name / f"{day}.csv"
        exported["bytes"] += path.stat().st_size
        (exports / f"{name}.csv").symlink_to(path.resolve())
    return {"start": start, "top 10, restarted": first, "export": exported}


def own_bench(order: dict) -> dict:
    """What the program says of itself: `summarizer bench ingest`, which also checks every row."""
    command = [order["binary"], "bench", "ingest", "--events", str(order["events"]), "--json"]
    told = json.loads(subprocess.check_output(command))
    cpu = told["cpu_us_per_event"] * told["events"] / 1e6
    checkpoint = {"cpu_s": told["checkpoint_cpu_seconds"], "wall_s": told["checkpoint_seconds"]}
    return {
        "command": " ".join(["summarizer", *command[1:]]),
        "ingest": {"cpu_s": cpu, "wall_s": told["wall_seconds"], "repeats": 1},
        "persist": {**checkpoint, "repeats": 1},
        "peak_rss": told["peak_rss_bytes"],
        "rows": told["rows"],
        "told": told,
    }


if __name__ == "__main__":
    job.main(lambda order: {"load": load, "bench": own_bench}[order["do"]](order))
