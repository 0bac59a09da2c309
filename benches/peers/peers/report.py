"""The results as plain text: the same tables on a terminal and in the .md file.

In: what is in the JSON. Nothing here computes more than a division and a unit.
"""

from statistics import median

QUESTIONS = (
    "one key",
    "one key, 64 under way",
    "one key, not fresh",
    "one key, not fresh, 64 under way",
    "top 10",
    "top 10, restarted",
    "by country",
    "export",
)

NOTES = """\
CPU is user and system time of the peer's process alone, in seconds of one core; wall time of
embedded engines has no sender beside it, that of Redis and ours has one on the same cores.
`kept` is what makes it last: OPTIMIZE FINAL of all tables, CHECKPOINT and an index, SAVE, a stop
with a checkpoint. `before` is the memory of the process before the first event; embedded engines
live in a Python process. `load` is the machine's load average of the minute before: beyond what the
setup before it left (one or two), others were using the cores, and figures are higher than alone.
Of several rounds figures are the median, memory and load the greatest. An error of p95 is the
distance from the two values around rank 0.95 (n - 1); `-` is what a peer does not have, or was not
asked. CPU of other processes is read in steps of 10 ms.
"""


def markdown(results: dict) -> str:
    """All of it."""
    rows = [row for row in results["rows"] if "failed" not in row]
    machine = results["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    pieces = [
        f"# {results['date'][:10]}: {results['what']}\n",
        f"{machine['cores']} cores of {machine['processor']} (cache {machine['cache']}), memory "
        f"{machine['memory']}, Linux {machine['kernel']}. Commit {machine['commit']}. "
        f"Python {machine['python']}, {packages}; {engines(rows)}.\n",
        f"    {results['command']}\n",
        f"{results['events']:,} events, seed {results['seed']}, rounds: {results['rounds']}. "
        "How each peer is set up, and why: [peers/README.md](../peers/README.md).\n",
        "## Taking in\n",
        block(taking_in(rows)),
        "## Questions: CPU of the server per question (wall time)\n",
        block(questions(rows)),
        "## Relative errors, over all keys\n",
        block(errors(rows)),
        NOTES,
    ]
    failed = [
        f"NOT MEASURED: {r['setup']}: {r['failed']}" for r in results["rows"] if "failed" in r
    ]
    failed += [f"MISTAKE: {text}" for row in rows for text in mistakes(row)]
    return "\n".join([*pieces, *failed]).rstrip() + "\n"


def engines(rows: list[dict]) -> str:
    versions = {f"{row['peer']} {row['version']}": None for row in rows if "version" in row}
    return ", ".join(versions)


def taking_in(rows: list[dict]) -> list[list[str]]:
    head = ["", "µs/event", "from-to", "kept", "together", "events/s", "rows", "disk MB"]
    table = [[*head, "peak MB", "before", "load"]]
    for row in rows:
        rounds, events = row["rounds"], row["events"]
        taken = [each["ingest"]["cpu_s"] / events * 1e6 for each in rounds]
        per_event = median(taken)
        kept = median(each["persist"]["cpu_s"] / events * 1e6 for each in rounds)
        per_second = events / median(each["ingest"]["wall_s"] for each in rounds)
        table.append(
            [
                row["setup"] + ("" if events == rows[0]["events"] else f", {events:,} events"),
                f"{per_event:.2f}",
                f"{min(taken):.2f}-{max(taken):.2f}" if len(taken) > 1 else "-",
                f"{kept:.2f}",
                f"{per_event + kept:.2f}",
                f"{per_second:,.0f}",
                f"{row['rows']:,}" if "rows" in row else "-",
                megabytes(row.get("disk_bytes")),
                megabytes(max(each["peak_rss"] for each in rounds)),
                megabytes(row["ingest"].get("rss_before")),
                f"{max(each['load_before'] for each in rounds):.1f}",
            ]
        )
    return table


def questions(rows: list[dict]) -> list[list[str]]:
    asked = [row for row in rows if "questions" in row]
    table = [["", *(short(row) for row in asked)]]
    for name in QUESTIONS:
        table.append([name, *(question(row["questions"].get(name)) for row in asked)])
    table.append(["export, MB", *(megabytes(r["questions"]["export"]["bytes"]) for r in asked)])
    table.append(["start", *(question(row["start"]) for row in asked)])
    return table


def short(row: dict) -> str:
    """A peer's name in a column; its quantiles tell two setups of one peer apart."""
    parts = row["setup"].split(", ")
    return parts[0] + (f", {parts[-1]}" if parts[-1].startswith("quantiles") else "")


def question(figures: dict | None) -> str:
    if figures is None:
        return "-"
    cpu, wall = (figures[name] / figures["repeats"] for name in ("cpu_s", "wall_s"))
    return f"{duration(cpu)} ({duration(wall)})"


def duration(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def errors(rows: list[dict]) -> list[list[str]]:
    table = [["", "", "keys", "users: mean", "p99", "max", "p95: mean", "p99", "max"]]
    for row in rows:
        for summary, told in row.get("errors", {}).items():
            cells = [short(row), summary, f"{told['keys']:,}"]
            for what in ("users", "p95"):
                spread = told.get(what)
                names = ("mean", "p99", "max")
                cells += [f"{spread[n] * 100:.4f} %" for n in names] if spread else ["-"] * 3
            table.append(cells)
    return table


def mistakes(row: dict) -> list[str]:
    """Rows that are missing or whose count or cost is not exact."""
    told = row.get("errors", {}).items()
    return [f"{row['setup']}: {name}: {e['mistakes']}" for name, e in told if e["mistakes"]]


def megabytes(number: int | None) -> str:
    return "-" if number is None else f"{number / 1e6:.0f}"


def block(table: list[list[str]]) -> str:
    """Columns side by side: the first to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = []
    for cells in table:
        first, *others = zip(cells, widths, strict=True)
        padded = [first[0].ljust(first[1])] + [cell.rjust(width) for cell, width in others]
        lines.append("  ".join(padded).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "```text\n" + "\n".join(lines) + "\n```\n"
