"""Both ends the RPC tests need: impacket's client over a pipe in memory, and packets made by hand."""

from typing import Any

from impacket.dcerpc.v5 import rpcrt, srvs, wkst
from impacket.uuid import uuidtup_to_bin

from server.rpc import packets
from server.rpc.context import IPC, SPECIAL, Context, Share
from server.rpc.pipe import Pipe, open_pipe

SHARES = (
    Share("public", comment="for all of us", path="C:\\public", users=2, flags=0x0830),
    Share("Größe", comment="", path="C:\\g", max_users=5),
    Share("IPC$", IPC | SPECIAL, "pipes"),
)
CONTEXT = Context(SHARES, "FILER", "LAB", "a filer", (10, 0), "alice", 3, now=lambda: 1_700_000_000.25)
NDR = uuidtup_to_bin(("8a885d04-1ceb-11c9-9fe8-08002b104860", "2.0"))
NDR64 = uuidtup_to_bin(("71710533-beba-4937-8319-b5dbef9ccc36", "1.0"))
FEATURES = uuidtup_to_bin(("6cb71c2c-9812-4540-0300-000000000000", "1.0"))
INTERFACES = {"srvsvc": srvs.MSRPC_UUID_SRVS, "wkssvc": wkst.MSRPC_UUID_WKST}


class Wire:
    """An impacket transport whose far end is a pipe in memory. Reads are small, so messages come in pieces."""

    def __init__(self, pipe: Pipe, piece: int = 1024) -> None:
        self.pipe = pipe
        self.piece = piece
        self.fragments = 0

    def connect(self) -> None: ...

    def disconnect(self) -> None: ...

    def get_credentials(self) -> tuple[str, ...]:
        return ("",) * 6

    def send(self, data: bytes, forceWriteAndx: int = 0, forceRecv: int = 0) -> None:
        for start in range(0, len(data), 100):
            self.pipe.write(data[start : start + 100])

    def recv(self, forceRecv: int = 0, count: int = 0) -> bytes:
        message = b""
        more = True
        while more:
            piece, more = self.pipe.read(self.piece)
            message += piece
        self.fragments += 1
        return message

    def get_socket(self) -> None: ...


def client(service: str = "srvsvc", context: Context = CONTEXT) -> tuple[Any, Wire]:
    wire = Wire(open_pipe(service, context))
    dce = rpcrt.DCERPC_v5(wire)
    dce.connect()
    dce.bind(INTERFACES[service])
    return dce, wire


def named(value: str) -> str:
    return value + "\0"


SRVSVC_SYNTAX = srvs.MSRPC_UUID_SRVS


def bind_packet(
    *proposals: tuple[int, bytes, list[bytes]], kind: int = packets.BIND, most: int = 4280, call: int = 1
) -> bytes:
    body = b"".join((most.to_bytes(2, "little") * 2, bytes(4), bytes((len(proposals), 0, 0, 0))))
    for context, interface, transfers in proposals:
        body += context.to_bytes(2, "little") + bytes((len(transfers), 0)) + interface + b"".join(transfers)
    return packets.framed(kind, call, body)


def bound(most: int = 4280, context: Context = CONTEXT) -> Pipe:
    pipe = open_pipe("srvsvc", context)
    pipe.transceive(bind_packet((0, SRVSVC_SYNTAX, [NDR]), most=most), 4096)
    return pipe


def request_packet(
    stub: bytes, operation: int = 21, call: int = 7, context: int = 0, flags: int = 3, extra: bytes = b""
) -> bytes:
    head = len(stub).to_bytes(4, "little") + context.to_bytes(2, "little") + operation.to_bytes(2, "little")
    return packets.framed(packets.REQUEST, call, head + extra + stub, flags)


def server_info_stub(level: int = 100) -> bytes:
    request = srvs.NetrServerGetInfo()
    request["ServerName"] = "\\\\FILER\0"
    request["Level"] = level
    return bytes(request.getData())


def fault_of(packet: bytes) -> int:
    assert packet[2] == packets.FAULT
    return int.from_bytes(packet[24:28], "little")


def results_of(packet: bytes) -> list[tuple[int, int]]:
    ack = rpcrt.MSRPCBindAck(packet)
    return [(item["Result"], item["Reason"]) for item in ack.getCtxItems()]
