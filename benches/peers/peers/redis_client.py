"""The events as Redis commands, made ahead and pipelined over a socket.

Making and sending costs the client, not the server, which alone is measured; so this only has
to be fast enough to keep the server busy.
"""

import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from . import workload
from .exact import Exact

EVENTS_IN_A_BATCH = 100
BATCHES_UNDER_WAY = 8


def argument(value: bytes | str) -> bytes:
    """One argument in Redis' protocol."""
    value = value.encode() if isinstance(value, str) else value
    return b"$%d\r\n%s\r\n" % (len(value), value)


def command(*arguments: bytes | str, more: int = 0) -> bytes:
    """A command, or the start of one that `more` arguments follow."""
    return b"*%d\r\n%s" % (len(arguments) + more, b"".join(map(argument, arguments)))


def key_names(place: int, day: str, values: tuple[str, ...]) -> tuple[str, str]:
    """The hash and the HyperLogLog of a key of a summary. Short, since Redis keeps every name."""
    end = f":{day}:{':'.join(values)}"
    return f"{place}{end}", f"{place}u{end}"


class Commands:
    """All events as bytes to send, a batch at a time."""

    def __init__(self, table: pa.Table, day: str, cost_as: str) -> None:
        exact = Exact(table)
        self.cost_as = cost_as
        self.places: list[list[int]] = []
        self.before_cost: list[list[bytes]] = []
        self.before_user: list[list[bytes]] = []
        for number, dimensions in enumerate(workload.summaries().values()):
            codes = np.stack([exact.codes[d] for d in dimensions])
            keys, places = np.unique(codes, axis=1, return_inverse=True)
            names = [exact.names[d].to_pylist() for d in dimensions]
            columns = (
                [name[code] for code in row] for name, row in zip(names, keys.tolist(), strict=True)
            )
            pairs = [key_names(number, day, values) for values in zip(*columns, strict=True)]
            self.places.append(places.ravel().tolist())
            self.before_cost.append([self._before_cost(hash_key) for hash_key, _ in pairs])
            self.before_user.append([command("PFADD", key, more=1) for _, key in pairs])
        users = [argument(user) for user in exact.names["user"].to_pylist()]
        self.users = [users[code] for code in exact.codes["user"].tolist()]
        micros = exact.cost_micros.tolist()
        as_text = str if cost_as == "millionths" else lambda number: f"{number / 1e6:.6f}"
        self.costs = [argument(as_text(number)) for number in micros]
        # A float is answered with two lines, its length and itself.
        self.lines_per_event = 12 * (3 if cost_as == "millionths" else 4)

    def _before_cost(self, key: str) -> bytes:
        add = "HINCRBY" if self.cost_as == "millionths" else "HINCRBYFLOAT"
        return command("HINCRBY", key, "n", "1") + command(add, key, "c", more=1)

    def batches(self) -> Iterator[tuple[bytes, int]]:
        """Bytes to send, and lines of replies to wait for."""
        for start in range(0, len(self.users), EVENTS_IN_A_BATCH):
            end = min(start + EVENTS_IN_A_BATCH, len(self.users))
            yield self._commands(start, end), (end - start) * self.lines_per_event

    def _commands(self, start: int, end: int) -> bytes:
        parts: list[bytes] = []
        for places, cost_of, user_of in zip(
            self.places, self.before_cost, self.before_user, strict=True
        ):
            piece = [b""] * (4 * (end - start))
            rows = places[start:end]
            piece[0::4] = [cost_of[row] for row in rows]
            piece[1::4] = self.costs[start:end]
            piece[2::4] = [user_of[row] for row in rows]
            piece[3::4] = self.users[start:end]
            parts += piece
        return b"".join(parts)


def feed(path: Path, commands: Commands) -> None:
    """Sends all, with some batches under way, and reads every reply."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(path))
        waiting, sent = 0, []
        for bytes_to_send, lines in commands.batches():
            connection.sendall(bytes_to_send)
            sent.append(lines)
            waiting += lines
            while len(sent) > BATCHES_UNDER_WAY:
                waiting = read_lines(connection, waiting, waiting - sent.pop(0))
        read_lines(connection, waiting, 0)


def read_lines(connection: socket.socket, waiting: int, until: int) -> int:
    """Reads replies until so many lines are left, and returns how many are."""
    while waiting > until:
        replies = connection.recv(1 << 18)
        if not replies or replies.startswith(b"-") or b"\n-" in replies:
            raise RuntimeError(f"Redis answered {replies[:200]!r}")
        waiting -= replies.count(b"\n")
    return waiting
