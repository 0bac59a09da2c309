"""The run: makes the events, has every peer take them in turn, judges, and writes the results."""

import argparse
import dataclasses
import datetime
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

from . import machine, report, setups, workload
from .exact import Exact

RUNS = workload.REPOSITORY / "benches" / "runs"
PEERS = ("clickhouse", "duckdb", "redis", "ours")
KEYS_ASKED = 1000

EXAMPLES = """\
examples:
  benches/peers/run
  benches/peers/run --events 200000 --peers redis,ours --json /tmp/small.json
  benches/peers/run --peers duckdb,ours --rounds 3
  benches/peers/run --binary target/release/summarizer
"""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benches/peers/run",
        description="Run the canonical workload through ClickHouse, DuckDB, Redis and ourselves.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--events", type=int, default=2_000_000, help="default: 2,000,000")
    parser.add_argument("--seed", type=int, default=1, help="another one makes other events")
    parser.add_argument("--peers", default=",".join(PEERS), help=f"some of {','.join(PEERS)}")
    parser.add_argument(
        "--rounds",
        type=int,
        default=1,
        help="take everything in so often, in turns, and tell the median (default: 1)",
    )
    parser.add_argument("--binary", type=Path, help="summarizer; default: where cargo builds it")
    parser.add_argument(
        "--json",
        type=Path,
        help="where results go, with an .md beside; default: benches/runs/DATE-peers.json",
    )
    parser.add_argument("--keep", type=Path, help="work in this new folder, and leave it")
    args = parser.parse_args()
    args.peers = args.peers.split(",")
    if unknown := set(args.peers) - set(PEERS):
        parser.error(f"no such peer: {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    if args.events < 1 or args.rounds < 1:
        parser.error("--events and --rounds must be 1 at least")
    args.binary = (args.binary or default_binary()).resolve()
    if not args.binary.is_file():
        parser.error(f"{args.binary} is not there: build with cargo, or give --binary")
    return args


def default_binary() -> Path:
    """Where ./demo and ./test have cargo build it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    target = os.environ.get("CARGO_TARGET_DIR", cache / "summarizer" / "target")
    return Path(target) / "release" / "summarizer"


def missing(peer: str) -> str | None:
    """Why a peer cannot run here, or None."""
    module = {"clickhouse": "chdb", "duckdb": "duckdb"}.get(peer)
    if module and importlib.util.find_spec(module) is None:
        return f"{module} is not installed"
    if peer == "redis" and shutil.which("redis-server") is None:
        return "redis-server is not installed"
    return None


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def measure(args: argparse.Namespace, work: Path) -> dict:
    """All figures."""
    say(f"making {args.events:,} events")
    lines = workload.generate(args.binary, args.events, args.seed, work)
    table = workload.read(lines)
    parquet = workload.write_parquet(table, work)
    exact = Exact(table)
    placements = sorted(exact.present("placement"))
    asked = np.random.default_rng(args.seed).choice(placements, KEYS_ASKED).tolist()
    inputs = setups.Inputs(
        binary=args.binary,
        lines=lines,
        parquet=parquet,
        events=args.events,
        common={"day": str(workload.day_of(table)), "keys": asked, "placements": placements},
    )
    del table
    rows, done = [], []
    for peer in args.peers:
        if reason := missing(peer):
            rows.append({"peer": peer, "setup": peer, "failed": reason})
            say(f"NOT MEASURED: {peer}: {reason}")
            continue
        for setup in setups.of(peer, inputs):
            rows.append({"peer": peer, **run(setup, work, exact)})
            done.append((setup, rows[-1]))
    # In turns, so that what slows the machine for a while slows nobody alone.
    for _ in range(1, args.rounds):
        for setup, row in done:
            again = run(dataclasses.replace(setup, judged=False, restarts=False), work, exact)
            if "failed" in again:
                row["failed"] = again["failed"]
            row["rounds"] = row.get("rounds", []) + again.get("rounds", [])
    return {
        "what": "the canonical workload, side by side",
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": " ".join(["benches/peers/run", *sys.argv[1:]]),
        "events": args.events,
        "rounds": args.rounds,
        "seed": args.seed,
        "machine": machine.about(),
        "rows": rows,
    }


def run(setup: setups.Setup, work: Path, exact: Exact) -> dict:
    """One row. What a round may change stands under `rounds` as well."""
    say(f"{setup.name} …")
    figures = setup.run(work)
    if "failed" in figures:
        say(f"NOT MEASURED: {setup.name}: {figures['failed']}")
    else:
        kept = ("ingest", "persist", "peak_rss", "load_before")
        figures["rounds"] = [{name: figures[name] for name in kept}]
        if setup.judged:
            figures["errors"] = judge(exact, setup.exports(work))
    setup.clear(work)
    return {"setup": setup.name, "events": setup.events, **figures}


def judge(exact: Exact, exports: Path) -> dict:
    """Errors over all keys of some summaries, and of the union by country."""
    dimensions = {name: workload.summaries()[name] for name in workload.JUDGED}
    files = {name: exports / f"{name}.csv" for name in dimensions}
    dimensions["by_country"] = ["country"]
    files["by_country"] = exports / "by_country.csv"
    return {name: exact.compare(files[name], dimensions[name]) for name in files}


def free_name() -> Path:
    """Where results of today go; never over those of an earlier run."""
    today = datetime.datetime.now(datetime.UTC).date()
    path, number = RUNS / f"{today}-peers.json", 1
    while path.exists():
        number += 1
        path = RUNS / f"{today}-peers-{number}.json"
    return path


def main() -> None:
    args = arguments()
    work = args.keep or Path(tempfile.mkdtemp(prefix="summarizer-peers-"))
    work.mkdir(parents=True, exist_ok=True)
    try:
        results = measure(args, work.resolve())
    finally:
        if args.keep is None:
            shutil.rmtree(work, ignore_errors=True)
    path = args.json or free_name()
    path.write_text(json.dumps(results, indent=1) + "\n")
    text = report.markdown(results)
    path.with_suffix(".md").write_text(text)
    print(text)
    say(f"results: {path} and {path.with_suffix('.md').name}")
    if any("failed" in row for row in results["rows"]):
        sys.exit(1)


if __name__ == "__main__":
    main()
