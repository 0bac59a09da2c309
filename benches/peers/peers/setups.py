"""Each way in which a peer is set up: what it is called, what it is given, how it is run."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import job

TIMEOUT_S = 1200
# A form that is only there for comparison takes a part of the events, where all would take minutes.
PART = 4


@dataclass
class Inputs:
    """What all peers share."""

    binary: Path
    lines: Path
    parquet: Path
    events: int
    common: dict


@dataclass
class Setup:
    """One row of the results."""

    name: str
    module: str
    order: dict
    events: int
    judged: bool = False
    restarts: bool = False
    prepare: Callable[[Path], str] | None = None

    def folder(self, work: Path) -> Path:
        return work / "".join(c if c.isalnum() else "-" for c in self.name)

    def exports(self, work: Path) -> Path:
        return self.folder(work) / "exports"

    def run(self, work: Path) -> dict:
        """Its figures, with how busy the machine was before."""
        folder = self.folder(work)
        self.exports(work).mkdir(parents=True)
        order = {**self.order, "exports": str(self.exports(work)), "questions": self.judged}
        if self.prepare:
            try:
                order["input"] = self.prepare(work)
            except RuntimeError as error:
                return {"failed": f"its input cannot be made: {error}"}
        load = os.getloadavg()[0]
        figures = job.run(self.module, order, folder, TIMEOUT_S)
        if self.restarts and "failed" not in figures:
            restarted = job.run(self.module, {**order, "do": "restart"}, folder, TIMEOUT_S)
            if "failed" in restarted:
                return {"failed": f"after a restart: {restarted['failed']}"}
            figures["start"] = restarted.pop("start")
            figures["questions"] |= restarted
        return {**figures, "load_before": load}

    def clear(self, work: Path) -> None:
        """Its files would only take space from the next."""
        shutil.rmtree(self.folder(work), ignore_errors=True)


def of(peer: str, inputs: Inputs) -> list[Setup]:
    """The setups of a peer, in the order in which they run."""
    makers = {"clickhouse": clickhouse, "duckdb": duckdb, "redis": redis, "ours": ours}
    return makers[peer](inputs)


def clickhouse(inputs: Inputs) -> list[Setup]:
    def native(rows: int) -> Callable[[Path], str]:
        def prepare(work: Path) -> str:
            folder = work / "native" / str(rows)
            if not folder.exists():
                order = {"do": "prepare", "parquet": str(inputs.parquet), "blocks": [rows]}
                told = job.run("clickhouse", order, work / "native", TIMEOUT_S)
                if "failed" in told:
                    raise RuntimeError(told["failed"])
            return str(folder)

        return prepare

    def lines(work: Path) -> str:
        folder = work / "lines"
        folder.mkdir(exist_ok=True)
        (folder / inputs.lines.name).unlink(missing_ok=True)
        (folder / inputs.lines.name).hardlink_to(inputs.lines)
        return str(folder)

    def setup(quantile: str, form: str, rows: int, judged: bool = False) -> Setup:
        blocks = "one block" if rows == inputs.events else f"blocks of {rows:,}"
        order = {"do": "load", "format": form, "rows": rows, "quantile": quantile, **inputs.common}
        return Setup(
            name=f"ClickHouse, {form}, {blocks}, quantiles{quantile}",
            module="clickhouse",
            order=order,
            events=inputs.events,
            judged=judged,
            restarts=judged,
            prepare=native(rows) if form == "Native" else lines,
        )

    million, hundred_thousand = min(1_000_000, inputs.events), min(100_000, inputs.events)
    wanted = [
        setup("DD", "Native", million, judged=True),
        setup("DD", "Native", hundred_thousand),
        setup("DD", "Native", inputs.events),
        setup("TDigest", "Native", million, judged=True),
        setup("TDigest", "JSONEachRow", inputs.events),
    ]
    # With few events some are the same.
    return list({each.name: each for each in reversed(wanted)}.values())[::-1]


def duckdb(inputs: Inputs) -> list[Setup]:
    def setup(form: str, path: Path, judged: bool) -> Setup:
        order = {"do": "load", "format": form, "input": str(path), **inputs.common}
        name = f"DuckDB, {form}"
        return Setup(name, "duck", order, inputs.events, judged=judged, restarts=judged)

    return [setup("Parquet", inputs.parquet, True), setup("JSON", inputs.lines, False)]


def redis(inputs: Inputs) -> list[Setup]:
    def setup(cost_as: str, events: int, judged: bool) -> Setup:
        order = {"parquet": str(inputs.parquet), "cost_as": cost_as, "events": events}
        name = f"Redis, cost as {cost_as}"
        return Setup(name, "redis_server", {**order, **inputs.common}, events, judged=judged)

    part = max(inputs.events // PART, 1)
    return [setup("millionths", inputs.events, True), setup("float", part, False)]


def ours(inputs: Inputs) -> list[Setup]:
    def setup(form: str, batch: int, judged: bool) -> Setup:
        order = {"do": "load", "format": form, "batch": batch, "input": str(inputs.lines)}
        order |= {"binary": str(inputs.binary), "events": inputs.events, **inputs.common}
        name = f"ours, {form}, {batch} in a message"
        return Setup(name, "ours", order, inputs.events, judged=judged)

    bench = {"do": "bench", "binary": str(inputs.binary), "events": inputs.events}
    return [
        setup("json", 100, True),
        setup("protobuf", 100, False),
        setup("json", 1, False),
        Setup("ours, by `summarizer bench ingest`", "ours", bench, inputs.events),
    ]
