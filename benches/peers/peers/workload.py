"""The events and the twelve summaries, as every peer is given them.

In: the program's own generator. Out: one file of NDJSON, and the same rows as an Arrow table
and as Parquet. Nothing here measures.
"""

import datetime
import subprocess
import tomllib
from pathlib import Path

import pyarrow as pa
import pyarrow.json
import pyarrow.parquet

REPOSITORY = Path(__file__).resolve().parents[3]
CONFIGURATION = REPOSITORY / "schemas" / "adtech.toml"

# The summaries whose every key is held against the exact answer: few and many keys, small and
# large sets. The others are counted but not judged, which would take longer than measuring.
JUDGED = ("browser", "campaign", "country_region", "placement", "campaign_country")

TEXTS = (
    "id",
    "user",
    "placement",
    "campaign",
    "ad_size",
    "browser",
    "country",
    "region",
    "event",
)

# Reading numbers as what they are keeps every consumer from guessing types from the first rows.
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("ts", pa.int64()),
        *((name, pa.string()) for name in TEXTS[1:]),
        ("cost", pa.float64()),
        ("latency_ms", pa.float64()),
    ]
)


def summaries() -> dict[str, list[str]]:
    """Name and dimensions of each summary, from the configuration that we are measured with."""
    with CONFIGURATION.open("rb") as file:
        return {s["name"]: s["dimensions"] for s in tomllib.load(file)["summary"]}


def generate(binary: Path, events: int, seed: int, folder: Path) -> Path:
    """Has the program write the events as lines of JSON."""
    lines = folder / "events.ndjson"
    arguments = ["generate", "--events", str(events), "--seed", str(seed), "--out", str(lines)]
    subprocess.run([binary, *arguments], check=True)
    return lines


def read(lines: Path) -> pa.Table:
    """The events by columns; texts as dictionaries, costs as decimals."""
    options = pa.json.ParseOptions(explicit_schema=SCHEMA)
    big_blocks = pa.json.ReadOptions(block_size=16 << 20)
    table = pa.json.read_json(lines, read_options=big_blocks, parse_options=options)
    for place, name in enumerate(table.column_names):
        column = table[name]
        if name in TEXTS and name != "id":
            table = table.set_column(place, name, column.dictionary_encode().combine_chunks())
        elif name == "cost":
            table = table.set_column(place, name, column.cast(pa.decimal128(18, 6), safe=False))
    return table


def write_parquet(table: pa.Table, folder: Path) -> Path:
    """The events as Parquet, in row groups that two threads can share."""
    path = folder / "events.parquet"
    pa.parquet.write_table(table, path, row_group_size=122_880, compression="zstd")
    return path


def day_of(table: pa.Table) -> datetime.date:
    """The one day of the events."""
    days = {table["ts"][place].as_py() // 86_400_000 for place in (0, -1)}
    assert len(days) == 1, "the canonical events lie within one day"
    return datetime.date(1970, 1, 1) + datetime.timedelta(days=days.pop())
