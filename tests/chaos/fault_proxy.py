"""A TCP proxy that misbehaves on demand, in front of a real Postgres or Valkey.

Modes change while connections live. It runs in a thread of its own; every
method returns when the change is made.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from enum import Enum, auto
from typing import Any, Self
from urllib.parse import urlsplit

_CHUNK = 65_536
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Way(Enum):
    """A direction: UP to the server, DOWN to the client."""

    UP = auto()
    DOWN = auto()


class _Mode(Enum):
    PASS = auto()
    BLACK_HOLE = auto()
    RESET = auto()
    HALF_CLOSE = auto()


class _Connection:
    """One client and, unless it came into a black hole, its own link to the server."""

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self.sides: dict[Way, asyncio.StreamWriter] = {Way.DOWN: client}
        self.has_a_hole = False
        self.ended: set[Way] = set()

    def end(self, way: Way) -> None:
        """Sends FIN that way; what still comes for it is swallowed."""
        if way in self.sides and way not in self.ended:
            self.ended.add(way)
            with suppress(OSError):
                self.sides[way].write_eof()

    def reset(self) -> None:
        """RST to both sides."""
        for writer in self.sides.values():
            link = writer.get_extra_info("socket")
            with suppress(OSError):
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            writer.transport.abort()

    def close(self) -> None:
        for writer in self.sides.values():
            writer.close()


class FaultProxy:
    """`with FaultProxy(url) as proxy:` and give `proxy.url` to whom it shall trouble."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server_address = (parts.hostname or "", parts.port or 0)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy")
        self._thread.start()
        self._mode = _Mode.PASS
        self._half = Way.DOWN
        self._delays_s = {Way.UP: 0.0, Way.DOWN: 0.0}
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._server = self._call(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = url.replace(f"{parts.hostname}:{parts.port}", f"127.0.0.1:{self.port}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def pass_through(self) -> None:
        """Behaves. Connections that lost bytes in a black hole are reset: what
        is left of them is no stream any more."""
        self._call(self._set(_Mode.PASS))

    def black_hole(self) -> None:
        """Connections stay open and new ones are accepted; bytes go nowhere."""
        self._call(self._set(_Mode.BLACK_HOLE))

    def reset(self) -> None:
        """RST to all that live, and to every new one."""
        self._call(self._set(_Mode.RESET))

    def cut(self) -> None:
        """RST to all that live, once; the mode stays."""
        self._call(self._cut())

    def half_close(self, way: Way) -> None:
        """One side sees the end of the stream at once, and may still send."""
        self._half = way
        self._call(self._set(_Mode.HALF_CLOSE))

    def delay(self, *, up_s: float = 0.0, down_s: float = 0.0) -> None:
        """From now on bytes arrive that much later; on top of the mode."""
        self._delays_s = {Way.UP: up_s, Way.DOWN: down_s}

    @property
    def connections(self) -> int:
        """How many live."""
        return len(self._connections)

    def close(self) -> None:
        """Ends everything; the thread too."""
        self._call(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)

    async def _set(self, mode: _Mode) -> None:
        self._mode = mode
        for connection in tuple(self._connections):
            if mode is _Mode.RESET or (mode is _Mode.PASS and connection.has_a_hole):
                connection.reset()
            elif mode is _Mode.HALF_CLOSE:
                connection.end(self._half)

    async def _cut(self) -> None:
        for connection in tuple(self._connections):
            connection.reset()

    async def _shut(self) -> None:
        self._server.close()
        await self._cut()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        connection = _Connection(writer)
        self._connections.add(connection)
        try:
            await self._carry(connection, reader)
        except (OSError, asyncio.CancelledError):
            connection.reset()
        finally:
            self._connections.discard(connection)
            connection.close()

    async def _carry(self, connection: _Connection, client: asyncio.StreamReader) -> None:
        if self._mode is _Mode.RESET:
            connection.reset()
            return
        if self._mode is _Mode.BLACK_HOLE:
            connection.has_a_hole = True
            await self._pump(connection, client, Way.UP)
            return
        server, writer = await asyncio.open_connection(*self._server_address)
        connection.sides[Way.UP] = writer
        if self._mode is _Mode.HALF_CLOSE:
            connection.end(self._half)
        ups = asyncio.ensure_future(self._pump(connection, client, Way.UP))
        downs = asyncio.ensure_future(self._pump(connection, server, Way.DOWN))
        try:
            await asyncio.gather(ups, downs)
        finally:
            for pump in (ups, downs):
                pump.cancel()
            await asyncio.gather(ups, downs, return_exceptions=True)

    async def _pump(self, connection: _Connection, source: asyncio.StreamReader, way: Way) -> None:
        """Carries one direction until its end."""
        while data := await source.read(_CHUNK):
            if self._delays_s[way]:
                await asyncio.sleep(self._delays_s[way])
            if self._mode is _Mode.BLACK_HOLE:
                connection.has_a_hole = True
            if way in connection.ended or connection.has_a_hole:
                continue
            connection.sides[way].write(data)
            await connection.sides[way].drain()
        if self._mode is _Mode.BLACK_HOLE:
            connection.has_a_hole = True  # the end went nowhere either
        if not connection.has_a_hole:
            connection.end(way)
