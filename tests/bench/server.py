"""The API the benchmarks ask: real HTTP on loopback, in a process of its own.

`python -m tests.bench.server LATENCY [RATE BURST]` prints its port. Every GET is answered after
LATENCY seconds; `POST .../$batch` likewise, once for all its parts. With RATE and BURST a token
bucket refuses what exceeds it, within 16 ms, with a `Retry-After` in whole seconds; a refused call
costs half a token, because Graph keeps counting the calls of a client that it throttles.
"""

import asyncio
import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_PAGE = {"value": [{"id": f"record-{number}", "score": number} for number in range(40)]}
_REFUSAL_SECONDS = 0.016
_PENALTY = 0.5


@dataclass(slots=True)
class Bucket:
    """A token bucket; `take` returns 0 when served, else the whole seconds to wait."""

    rate: float
    burst: float
    tokens: float
    filled: float

    def take(self, now: float) -> int:
        self.tokens = min(self.burst, self.tokens + (now - self.filled) * self.rate)
        self.filled = now
        if self.tokens >= 1.0:
            self.tokens -= 1.0
            return 0
        self.tokens -= _PENALTY
        return max(1, math.ceil((1.0 - self.tokens) / self.rate))


class Server:
    """Answers GETs and batches, slowly or under a limit."""

    def __init__(self, latency: float, bucket: Bucket | None) -> None:
        self.latency = latency
        self.bucket = bucket

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until the client closes it."""
        while head := await _head(reader):
            body = await reader.readexactly(_length(head))
            wait = self.bucket.take(time.monotonic()) if self.bucket else 0
            await asyncio.sleep(_REFUSAL_SECONDS if wait else self.latency)
            writer.write(_refusal(wait) if wait else _answer(body))
            await writer.drain()
        writer.close()


async def _head(reader: asyncio.StreamReader) -> str:
    try:
        return (await reader.readuntil(b"\r\n\r\n")).decode("ascii").lower()
    except (asyncio.IncompleteReadError, ConnectionResetError):
        return ""


def _length(head: str) -> int:
    _, found, rest = head.partition("content-length:")
    return int(rest.partition("\r\n")[0]) if found else 0


def _answer(body: bytes) -> bytes:
    if not body:
        return _message("200 OK", "", json.dumps(_PAGE).encode())
    parts = [
        {"id": part["id"], "status": 200, "headers": {}, "body": _PAGE}
        for part in json.loads(body)["requests"]
    ]
    return _message("200 OK", "", json.dumps({"responses": parts}).encode())


def _refusal(wait: int) -> bytes:
    document = b'{"error":{"code":"TooManyRequests","message":"Please retry again later."}}'
    return _message("429 Too Many Requests", f"retry-after: {wait}\r\n", document)


def _message(status: str, headers: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{headers}"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def serve(latency: float, bucket: Bucket | None) -> None:
    """Serve on a free port of loopback until killed; print the port first."""
    server = await asyncio.start_server(Server(latency, bucket).talk, "127.0.0.1", 0, backlog=256)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def running(*numbers: float) -> Iterator[str]:
    """Run the server in another process; yields its root URL."""
    command = [sys.executable, "-m", "tests.bench.server", *map(str, numbers)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1.0"
        finally:
            process.kill()


def main(latency: str, rate: str = "", burst: str = "") -> None:
    """Run from the command line."""
    bucket = Bucket(float(rate), float(burst), float(burst), time.monotonic()) if rate else None
    asyncio.run(serve(float(latency), bucket))


if __name__ == "__main__":
    main(*sys.argv[1:])
