"""The exact answer, and how far a peer's answer is from it.

In: the events by columns and the CSV files that peers exported. Out: relative errors over all
keys. A key that is missing, too many, or whose count or cost is not exact is a mistake, which
the report shows: figures of a peer that did other work are worth nothing.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv


@dataclass
class Groups:
    """What is right, by key in ascending order of `keys`."""

    keys: np.ndarray
    events: np.ndarray
    cost_micros: np.ndarray
    users: np.ndarray
    p95_low: np.ndarray
    p95_high: np.ndarray


class Exact:
    """The events, ready to be grouped by any dimensions."""

    def __init__(self, table: pa.Table) -> None:
        self.names: dict[str, pa.Array] = {}
        self.codes: dict[str, np.ndarray] = {}
        for field in table.schema:
            if pa.types.is_dictionary(field.type):
                column = table[field.name].combine_chunks()
                self.names[field.name] = column.dictionary
                self.codes[field.name] = column.indices.to_numpy().astype(np.int64)
        self.latency = table["latency_ms"].to_numpy()
        cost = pc.multiply(table["cost"].cast(pa.float64()), 1e6)
        self.cost_micros = np.rint(cost.to_numpy()).astype(np.int64)

    def groups(self, dimensions: list[str]) -> Groups:
        """Counts, costs, users and p95 of every key."""
        key = self._combined([self.codes[d] for d in dimensions], dimensions)
        keys, group = np.unique(key, return_inverse=True)
        events = np.bincount(group)
        # Sums of whole numbers below 2^53 are exact in floats.
        cost = np.bincount(group, weights=self.cost_micros).astype(np.int64)
        users_in_all = len(self.names["user"])
        pairs = np.unique(group * users_in_all + self.codes["user"])
        users = np.bincount(pairs // users_in_all)
        ordered = self.latency[np.lexsort((self.latency, group))]
        starts = np.concatenate(([0], np.cumsum(events)[:-1]))
        low, high = p95_ranks(events)
        return Groups(keys, events, cost, users, ordered[starts + low], ordered[starts + high])

    def present(self, dimension: str) -> list[str]:
        """The names of a dimension that occur."""
        return self.names[dimension].to_pylist()

    def compare(self, path: Path, dimensions: list[str]) -> dict:
        """Errors of an exported file, over all keys."""
        texts = {d: pa.string() for d in dimensions}
        options = pa.csv.ConvertOptions(column_types=texts)
        table = pa.csv.read_csv(path, convert_options=options)
        right = self.groups(dimensions)
        codes = []
        for dimension in dimensions:
            column = table[dimension].combine_chunks()
            known = pc.index_in(column, value_set=self.names[dimension]).fill_null(-1)
            codes.append(known.to_numpy().astype(np.int64))
        unknown = np.any([c < 0 for c in codes], axis=0)
        key = self._combined(codes, dimensions)
        place = np.minimum(np.searchsorted(right.keys, key), len(right.keys) - 1)
        found = ~unknown & (right.keys[place] == key)
        if not found.all() or len(np.unique(key)) != len(right.keys):
            return {"keys": len(right.keys), "mistakes": f"{table.num_rows} rows, other keys"}
        return self._errors(table, right, place)

    def _errors(self, table: pa.Table, right: Groups, place: np.ndarray) -> dict:
        def column(name: str) -> np.ndarray | None:
            present = name in table.column_names
            return table[name].cast(pa.float64()).to_numpy() if present else None

        mistakes = 0
        events, cost = column("events"), column("cost")
        if events is not None and cost is not None:
            wrong_cost = np.abs(cost * 1e6 - right.cost_micros[place]) > 0.5
            mistakes = int(np.sum((events != right.events[place]) | wrong_cost))
        result = {"keys": len(right.keys), "mistakes": mistakes}
        users = column("users")
        if users is not None:
            exact = right.users[place]
            result["users"] = spread(np.abs(users - exact) / exact)
        p95 = column("latency_p95")
        if p95 is not None:
            result["p95"] = spread(outside(p95, right.p95_low[place], right.p95_high[place]))
        return result

    def _combined(self, codes: list[np.ndarray], dimensions: list[str]) -> np.ndarray:
        """One number per row for all dimensions together."""
        key = np.zeros(len(codes[0]), dtype=np.int64)
        for code, dimension in zip(codes, dimensions, strict=True):
            key = key * len(self.names[dimension]) + code
        return key


def p95_ranks(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ranks on both sides of 0.95 (n - 1), from 0.

    Libraries define a quantile as the value below, above, or between; each is right here. The
    product in floats may fall short of a whole number, which is right as well.
    """
    hundredths = 95 * (counts - 1)
    low = np.minimum(hundredths // 100, np.floor(0.95 * (counts - 1)).astype(np.int64))
    return low, -(-hundredths // 100)


def outside(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """How far values lie outside of their bounds, as a part of the nearer bound."""
    below = np.maximum(low - values, 0) / low
    above = np.maximum(values - high, 0) / high
    return np.maximum(below, above)


def spread(errors: np.ndarray) -> dict:
    """Mean, 99th percentile and greatest."""
    return {
        "mean": float(np.mean(errors)),
        "p99": float(np.quantile(errors, 0.99)),
        "max": float(np.max(errors)),
    }
