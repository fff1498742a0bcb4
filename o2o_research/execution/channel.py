"""Messages of any size over a Unix socket that keeps packets whole."""

from __future__ import annotations

import itertools
import os
import socket
import struct
from collections.abc import Iterator

# A packet: who sends, and whether the message ends with it. Packets of several senders (a cell
# may fork) may mingle; those of one stay in order.
_HEAD = struct.Struct("!I?")
_CHUNK = 1 << 16


def send(connection: socket.socket, parts: list[bytes]) -> None:
    """One message of several parts, in packets a Unix socket takes whole."""
    sizes = struct.pack(f"!I{len(parts)}I", len(parts), *map(len, parts))
    body = memoryview(sizes + b"".join(parts))
    for start in range(0, len(body), _CHUNK):
        last = start + _CHUNK >= len(body)
        connection.send(_HEAD.pack(os.getpid(), last) + body[start : start + _CHUNK])


class Inbox:
    """Messages put together again from packets."""

    def __init__(self) -> None:
        self._open: dict[int, bytearray] = {}

    def take(self, packet: bytes) -> list[bytes] | None:
        """The message that this packet completes, if it does."""
        sender, last = _HEAD.unpack_from(packet)
        body = self._open.setdefault(sender, bytearray())
        body += memoryview(packet)[_HEAD.size :]
        if not last:
            return None
        del self._open[sender]
        (count,) = struct.unpack_from("!I", body)
        sizes = struct.unpack_from(f"!{count}I", body, 4)
        ends = list(itertools.accumulate(sizes, initial=4 + 4 * count))
        return [bytes(body[start:end]) for start, end in itertools.pairwise(ends)]


def receive(connection: socket.socket) -> Iterator[list[bytes]]:
    """Messages as they arrive, until the other end is closed."""
    inbox = Inbox()
    while packet := connection.recv(_CHUNK + _HEAD.size):
        if (message := inbox.take(packet)) is not None:
            yield message
