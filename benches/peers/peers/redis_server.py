"""Redis: a hash and a HyperLogLog per key, on a Unix socket in a folder of its own.

It has no quantiles without a module that Debian does not package, so those are missing.
"""

import csv
import itertools
import subprocess
import time
from pathlib import Path

import pyarrow.parquet
import redis

from . import job, workload
from .measure import Span, bytes_under, cpu_of, peak_rss, repeat
from .redis_client import Commands, feed, key_names

KEYS_IN_A_PIPELINE = 1000


class Server:
    """A server that we started, and that ends with us."""

    def __init__(self, work: Path) -> None:
        self.socket = work / "redis.sock"
        options = {
            "--port": "0",
            "--unixsocket": str(self.socket),
            "--dir": str(work),
            # A snapshot is taken where it is measured, and nowhere else.
            "--save": "",
            "--appendonly": "no",
            "--daemonize": "no",
            "--logfile": str(work / "redis.log"),
        }
        arguments = [part for option in options.items() for part in option]
        self.process = subprocess.Popen(["redis-server", *arguments])
        self.client = redis.Redis(unix_socket_path=str(self.socket), decode_responses=True)

    def __enter__(self) -> "Server":
        for _ in range(3000):
            try:
                if self.client.ping():
                    return self
            except (redis.ConnectionError, redis.BusyLoadingError):
                time.sleep(0.02)
        raise RuntimeError("redis-server does not answer")

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()

    def cpu(self) -> float:
        return cpu_of(self.process.pid)

    def ask(self, commands: list[tuple]) -> list:
        """Answers to commands that travel together."""
        pipeline = self.client.pipeline(transaction=False)
        for each in commands:
            pipeline.execute_command(*each)
        return pipeline.execute()


def load(order: dict) -> dict:
    """Takes all events in, writes a snapshot, answers questions, restarts on the snapshot."""
    work, day = Path(order["work"]), order["day"].replace("-", "")
    table = pyarrow.parquet.read_table(order["parquet"], read_dictionary=list(workload.TEXTS[1:]))
    table = table.slice(0, order["events"])
    (work / "dump.rdb").unlink(missing_ok=True)
    with Server(work) as server:
        commands = Commands(table, day, order["cost_as"])
        pid, before = server.process.pid, peak_rss(server.process.pid)
        with Span(server.cpu) as ingest:
            feed(server.socket, commands)
        figures = {
            "version": server.client.info("server")["redis_version"],
            "ingest": {**ingest.figures(), "peak_rss": peak_rss(pid), "rss_before": before},
        }
        del commands
        with Span(server.cpu) as persist:
            # Not BGSAVE, whose child would have to be measured as well.
            server.client.save()
        figures |= {"persist": persist.figures(), "peak_rss": peak_rss(pid)}
        figures |= {
            "rows": server.client.dbsize() // 2,
            "disk_bytes": bytes_under(work / "dump.rdb"),
        }
        if order["questions"]:
            figures["questions"] = questions(server, order, day)
    if order["questions"]:
        restarted = restart(work, order["placements"], day)
        figures["start"] = restarted.pop("start")
        figures["questions"] |= restarted
    return figures


def place_of(summary: str) -> int:
    return list(workload.summaries()).index(summary)


def top(server: Server, placements: list[str], day: str) -> list:
    """The application knows its placements; Redis has no order by a HyperLogLog's count."""
    place, best = place_of("placement"), []
    for some in batched(placements, KEYS_IN_A_PIPELINE):
        counts = server.ask([("PFCOUNT", key_names(place, day, (p,))[1]) for p in some])
        best = sorted([*best, *zip(counts, some, strict=True)], reverse=True)[:10]
    return best


def questions(server: Server, order: dict, day: str) -> dict:
    exports = Path(order["exports"])
    place = place_of("placement")
    names = [key_names(place, day, (key,)) for key in order["keys"]]
    one_key = [(("HGETALL", hash_key), ("PFCOUNT", set_key)) for hash_key, set_key in names]

    def ask(under_way: int) -> None:
        for some in batched(one_key, under_way):
            server.ask([each for pair in some for each in pair])

    answers = {
        "one key": repeat(lambda: ask(1), 5, server.cpu),
        "one key, 64 under way": repeat(lambda: ask(64), 20, server.cpu),
        "top 10": repeat(lambda: top(server, order["placements"], day), 10, server.cpu),
        "by country": repeat(lambda: by_country(server, day), 50, server.cpu),
    }
    for name in ("one key", "one key, 64 under way"):
        answers[name]["repeats"] *= len(one_key)
    answers["export"] = repeat(lambda: export(server, exports), 1, server.cpu)
    answers["export"]["bytes"] = bytes_under(exports)
    with (exports / "by_country.csv").open("w") as file:
        csv.writer(file).writerows([("country", "users"), *by_country(server, day)])
    return answers


def by_country(server: Server, day: str) -> list[tuple[str, int]]:
    """Redis unites HyperLogLogs: one PFCOUNT over the regions of each country."""
    place = place_of("country_region")
    if not hasattr(server, "regions"):
        regions: dict[str, list[str]] = {}
        for key in server.client.scan_iter(match=f"{place}u:*", count=10_000):
            regions.setdefault(key.split(":")[2], []).append(key)
        server.regions = regions
    counts = server.ask([("PFCOUNT", *keys) for keys in server.regions.values()])
    return list(zip(server.regions, counts, strict=True))


def export(server: Server, folder: Path) -> None:
    """All keys, as SCAN finds them, to a file for each summary; costs were millionths."""
    files, writers = [], []
    for name, dimensions in workload.summaries().items():
        files.append((folder / f"{name}.csv").open("w", newline=""))
        writers.append(csv.writer(files[-1]))
        writers[-1].writerow(["day", *dimensions, "events", "cost", "users"])
    names = server.client.scan_iter(count=10_000, _type="hash")
    for some in batched(names, KEYS_IN_A_PIPELINE):
        sets = [name.replace(":", "u:", 1) for name in some]
        answers = server.ask(
            [c for h, s in zip(some, sets, strict=True) for c in (("HGETALL", h), ("PFCOUNT", s))]
        )
        for name, state, users in zip(some, answers[::2], answers[1::2], strict=True):
            place, day, *key = name.split(":")
            cost = f"{int(state['c']) / 1e6:.6f}"
            writers[int(place)].writerow([day, *key, state["n"], cost, users])
    for file in files:
        file.close()


def batched(values, size: int):
    """Lists of so many; itertools has it from Python 3.12 on."""
    values = iter(values)
    while some := list(itertools.islice(values, size)):
        yield some


def restart(work: Path, placements: list[str], day: str) -> dict:
    """A server that reads the snapshot, and its first question."""
    begin = time.perf_counter()
    with Server(work) as server:
        start = {"cpu_s": server.cpu(), "wall_s": time.perf_counter() - begin, "repeats": 1}
        first = repeat(lambda: top(server, placements, day), 1, server.cpu)
    return {"start": start, "top 10, restarted": first}


if __name__ == "__main__":
    job.main(load)
