"""`smbdirect-serve`: from the command line to a running server, and down again on SIGTERM."""

import asyncio
import logging
import resource
import signal
import socket
import sys
from collections.abc import Sequence

from transport import rdma, tcp
from transport.base import Listener, Lost
from transport.memory import Arena

from . import local_leases
from .config import Config, ConfigError, from_arguments
from .config import Share as ShareConfig
from .control.protocol import socket_path
from .control.service import serve_control
from .interfaces import ANY, Interfaces
from .security.auth import Acceptor
from .security.ntlm import Names, Ntlm
from .security.users import Users
from .server import Server
from .shares import STORE_SETTINGS, Shares
from .store.options import Options
from .store.posix import PosixStore
from .store.threads import IdentityThreads

log = logging.getLogger("smbdirect")

MESSAGES = 256 << 20
"""Bytes for large messages that arrive: apart from those for payload, or a request that holds its message could wait
for memory that others like it hold."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the server. The exit status is 0 after SIGTERM, 2 for a configuration that is refused, 1 where it could
    not listen."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    arguments = sys.argv[1:] if argv is None else argv
    try:
        config = from_arguments(arguments)
        users = Users.load(config.users_file)
    except (ConfigError, OSError, ValueError) as error:
        print(f"smbdirect-serve: {error}", file=sys.stderr)
        return 2
    try:
        return asyncio.run(_serve(config, users, arguments))
    except (ConfigError, Lost) as error:
        print(f"smbdirect-serve: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1


async def _serve(config: Config, users: Users, arguments: Sequence[str]) -> int:
    """Listen, serve until SIGTERM or SIGINT, reload on SIGHUP."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    threads = IdentityThreads()
    arena, messages = Arena(), Arena(MESSAGES)
    shares = Shares(lambda share: PosixStore(str(share.path), _options(share, threads)))
    await shares.load(config)
    server = Server(config, shares, _acceptor(config, users), arena, Interfaces(config.listen, rdma=False))
    server.opens.most = min(server.opens.most, _descriptors() // 2)
    await server.open_state(config)
    fabric = _listen_rdma(config, arena, messages)
    listeners = [*fabric, _listen_tcp(config, messages)]
    log.info("what keeps local processes from files that clients cache: %s", local_leases.kind())
    if fabric:
        server.interfaces = Interfaces(config.listen)
    loop.add_signal_handler(signal.SIGHUP, lambda: server.keep(_reload_quietly(server, users, arguments)))
    server.keep(server.interfaces.follow())
    for listener in listeners:
        server.keep(server.listen(listener))
    control = socket_path(config.state_directory)
    async with serve_control(server, control, lambda: _reload(server, users, arguments), stopped.set):
        await stopped.wait()
        log.info("stopping: %d connections finish what is in flight", len(server.connections))
        await server.stop(listeners)
        await shares.close()
        threads.close()
    return 0


def _descriptors() -> int:
    """How many descriptors this process may have, the limit raised as far as it goes."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def _options(share: ShareConfig, threads: IdentityThreads) -> Options:
    return Options(threads, **{name: getattr(share, name) for name in STORE_SETTINGS})


def _acceptor(config: Config, users: Users) -> Acceptor:
    """Logins by NTLMv2; Kerberos will be another mechanism beside it."""
    names = Names(config.name, config.workgroup, socket.gethostname().lower())
    return Acceptor([Ntlm(users, names, unknown_is_guest=config.map_to_guest == "bad user")])


def _listen_tcp(config: Config, messages: Arena) -> Listener:
    """Raises Lost where no address can be had."""
    addresses = [(address, config.port) for address in config.listen or ANY]
    listener = tcp.listen(addresses, messages, tcp.tcp_limits(config.io_size), log.warning)
    for address, port in listener.addresses:
        log.info("listening on %s port %d", address, port)
    return listener


def _listen_rdma(config: Config, arena: Arena, messages: Arena) -> list[Listener]:
    """SMB Direct where it can be had; raises Lost where it cannot and was demanded."""
    if config.rdma == "off":
        return []
    missing = rdma.probe()
    if missing is None:
        try:
            settings = rdma.settings(config.io_size)
            listener = rdma.listen(arena, settings, config.listen or ANY, refused=log.warning, messages=messages)
            log.info("SMB Direct: port 445 for InfiniBand and RoCE, 5445 for iWARP")
            return [listener]
        except Lost as error:
            missing = str(error)
    if config.rdma == "require":
        raise Lost(f"RDMA is required and cannot be had: {missing}")
    log.info("serving TCP alone: %s", missing)
    return []


async def _reload(server: Server, users: Users, arguments: Sequence[str]) -> None:
    """Take over changed shares and users. Raises ConfigError where it changes nothing."""
    try:
        config = await asyncio.to_thread(from_arguments, arguments)  # it asks for accounts
        users.reload()
    except (OSError, ValueError) as error:
        raise ConfigError(str(error)) from error
    await server.open_state(config)
    server.config = config
    server.identities.refresh(config.guest_account, config.admin_users)
    await server.load_shares(config)
    log.info("reloaded: %d shares", len(config.shares))


async def _reload_quietly(server: Server, users: Users, arguments: Sequence[str]) -> None:
    """Reload where nobody waits for the outcome (SIGHUP)."""
    try:
        await _reload(server, users, arguments)
    except ConfigError as error:
        log.error("not reloaded: %s", error)
