"""The control socket: what a person at the server's own machine may ask of it and have it do.

A Unix socket that only the server's account and root can reach: mode 0600 from the moment it exists, and the
kernel's word on who connects (SO_PEERCRED). It is a convenience: a server that cannot have it says so once and
serves on. Everything runs in the server's event loop; long answers give way to clients between rows.
"""

import asyncio
import contextlib
import errno
import json
import logging
import os
import socket
import stat
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smbdirect.wire import Malformed

from ..config import ConfigError
from ..status import NT, Status
from . import levels, report
from .protocol import MAX_REQUEST, Request, parse

if TYPE_CHECKING:
    from ..server import Server

log = logging.getLogger("smbdirect.control")

PATIENCE = 5.0
"""Seconds a client has to send its request, and to take the answer."""
LAST_WORDS = 1.0
"""Seconds that clients have left when the server ends."""
BATCH = 64
"""Rows put together before others have their turn."""
_UCRED = struct.Struct("3i")

Reload = Callable[[], Awaitable[None]]
"""Takes the configuration over again; raises ConfigError where it changes nothing."""


@asynccontextmanager
async def serve_control(
    server: "Server", path: Path, reload: Reload, stop: Callable[[], object]
) -> AsyncIterator[None]:
    """Answer on the Unix socket `path` for as long as the context lasts. Where that cannot be, the log says why."""
    control = Control(server, path, reload, stop)
    try:
        await control.start()
    except OSError as error:
        log.warning("no control socket, so smbdirect-ctl will not find this server: %s", error)
    try:
        yield
    finally:
        await control.close()


class Control:
    """The socket at `path`, from `start` to `close`; `stop` begins the server's end."""

    def __init__(
        self,
        server: "Server",
        path: Path,
        reload: Reload,
        stop: Callable[[], object],
        patience: float = PATIENCE,
        last_words: float = LAST_WORDS,
    ) -> None:
        self.path = path
        self._server = server
        self._reload = reload
        self._stop = stop
        self._patience = patience
        self._last_words = last_words
        self._listener: asyncio.Server | None = None
        self._inode = (0, 0)
        self._clients: set[asyncio.Task[Any]] = set()
        self._stopped = asyncio.Event()

    async def start(self) -> None:
        """Listen. Raises OSError where the directory or the socket cannot be made, or another server has it."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        sock = _bind(self.path)
        found = self.path.lstat()
        self._inode = (found.st_dev, found.st_ino)
        self._listener = await asyncio.start_unix_server(self._client, sock=sock, limit=MAX_REQUEST)

    async def close(self) -> None:
        """Answer those that wait for the server's end, take no more, and remove the socket; safe to call twice."""
        if self._listener is None:
            return
        self._listener.close()
        self._listener = None
        with contextlib.suppress(FileNotFoundError):
            found = self.path.lstat()
            if (found.st_dev, found.st_ino) == self._inode:
                self.path.unlink()
        self._stopped.set()
        if self._clients:
            _, late = await asyncio.wait(self._clients, timeout=self._last_words)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    # -- one client -----------------------------------------------------------------------------------------
    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        writer.transport.set_write_buffer_limits(0)  # drained means that the kernel has all of it
        try:
            line = await self._answer(reader, writer)
            async with asyncio.timeout(self._patience):
                writer.write(line)
                await writer.drain()
        except (OSError, TimeoutError) as error:
            log.debug("a control client left: %s", error)
        finally:
            self._clients.discard(task)
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        """The line that answers the one request of this client; our own bugs end here."""
        try:
            _check_peer(writer.get_extra_info("socket"))
            return await self._carry_out(parse(await self._line(reader)))
        except ConnectionError:
            raise
        except (Malformed, Status, ConfigError, OSError) as error:
            return json.dumps({"error": str(error)}).encode() + b"\n"
        except Exception:
            log.exception("a control request failed")
            return b'{"error": "internal error; see the log of the server"}\n'

    async def _line(self, reader: asyncio.StreamReader) -> bytes:
        try:
            async with asyncio.timeout(self._patience):
                return await reader.readuntil()
        except TimeoutError:
            raise Malformed(f"no request within {self._patience:g} s") from None
        except asyncio.LimitOverrunError:
            raise Malformed(f"a request of more than {MAX_REQUEST} bytes") from None
        except asyncio.IncompleteReadError:
            raise Malformed("the request has no end of line") from None

    async def _carry_out(self, request: Request) -> bytes:
        if request.arguments and request.command != "debug":
            raise Malformed(f"{request.command} takes no arguments")
        if request.command in LISTS:
            return b'{"answer": [' + await _rows(LISTS[request.command](self._server)) + b"]}\n"
        if request.command not in ACTIONS:
            raise Malformed(f"no command {request.command!r}; there are {', '.join(sorted((*ACTIONS, *LISTS)))}")
        answer = await ACTIONS[request.command](self, request)
        return json.dumps({"answer": answer}).encode() + b"\n"

    # -- commands -------------------------------------------------------------------------------------------
    async def status(self, _: Request) -> object:
        return report.status(self._server)

    async def reload(self, _: Request) -> object:
        """What SIGHUP does; the number of shares there are now."""
        await self._reload()
        return {"shares": len(self._server.config.shares)}

    async def stop(self, _: Request) -> object:
        """What SIGTERM does; answered when all connections are closed."""
        self._stop()
        await self._stopped.wait()
        return "stopped"

    async def debug(self, request: Request) -> object:
        return levels.switch(request.arguments)


ACTIONS: dict[str, Callable[[Control, Request], Awaitable[object]]] = {
    "status": Control.status,
    "reload": Control.reload,
    "stop": Control.stop,
    "debug": Control.debug,
}
LISTS: dict[str, Callable[["Server"], Iterable[report.Row]]] = {
    "sessions": report.sessions,
    "opens": report.opens,
    "interfaces": report.interfaces,
}


async def _rows(rows: Iterable[report.Row]) -> bytes:
    """The rows as JSON with commas between; others have their turn after every `BATCH`."""
    lines = []
    for row in rows:
        lines.append(json.dumps(row))
        if len(lines) % BATCH == 0:
            await asyncio.sleep(0)
    return ",".join(lines).encode()


# -- the socket ----------------------------------------------------------------------------------------------------
def _bind(path: Path) -> socket.socket:
    """A socket bound to `path`, which a server that is gone may have left behind. Raises OSError."""
    if os.path.lexists(path):
        _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX)
    try:
        os.fchmod(sock.fileno(), 0o600)  # before it has a name: nobody else can ever connect
        sock.bind(str(path))
    except OSError as error:
        sock.close()
        raise OSError(error.errno or 0, f"{path}: {error.strerror or error}") from None
    return sock


def _remove_stale(path: Path) -> None:
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise FileExistsError(errno.EEXIST, f"{path} is there and no socket")
    with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(BlockingIOError):  # its line is full
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise OSError(errno.EADDRINUSE, f"another server runs with the state directory {path.parent}")


def _check_peer(sock: socket.socket) -> None:
    """Raises Status unless the kernel says that root or the server's own account asks."""
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    _, uid, _ = _UCRED.unpack(credentials)
    if uid not in (0, os.geteuid()):
        log.warning("control request of uid %d refused", uid)
        raise Status(NT.ACCESS_DENIED, "only root and the server's own account may ask")
