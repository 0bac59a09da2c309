"""ClickHouse, embedded (chDB): a Null table and a materialized view for each summary.

Nothing is kept but states of aggregate functions, as in our own store: views group each
inserted block, and AggregatingMergeTree merges what several blocks have of one key.
"""

import shutil
from pathlib import Path

import pyarrow.parquet
from chdb import session

from . import job, workload
from .measure import Span, bytes_under, peak_rss, repeat, reset_peak

# LowCardinality pays up to some ten thousand values, says the manual; placements are 50,000.
TYPES = {
    "id": "String",
    "ts": "Int64",
    "user": "String",
    "placement": "String",
    **dict.fromkeys(
        ("campaign", "ad_size", "browser", "country", "region", "event"), "LowCardinality(String)"
    ),
    "cost": "Decimal(18, 6)",
    "latency_ms": "Float64",
}
STRUCTURE = ", ".join(f"{name} {kind}" for name, kind in TYPES.items())

USERS = "uniqCombined64{}(14)"
# The first promises a relative error as ours does, the second is the cheaper one.
QUANTILES = {
    "DD": "quantilesDD{}(0.01, 0.5, 0.9, 0.95, 0.99)",
    "TDigest": "quantilesTDigest{}(0.5, 0.9, 0.95, 0.99)",
}
PERCENTILES = ("50", "90", "95", "99")


class Server:
    """A database in a folder, within this process."""

    def __init__(self, folder: Path, quantile: str, day: str) -> None:
        self.session = session.Session(str(folder))
        self.day = day
        self.users, self.quantile = USERS, QUANTILES[quantile]
        self.run("SET max_threads = 2")

    def run(self, statement: str) -> str:
        return str(self.session.query(statement, "TSV"))

    def create(self) -> None:
        """The Null table and, for each summary, a table of states and the view that fills it."""
        self.run("CREATE DATABASE peer")
        self.run(f"CREATE TABLE peer.events ({STRUCTURE}) ENGINE = Null")
        users, latency = self.users.format(""), self.quantile.format("")
        users = users.replace("(14)", "(14), String")
        latency = f"{latency}, Float64"
        for name, dimensions in workload.summaries().items():
            keys = ", ".join(dimensions)
            columns = ", ".join(f"{d} {TYPES[d]}" for d in dimensions)
            # Small granules and blocks, since single keys will be asked for.
            self.run(
                f"CREATE TABLE peer.{name} (day Date, {columns}, "
                "events SimpleAggregateFunction(sum, UInt64), "
                "cost SimpleAggregateFunction(sum, Decimal(38, 6)), "
                f"users AggregateFunction({users}), latency AggregateFunction({latency})) "
                f"ENGINE = AggregatingMergeTree ORDER BY (day, {keys}) "
                "SETTINGS index_granularity = 64, "
                "min_compress_block_size = 4096, max_compress_block_size = 65536"
            )
            self.run(
                f"CREATE MATERIALIZED VIEW peer.{name}_view TO peer.{name} AS "
                f"SELECT toDate(fromUnixTimestamp64Milli(ts, 'UTC')) AS day, {keys}, "
                "count() AS events, sum(cost) AS cost, "
                f"{self.users.format('State')}(user) AS users, "
                f"{self.quantile.format('State')}(latency_ms) AS latency "
                f"FROM peer.events GROUP BY day, {keys}"
            )
        # So that a merge is measured where it is asked for, and nowhere else.
        self.run("SYSTEM STOP MERGES")

    def insert(self, path: Path, form: str, rows: int) -> None:
        """One INSERT, which every view sees as one block.

        optimize_on_insert would merge equal keys of a block once more; a view has none.
        """
        self.run(
            f"INSERT INTO peer.events SELECT * FROM file('{path}', '{form}', '{STRUCTURE}') "
            f"SETTINGS min_insert_block_size_rows = {rows}, min_insert_block_size_bytes = 0, "
            f"max_insert_block_size = {rows}, optimize_on_insert = 0, "
            "parallel_view_processing = 1"
        )

    def optimize(self) -> None:
        self.run("SYSTEM START MERGES")
        for name in workload.summaries():
            self.run(f"OPTIMIZE TABLE peer.{name} FINAL")

    def parts(self) -> dict:
        """Parts, rows and bytes of all summaries."""
        told = self.run(
            "SELECT count(), sum(rows), sum(bytes_on_disk) FROM system.parts "
            "WHERE database = 'peer' AND active"
        )
        parts, rows, disk = map(int, told.split())
        return {"parts": parts, "rows": rows, "disk_bytes": disk}

    def one_key(self, placement: str) -> str:
        return self.run(
            "SELECT events, cost, finalizeAggregation(users), finalizeAggregation(latency) "
            f"FROM peer.placement FINAL WHERE day = '{self.day}' AND placement = '{placement}'"
        )

    def top(self) -> str:
        return self.run(
            f"SELECT placement, {self.users.format('Merge')}(users) AS users "
            "FROM peer.placement GROUP BY placement ORDER BY users DESC LIMIT 10"
        )

    def by_country(self, into: str = "") -> str:
        latency = self.quantile.format("Merge")
        return self.run(
            f"{into} SELECT country, {self.users.format('Merge')}(users) AS users, "
            f"arrayElement({latency}(latency), 3) AS latency_p95 "
            "FROM peer.country_region GROUP BY country"
        )

    def export(self, folder: Path) -> None:
        """All rows of all summaries as CSV."""
        quantiles = ", ".join(
            f"arrayElement(finalizeAggregation(latency), {n}) AS latency_p{p}"
            for n, p in enumerate(PERCENTILES, 1)
        )
        for name, dimensions in workload.summaries().items():
            self.run(
                f"{csv(folder / f'{name}.csv')} SELECT day, {', '.join(dimensions)}, events, cost,"
                f" finalizeAggregation(users) AS users, {quantiles} FROM peer.{name} FINAL"
            )


def csv(path: Path) -> str:
    """The start of a statement whose rows go to a file."""
    return f"INSERT INTO FUNCTION file('{path}', 'CSVWithNames')"


def prepare(order: dict) -> dict:
    """The events as files of Native blocks, the form that ClickHouse's own clients send."""
    table = pyarrow.parquet.read_table(order["parquet"])
    server = Server(Path(order["work"]) / "scratch", "DD", "")
    piece = Path(order["work"]) / "piece.parquet"
    for rows in order["blocks"]:
        folder = Path(order["work"]) / str(rows)
        folder.mkdir(exist_ok=True)
        for number, start in enumerate(range(0, table.num_rows, rows)):
            pyarrow.parquet.write_table(table.slice(start, rows), piece)
            server.run(
                f"INSERT INTO FUNCTION file('{folder}/{number:05}.native', 'Native') "
                f"SELECT * FROM file('{piece}', 'Parquet', '{STRUCTURE}') "
                f"SETTINGS min_insert_block_size_rows = {rows}, min_insert_block_size_bytes = 0"
            )
    piece.unlink()
    return {"prepared": True}


def load(order: dict) -> dict:
    """Takes all events in, merges, and answers the questions where the order says so."""
    folder = Path(order["work"]) / "data"
    shutil.rmtree(folder, ignore_errors=True)
    server = Server(folder, order["quantile"], order["day"])
    server.create()
    files = sorted(Path(order["input"]).glob("*"))
    before = peak_rss()
    reset_peak()
    with Span() as ingest:
        for path in files:
            server.insert(path, order["format"], order["rows"])
    figures = {
        "version": server.run("SELECT version()").strip(),
        "ingest": {**ingest.figures(), "peak_rss": peak_rss(), "rss_before": before},
        "unmerged": server.parts(),
    }
    with Span() as merge:
        server.optimize()
    figures |= {"persist": merge.figures(), "peak_rss": peak_rss(), **server.parts()}
    figures["folder_bytes"] = bytes_under(folder)
    if order["questions"]:
        figures["questions"] = questions(server, order)
    server.session.close()
    return figures


def questions(server: Server, order: dict) -> dict:
    exports = Path(order["exports"])
    keys = iter(order["keys"] * 2)
    server.one_key(order["keys"][0])
    answers = {
        "one key": repeat(lambda: server.one_key(next(keys)), min(500, len(order["keys"]))),
        "top 10": repeat(server.top, 10),
        "by country": repeat(server.by_country, 10),
        "export": repeat(lambda: server.export(exports), 1),
    }
    answers["export"]["bytes"] = bytes_under(exports)
    server.by_country(csv(exports / "by_country.csv"))
    return answers


def restart(order: dict) -> dict:
    """The first question of a process that has just opened the database."""
    with Span() as start:
        server = Server(Path(order["work"]) / "data", order["quantile"], order["day"])
        server.run("SELECT count() FROM peer.browser")
    figures = {"start": start.figures(), "top 10, restarted": repeat(server.top, 1)}
    server.session.close()
    return figures


if __name__ == "__main__":
    job.main(
        lambda order: {"prepare": prepare, "load": load, "restart": restart}[order["do"]](order)
    )
