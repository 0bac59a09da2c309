"""DuckDB: all events loaded as a table, then a GROUP BY for each summary.

Its sketches are not kept: a result of approx_count_distinct is a number. So it keeps the events
too, in a file of their own, and what needs a union over keys is asked of them.
"""

from pathlib import Path

import duckdb

from . import job, workload
from .measure import Span, bytes_under, peak_rss, repeat, reset_peak

COLUMNS = {
    "ts": "BIGINT",
    **dict.fromkeys(workload.TEXTS, "VARCHAR"),
    "cost": "DECIMAL(18,6)",
    "latency_ms": "DOUBLE",
}

# Measured and left out, since they cost more: GROUPING SETS instead of twelve statements, and
# dimensions as enumerations.
AGGREGATES = (
    'count(*) AS events, sum(cost) AS cost, approx_count_distinct("user") AS users, '
    "approx_quantile(latency_ms, [0.5, 0.9, 0.95, 0.99]) AS latency"
)
QUANTILES = ", ".join(f"latency[{n}] AS latency_p{p}" for n, p in enumerate((50, 90, 95, 99), 1))


def connect(work: Path) -> duckdb.DuckDBPyConnection:
    """The database of summaries, with that of the events beside it."""
    connection = duckdb.connect(str(work / "summaries.db"))
    connection.execute("SET threads = 2")
    connection.execute("SET preserve_insertion_order = false")
    connection.execute(f"ATTACH '{work / 'events.db'}' AS kept")
    return connection


def load(order: dict) -> dict:
    """Takes all events in, makes the summaries, and answers the questions."""
    work = Path(order["work"])
    for name in ("summaries.db", "events.db"):
        (work / name).unlink(missing_ok=True)
    connection = connect(work)
    source = f"read_parquet('{order['input']}')"
    if order["format"] == "JSON":
        source = f"read_json('{order['input']}', format='newline_delimited', columns={COLUMNS})"
    before = peak_rss()
    reset_peak()
    with Span() as ingest:
        with Span() as reading:
            connection.execute(f"CREATE TABLE kept.events AS SELECT * FROM {source}")
        for name, dimensions in workload.summaries().items():
            keys = ", ".join(dimensions)
            connection.execute(
                f"CREATE TABLE {name} AS SELECT {keys}, {AGGREGATES} "
                f"FROM kept.events GROUP BY {keys}"
            )
    figures = {
        "version": duckdb.__version__,
        "ingest": {**ingest.figures(), "peak_rss": peak_rss(), "rss_before": before},
        "reading": reading.figures(),
    }
    with Span() as persist:
        # One key of this summary will be asked for.
        connection.execute("CREATE UNIQUE INDEX placement_key ON placement (placement)")
        connection.execute("CHECKPOINT")
        connection.execute("CHECKPOINT kept")
    rows = [
        connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
        for name in workload.summaries()
    ]
    figures |= {"persist": persist.figures(), "peak_rss": peak_rss(), "rows": sum(rows)}
    figures["events_bytes"] = bytes_under(work / "events.db")
    figures["disk_bytes"] = bytes_under(work / "summaries.db") + figures["events_bytes"]
    if order["questions"]:
        figures["questions"] = questions(connection, order)
    connection.close()
    return figures


def top(connection: duckdb.DuckDBPyConnection) -> list:
    statement = "SELECT placement, users FROM placement ORDER BY users DESC LIMIT 10"
    return connection.execute(statement).fetchall()


def questions(connection: duckdb.DuckDBPyConnection, order: dict) -> dict:
    exports = Path(order["exports"])
    keys = iter(order["keys"])
    one_key = f"SELECT events, cost, users, {QUANTILES} FROM placement WHERE placement = ?"
    by_country = (
        'SELECT country, approx_count_distinct("user") AS users, '
        "approx_quantile(latency_ms, 0.95) AS latency_p95 FROM kept.events GROUP BY country"
    )

    def export() -> None:
        for name, dimensions in workload.summaries().items():
            connection.execute(
                f"COPY (SELECT {', '.join(dimensions)}, events, cost, users, {QUANTILES} "
                f"FROM {name}) TO '{exports / f'{name}.csv'}' (HEADER)"
            )

    def ask(key: str) -> list:
        return connection.execute(one_key, [key]).fetchall()

    answers = {
        "one key": repeat(lambda: ask(next(keys)), len(order["keys"])),
        "top 10": repeat(lambda: top(connection), 10),
        "by country": repeat(lambda: connection.execute(by_country).fetchall(), 10),
        "export": repeat(export, 1),
    }
    answers["export"]["bytes"] = bytes_under(exports)
    connection.execute(f"COPY ({by_country}) TO '{exports / 'by_country.csv'}' (HEADER)")
    return answers


def restart(order: dict) -> dict:
    """The first question of a process that has just opened the database."""
    with Span() as start:
        connection = connect(Path(order["work"]))
        connection.execute("SELECT count(*) FROM browser").fetchall()
    return {"start": start.figures(), "top 10, restarted": repeat(lambda: top(connection), 1)}


if __name__ == "__main__":
    job.main(lambda order: {"load": load, "restart": restart}[order["do"]](order))
