"""The one table where TCP, iWARP, InfiniBand and RoCE differ.

Numbers are those of the verbs ABI (`enum ibv_transport_type`, `IBV_LINK_LAYER_*`, `enum ibv_access_flags`).
"""

from dataclasses import dataclass

LOCAL_WRITE, REMOTE_WRITE, REMOTE_READ = 1, 2, 4

TRANSPORT_IB, TRANSPORT_IWARP = 0, 1
LINK_UNSPECIFIED, LINK_INFINIBAND, LINK_ETHERNET = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Technology:
    """One way to carry SMB2 messages."""

    name: str
    port: int
    """Where the server listens (MS-SMBD 2.1)."""
    read_sges_limit: int | None = None
    """Local pieces in one RDMA READ where the standard says it; None where the device's `max_sge_rd` does."""
    sink_access: int = LOCAL_WRITE
    """What the memory that an RDMA READ fills is registered with."""

    @property
    def sink_needs_remote_write(self) -> bool:
        """On iWARP the answer to a READ is a write by the peer (RFC 5040 2.3)."""
        return bool(self.sink_access & REMOTE_WRITE)

    def read_sges(self, max_sge_rd: int) -> int:
        """How many local pieces one RDMA READ may have on a device that says `max_sge_rd`; at least one."""
        return max(1, max_sge_rd if self.read_sges_limit is None else self.read_sges_limit)


TCP = Technology("TCP", 445)
IWARP = Technology("iWARP", 5445, 1, LOCAL_WRITE | REMOTE_WRITE)
INFINIBAND = Technology("InfiniBand", 445)
ROCE = Technology("RoCE", 445)


def technology_of(transport_type: int, link_layer: int) -> Technology:
    """The technology of a verbs device's port. An unspecified link layer is InfiniBand's, as in the kernel."""
    if transport_type == TRANSPORT_IWARP:
        return IWARP
    return ROCE if link_layer == LINK_ETHERNET else INFINIBAND
