"""The verbs ABI's numbers, and the end of what pyverbs lacks or gets wrong.

pyverbs has its constants in other modules under other names from one distribution to the next; the numbers are ABI
and never change, and pyverbs takes plain ints everywhere. It tells a completion channel's descriptor only from
rdma-core 57 on and a context's never: both are found as the one new descriptor of their kind.
"""

import logging
import os
from collections.abc import Callable
from typing import Any

from . import cm_abi

log = logging.getLogger(__name__)

QPT_RC = 2

QPS_INIT = 1
QPS_RTR = 2
QPS_RTS = 3
QPS_ERR = 6

QP_STATE = 1 << 0
QP_ACCESS_FLAGS = 1 << 3
QP_PKEY_INDEX = 1 << 4
QP_PORT = 1 << 5
QP_AV = 1 << 7

QP_FIELDS = {
    # the bit in the mask: the same name in pyverbs' QPAttr and in struct ibv_qp_attr
    QP_ACCESS_FLAGS: "qp_access_flags",
    QP_PKEY_INDEX: "pkey_index",
    QP_PORT: "port_num",
    1 << 8: "path_mtu",
    1 << 9: "timeout",
    1 << 10: "retry_cnt",
    1 << 11: "rnr_retry",
    1 << 12: "rq_psn",
    1 << 13: "max_rd_atomic",
    1 << 15: "min_rnr_timer",
    1 << 16: "sq_psn",
    1 << 17: "max_dest_rd_atomic",
    1 << 20: "dest_qp_num",
}

WR_RDMA_WRITE = 0
WR_SEND = 2
WR_RDMA_READ = 4
WR_LOCAL_INV = 7
WR_BIND_MW = 8
WR_SEND_WITH_INV = 9

SEND_SIGNALED = 1 << 1

ACCESS_LOCAL_WRITE = 1 << 0
ACCESS_REMOTE_WRITE = 1 << 1
ACCESS_REMOTE_READ = 1 << 2
ACCESS_MW_BIND = 1 << 4

WC_SUCCESS = 0
WC_FLUSHED = 5
WC_NAMES = {
    1: "local length error",
    2: "local queue pair error",
    4: "local protection error",
    5: "flushed",
    6: "memory window error",
    7: "bad response",
    8: "local access error",
    9: "the peer calls the request invalid",
    10: "remote access error",
    11: "the peer could not do it",
    12: "retries exhausted",
    13: "the peer was not ready for too long",
}

MW_TYPE_2 = 2

TRANSPORT_IB = 0
TRANSPORT_IWARP = 1
LINK_LAYER_INFINIBAND = 1
LINK_LAYER_ETHERNET = 2
PORT_ACTIVE = 4

EVENT_DEVICE_FATAL = 8


def completion_text(status: int) -> str:
    """What a failed completion says, in words."""
    return WC_NAMES.get(status, f"completion status {status}")


def with_descriptor(make: Callable[[], Any]) -> tuple[Any, int]:
    """What `make` makes, a context or a completion channel, and the descriptor of its events, nonblocking."""
    before = _event_descriptors()
    made = make()
    (fd,) = _event_descriptors() - before
    os.set_blocking(fd, False)
    return made, fd


def close(*objects: Any) -> None:
    """Close pyverbs objects in this order. One that cannot be closed, as after its device has gone, is left behind."""
    from pyverbs.pyverbs_error import PyverbsError

    for each in objects:
        try:
            each.close()
        except PyverbsError as error:
            log.debug("RDMA: not closed: %s", reason(error))


def reason(error: Exception) -> str:
    """A pyverbs failure in words; some providers give the errno negative."""
    code = abs(getattr(error, "error_code", 0) or 0)
    return os.strerror(code) if code else str(error)


def _event_descriptors() -> set[int]:
    """The descriptors of this process that verbs events come from."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            if "infinibandevent" in os.readlink(f"/proc/self/fd/{name}"):
                found.add(int(name))
        except FileNotFoundError:  # the listing's own descriptor
            continue
    return found


def qp_attributes(attributes: cm_abi.QpAttr, mask: int) -> Any:
    """pyverbs' QPAttr of what librdmacm asks for, as far as `mask` says."""
    from pyverbs.qp import QPAttr

    made = QPAttr(qp_state=attributes.qp_state)
    for bit, name in QP_FIELDS.items():
        if mask & bit:
            setattr(made, name, getattr(attributes, name))
    if mask & QP_AV:
        made.ah_attr = _address_handle(attributes.ah_attr)
    return made


def _address_handle(handle: cm_abi.AhAttr) -> Any:
    from pyverbs.addr import GID, AHAttr, GlobalRoute

    raw = bytes(handle.dgid).hex()
    route = GlobalRoute(
        dgid=GID(":".join(raw[at : at + 4] for at in range(0, 32, 4))),
        sgid_index=handle.sgid_index,
        flow_label=handle.flow_label,
        hop_limit=handle.hop_limit,
        traffic_class=handle.traffic_class,
    )
    return AHAttr(
        dlid=handle.dlid,
        sl=handle.sl,
        port_num=handle.port_num,
        src_path_bits=handle.src_path_bits,
        static_rate=handle.static_rate,
        is_global=handle.is_global,
        gr=route,
    )
