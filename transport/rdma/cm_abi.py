"""The librdmacm ABI in ctypes: structures, numbers and prototypes, nothing else.

pyverbs' own rdma_cm classes cannot serve: binding a wildcard address crashes, closing one accepted connection takes
the protection domain from all the others, and events name no connection. These symbols are public, versioned
(RDMACM_1.0 to 1.2) and unchanged for a decade, so a few structures replace a compiler. Sizes are for 64-bit Linux
and are held by a test. `ctypes.CDLL` releases the interpreter lock around every call.
"""

import ctypes as C
import errno
import functools
import os
from typing import Any

Pointer = C.c_void_p

PORT_SPACE_TCP = 0x106
OPTION_LEVEL_ID = 0
OPTION_AFONLY = 2

ADDR_RESOLVED = 0
ADDR_ERROR = 1
ROUTE_RESOLVED = 2
ROUTE_ERROR = 3
CONNECT_REQUEST = 4
CONNECT_RESPONSE = 5
CONNECT_ERROR = 6
UNREACHABLE = 7
REJECTED = 8
ESTABLISHED = 9
DISCONNECTED = 10
DEVICE_REMOVAL = 11
ADDR_CHANGE = 14
TIMEWAIT_EXIT = 15

FAILURES = frozenset({ADDR_ERROR, ROUTE_ERROR, CONNECT_ERROR, UNREACHABLE, REJECTED})
"""Events after which a connection does not come about. ADDR_CHANGE is none: a bond that fails over may carry on."""

EVENT_NAMES = {
    ADDR_RESOLVED: "address resolved",
    ADDR_ERROR: "address not resolved",
    ROUTE_RESOLVED: "route resolved",
    ROUTE_ERROR: "no route",
    CONNECT_REQUEST: "connection asked for",
    CONNECT_RESPONSE: "connection answered",
    CONNECT_ERROR: "connection failed",
    UNREACHABLE: "unreachable",
    REJECTED: "rejected",
    ESTABLISHED: "established",
    DISCONNECTED: "disconnected",
    DEVICE_REMOVAL: "device removed",
    ADDR_CHANGE: "address moved to another device",
    TIMEWAIT_EXIT: "time-wait over",
}


class EventChannelStruct(C.Structure):
    """struct rdma_event_channel."""

    _fields_ = [("fd", C.c_int)]


class Address(C.Structure):
    """struct rdma_addr: two socket addresses and InfiniBand's own."""

    _fields_ = [("source", C.c_ubyte * 128), ("destination", C.c_ubyte * 128), ("infiniband", C.c_uint64 * 5)]


class Route(C.Structure):
    """struct rdma_route."""

    _fields_ = [("address", Address), ("path_record", Pointer), ("paths", C.c_int)]


class Id(C.Structure):
    """struct rdma_cm_id."""

    _fields_ = [
        ("verbs", Pointer),
        ("channel", Pointer),
        ("context", Pointer),
        ("qp", Pointer),
        ("route", Route),
        ("port_space", C.c_int),
        ("port_num", C.c_uint8),
        ("event", Pointer),
        ("send_channel", Pointer),
        ("send_cq", Pointer),
        ("receive_channel", Pointer),
        ("receive_cq", Pointer),
        ("srq", Pointer),
        ("pd", Pointer),
        ("qp_type", C.c_int),
    ]


class ConnParam(C.Structure):
    """struct rdma_conn_param."""

    _fields_ = [
        ("private_data", Pointer),
        ("private_data_len", C.c_uint8),
        ("responder_resources", C.c_uint8),
        ("initiator_depth", C.c_uint8),
        ("flow_control", C.c_uint8),
        ("retry_count", C.c_uint8),
        ("rnr_retry_count", C.c_uint8),
        ("srq", C.c_uint8),
        ("qp_num", C.c_uint32),
    ]


class AhAttr(C.Structure):
    """struct ibv_ah_attr; the GID's two words give the structure its alignment."""

    _fields_ = [
        ("dgid", C.c_uint64 * 2),
        ("flow_label", C.c_uint32),
        ("sgid_index", C.c_uint8),
        ("hop_limit", C.c_uint8),
        ("traffic_class", C.c_uint8),
        ("_end_of_route", C.c_uint8),
        ("dlid", C.c_uint16),
        ("sl", C.c_uint8),
        ("src_path_bits", C.c_uint8),
        ("static_rate", C.c_uint8),
        ("is_global", C.c_uint8),
        ("port_num", C.c_uint8),
    ]


class UdParam(C.Structure):
    """struct rdma_ud_param; only its size matters here."""

    _fields_ = [
        ("private_data", Pointer),
        ("private_data_len", C.c_uint8),
        ("ah_attr", AhAttr),
        ("qp_num", C.c_uint32),
        ("qkey", C.c_uint32),
    ]


class Param(C.Union):
    """The union in struct rdma_cm_event."""

    _fields_ = [("conn", ConnParam), ("ud", UdParam)]


class CmEvent(C.Structure):
    """struct rdma_cm_event. The ids are plain addresses: they are used after the event is acknowledged."""

    _fields_ = [("id", Pointer), ("listen_id", Pointer), ("event", C.c_int), ("status", C.c_int), ("param", Param)]


class QpCap(C.Structure):
    """struct ibv_qp_cap."""

    _fields_ = [
        ("max_send_wr", C.c_uint32),
        ("max_recv_wr", C.c_uint32),
        ("max_send_sge", C.c_uint32),
        ("max_recv_sge", C.c_uint32),
        ("max_inline_data", C.c_uint32),
    ]


class QpAttr(C.Structure):
    """struct ibv_qp_attr."""

    _fields_ = [
        ("qp_state", C.c_int),
        ("cur_qp_state", C.c_int),
        ("path_mtu", C.c_int),
        ("path_mig_state", C.c_int),
        ("qkey", C.c_uint32),
        ("rq_psn", C.c_uint32),
        ("sq_psn", C.c_uint32),
        ("dest_qp_num", C.c_uint32),
        ("qp_access_flags", C.c_uint),
        ("cap", QpCap),
        ("ah_attr", AhAttr),
        ("alt_ah_attr", AhAttr),
        ("pkey_index", C.c_uint16),
        ("alt_pkey_index", C.c_uint16),
        ("en_sqd_async_notify", C.c_uint8),
        ("sq_draining", C.c_uint8),
        ("max_rd_atomic", C.c_uint8),
        ("max_dest_rd_atomic", C.c_uint8),
        ("min_rnr_timer", C.c_uint8),
        ("port_num", C.c_uint8),
        ("timeout", C.c_uint8),
        ("retry_cnt", C.c_uint8),
        ("rnr_retry", C.c_uint8),
        ("alt_port_num", C.c_uint8),
        ("alt_timeout", C.c_uint8),
        ("rate_limit", C.c_uint32),
    ]


_INT = C.c_int
_ID = C.POINTER(Id)
_CHANNEL = C.POINTER(EventChannelStruct)
_EVENT = C.POINTER(CmEvent)

PROTOTYPES: dict[str, tuple[Any, ...]] = {
    # name: (result, arguments...); a result of int is 0, or -1 with errno set
    "rdma_create_event_channel": (_CHANNEL,),
    "rdma_destroy_event_channel": (None, _CHANNEL),
    "rdma_create_id": (_INT, _CHANNEL, C.POINTER(_ID), Pointer, _INT),
    "rdma_destroy_id": (_INT, _ID),
    "rdma_bind_addr": (_INT, _ID, Pointer),
    "rdma_listen": (_INT, _ID, _INT),
    "rdma_get_cm_event": (_INT, _CHANNEL, C.POINTER(_EVENT)),
    "rdma_ack_cm_event": (_INT, _EVENT),
    "rdma_resolve_addr": (_INT, _ID, Pointer, Pointer, _INT),
    "rdma_resolve_route": (_INT, _ID, _INT),
    "rdma_connect": (_INT, _ID, C.POINTER(ConnParam)),
    "rdma_establish": (_INT, _ID),
    "rdma_accept": (_INT, _ID, C.POINTER(ConnParam)),
    "rdma_reject": (_INT, _ID, C.c_char_p, C.c_uint8),
    "rdma_disconnect": (_INT, _ID),
    "rdma_init_qp_attr": (_INT, _ID, C.POINTER(QpAttr), C.POINTER(_INT)),
    "rdma_set_option": (_INT, _ID, _INT, _INT, Pointer, C.c_size_t),
}


@functools.cache
def library() -> C.CDLL:
    """librdmacm with its prototypes set; raises OSError where the system has none."""
    loaded = C.CDLL("librdmacm.so.1", use_errno=True)
    for name, (result, *arguments) in PROTOTYPES.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    return loaded


@functools.cache
def verbs_library() -> C.CDLL:
    """libibverbs, for the one name that librdmacm leaves to it; raises OSError where the system has none."""
    loaded = C.CDLL("libibverbs.so.1", use_errno=True)
    loaded.ibv_get_device_name.restype, loaded.ibv_get_device_name.argtypes = C.c_char_p, [Pointer]
    return loaded


def call(name: str, *arguments: Any) -> None:
    """Call `name` of librdmacm; raises OSError with the function's name where it answers an error."""
    if getattr(library(), name)(*arguments):
        number = C.get_errno() or errno.EIO
        raise OSError(number, f"{name}: {os.strerror(number)}")
