"""Connections of rdma_cm as objects, and their event channel as something asyncio can wait for.

An `EventChannel` is nonblocking and read by the loop; each event is copied out and acknowledged at once (destroying
an id blocks until all its events are acknowledged) and then handed to its `Identifier`. Before anything listens for
them, events wait in the identifier's queue. One thread does all of this, and that thread never changes its
credentials: the kernel compares them with those the channel was opened with.
"""

import asyncio
import ctypes as C
import errno
import logging
import os
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from . import cm_abi as abi

log = logging.getLogger(__name__)

BACKLOG = 128
RETRIES = 6
RESOLVE_MILLISECONDS = 5000


class Event(NamedTuple):
    """What happened to one connection. On a request the depths are already seen from our side."""

    kind: int
    status: int = 0
    private_data: bytes = b""
    responder_resources: int = 0
    """READs that the peer may have under way against us."""
    initiator_depth: int = 0
    """READs that we may have under way against the peer."""

    def __str__(self) -> str:
        name = abi.EVENT_NAMES.get(self.kind, f"event {self.kind}")
        return f"{name}, status {self.status}" if self.status else name


class Identifier:
    """One rdma_cm_id: a listener, or one end of a connection."""

    def __init__(self, channel: "EventChannel", pointer: Any) -> None:
        self._channel = channel
        self._pointer = pointer
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.on_event: Callable[[Event], None] = self.events.put_nowait
        self.on_request: Callable[[Identifier, Event], None] | None = None

    @property
    def device_name(self) -> str | None:
        """The verbs device this connection runs over; None for a wildcard or loopback address."""
        verbs = self._pointer.contents.verbs
        if not verbs:
            return None
        name: bytes = abi.verbs_library().ibv_get_device_name(C.cast(verbs, C.POINTER(C.c_void_p))[0])
        return name.decode()

    @property
    def port_num(self) -> int:
        """The device's port, from 1."""
        return int(self._pointer.contents.port_num)

    @property
    def local(self) -> tuple[str, int]:
        """Our address and port."""
        return unpack_address(bytes(self._pointer.contents.route.address.source))

    @property
    def peer(self) -> tuple[str, int]:
        """The peer's address and port."""
        return unpack_address(bytes(self._pointer.contents.route.address.destination))

    def bind(self, host: str, port: int) -> None:
        """Take a local address; an IPv6 one leaves IPv4 alone. Raises OSError."""
        if ":" in host:
            one = C.c_int(1)
            abi.call(
                "rdma_set_option", self._pointer, abi.OPTION_LEVEL_ID, abi.OPTION_AFONLY, C.byref(one), C.sizeof(one)
            )
        abi.call("rdma_bind_addr", self._pointer, pack_address(host, port))

    def listen(self, on_request: "Callable[[Identifier, Event], None]") -> None:
        """Have `on_request` called with each new connection's identifier and request. Raises OSError."""
        self.on_request = on_request
        abi.call("rdma_listen", self._pointer, BACKLOG)

    def resolve_address(self, host: str, port: int) -> None:
        """Begin to find the device towards a peer; ADDR_RESOLVED or ADDR_ERROR follows. Raises OSError."""
        abi.call("rdma_resolve_addr", self._pointer, None, pack_address(host, port), RESOLVE_MILLISECONDS)

    def resolve_route(self) -> None:
        """Begin to find the route; ROUTE_RESOLVED or ROUTE_ERROR follows. Raises OSError."""
        abi.call("rdma_resolve_route", self._pointer, RESOLVE_MILLISECONDS)

    def qp_attributes(self, state: int) -> tuple[abi.QpAttr, int]:
        """What a queue pair of this connection needs to enter `state`, and the mask of what is set. Raises OSError."""
        attributes, mask = abi.QpAttr(qp_state=state), C.c_int()
        abi.call("rdma_init_qp_attr", self._pointer, attributes, mask)
        return attributes, mask.value

    def accept(self, qp_num: int, responder_resources: int, initiator_depth: int, private_data: bytes = b"") -> None:
        """Answer a request for a connection; ESTABLISHED follows. Raises OSError."""
        self._conclude("rdma_accept", qp_num, responder_resources, initiator_depth, private_data)

    def connect(self, qp_num: int, responder_resources: int, initiator_depth: int, private_data: bytes = b"") -> None:
        """Ask for a connection; CONNECT_RESPONSE, ESTABLISHED or a refusal follows. Raises OSError."""
        self._conclude("rdma_connect", qp_num, responder_resources, initiator_depth, private_data)

    def _conclude(self, name: str, qp_num: int, responder: int, initiator: int, private_data: bytes) -> None:
        data = C.create_string_buffer(private_data, max(1, len(private_data)))
        # rnr_retry 0: what the peer shall do when a receive is missing here, which only happens where it broke SMB
        # Direct's credits; our own queue pair is set up otherwise.
        param = abi.ConnParam(
            private_data=C.cast(data, C.c_void_p).value,
            private_data_len=len(private_data),
            responder_resources=responder,
            initiator_depth=initiator,
            retry_count=RETRIES,
            qp_num=qp_num,
        )
        abi.call(name, self._pointer, param)

    def establish(self) -> None:
        """Confirm a CONNECT_RESPONSE. Raises OSError."""
        abi.call("rdma_establish", self._pointer)

    def reject(self) -> None:
        """Refuse a request. Raises OSError."""
        abi.call("rdma_reject", self._pointer, None, 0)

    def disconnect(self) -> None:
        """Tell the peer that the connection ends; one that has ended is no error."""
        abi.library().rdma_disconnect(self._pointer)

    def destroy(self) -> None:
        """Give the id back; safe to call twice. Its queue pair is gone by then."""
        if self._pointer is None:
            return
        pointer, self._pointer = self._pointer, None
        self._channel.forget(pointer)
        abi.library().rdma_destroy_id(pointer)


class EventChannel:
    """rdma_cm's events in the running loop, each given to its identifier."""

    def __init__(self) -> None:
        self._channel = abi.library().rdma_create_event_channel()
        if not self._channel:
            number = C.get_errno()
            raise OSError(number, f"rdma_create_event_channel: {os.strerror(number)}")
        self._identifiers: dict[int, Identifier] = {}
        self._loop = asyncio.get_running_loop()
        self._fd: int = self._channel.contents.fd
        os.set_blocking(self._fd, False)
        self._loop.add_reader(self._fd, self._drain)

    def identifier(self) -> Identifier:
        """A new id, neither bound nor connected. Raises OSError."""
        pointer = C.POINTER(abi.Id)()
        abi.call("rdma_create_id", self._channel, pointer, None, abi.PORT_SPACE_TCP)
        return self._adopt(pointer)

    def forget(self, pointer: Any) -> None:
        """No more events for this id."""
        self._identifiers.pop(C.addressof(pointer.contents), None)

    def close(self) -> None:
        """Give everything back, connections included; safe to call twice."""
        if self._channel is None:
            return
        self._loop.remove_reader(self._fd)
        for identifier in list(self._identifiers.values()):
            identifier.destroy()
        abi.library().rdma_destroy_event_channel(self._channel)
        self._channel = None

    def _adopt(self, pointer: Any) -> Identifier:
        identifier = Identifier(self, pointer)
        self._identifiers[C.addressof(pointer.contents)] = identifier
        return identifier

    def _drain(self) -> None:
        while self._channel is not None:
            pointer = C.POINTER(abi.CmEvent)()
            if abi.library().rdma_get_cm_event(self._channel, pointer):
                if C.get_errno() not in (errno.EAGAIN, errno.EINTR):
                    log.error("rdma_cm's event channel failed: %s", os.strerror(C.get_errno()))
                    self._loop.remove_reader(self._fd)
                return
            source, listener, event = _copy(pointer.contents)
            abi.library().rdma_ack_cm_event(pointer)
            self._deliver(source, listener, event)

    def _deliver(self, source: int, listener: int | None, event: Event) -> None:
        if event.kind == abi.CONNECT_REQUEST:
            child = self._adopt(C.cast(source, C.POINTER(abi.Id)))
            parent = self._identifiers.get(listener or 0)
            if parent is None or parent.on_request is None:
                child.destroy()
            else:
                parent.on_request(child, event)
        elif source in self._identifiers:
            self._identifiers[source].on_event(event)


def _copy(event: Any) -> tuple[int, int | None, Event]:
    """An event's id, listening id and contents, all of which outlive its acknowledgement."""
    param = event.param.conn
    data = C.string_at(param.private_data, param.private_data_len) if param.private_data else b""
    kept = Event(event.event, event.status, data, param.responder_resources, param.initiator_depth)
    return event.id, event.listen_id, kept


def pack_address(host: str, port: int) -> Any:
    """A numeric address as a sockaddr in a buffer of sockaddr_storage's size; raises OSError for any other."""
    family, _, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    )[0]
    packed = struct.pack("=H", family) + struct.pack("!H", port)
    if family == socket.AF_INET:
        packed += socket.inet_aton(host)
    else:
        packed += struct.pack("!I16s", 0, socket.inet_pton(family, str(address[0])))
        packed += struct.pack("=I", address[3] if len(address) > 3 else 0)
    return C.create_string_buffer(packed, 128)


def unpack_address(storage: bytes) -> tuple[str, int]:
    """The address and port in a sockaddr_storage; an empty text where it is neither IPv4 nor IPv6."""
    family = int.from_bytes(storage[:2], sys.byteorder)
    port = int.from_bytes(storage[2:4], "big")
    if family == socket.AF_INET:
        return socket.inet_ntop(family, storage[4:8]), port
    if family == socket.AF_INET6:
        return socket.inet_ntop(family, storage[8:24]), port
    return "", port
