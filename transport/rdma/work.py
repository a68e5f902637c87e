"""Work requests as pyverbs wants them.

Up to rdma-core 64 pyverbs gives neither an SGE's nor a request's memory back by itself, and a second `close` frees
twice: so whoever posts a chain closes each request once, right after, and the SGEs made here die with their request.
A chain holds raw pointers and no references: keep all of it until the post returns.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from pyverbs.wr import SGE, RecvWR, SendWR

from . import verbs
from .plan import Piece


class Span(NamedTuple):
    """`length` bytes of registered memory of ours."""

    address: int
    length: int
    lkey: int


def receive(wr_id: int, span: Span) -> Any:
    """A receive into `span`; made once and posted again and again."""
    element = SGE(*span)
    request = RecvWR(wr_id=wr_id, num_sge=1, sg=[element])
    element.close()
    return request


def send(spans: Sequence[Span], invalidate: int | None = None) -> Any:
    """A SEND of `spans`, one after the other, which invalidates the peer's token `invalidate`."""
    if invalidate is None:
        return _request(verbs.WR_SEND, spans)
    request = _request(verbs.WR_SEND_WITH_INV, spans, invalidate)
    # siw's library reads the token from the union's other member.
    request.set_wr_rdma(invalidate, 0)
    return request


def write(piece: Piece, lkey: int) -> Any:
    """An RDMA WRITE of one piece."""
    return _remote(verbs.WR_RDMA_WRITE, piece, lkey)


def read(piece: Piece, lkey: int) -> Any:
    """An RDMA READ of one piece."""
    return _remote(verbs.WR_RDMA_READ, piece, lkey)


def chain(requests: Sequence[Any], wr_id: int) -> Any:
    """The first of `requests`, each linked to the next; the last is signalled. All carry `wr_id`: any may fail."""
    for request, following in pairwise(requests):
        request.next_wr = following
        request.wr_id = wr_id
    requests[-1].wr_id = wr_id
    requests[-1].send_flags = verbs.SEND_SIGNALED
    return requests[0]


def _remote(opcode: int, piece: Piece, lkey: int) -> Any:
    request = _request(opcode, (Span(piece.address, piece.length, lkey),))
    request.set_wr_rdma(piece.token, piece.remote)
    return request


def _request(opcode: int, spans: Sequence[Span], token: int = 0) -> Any:
    elements = [SGE(*span) for span in spans]
    request = SendWR(opcode=opcode, num_sge=len(elements), imm_data=token, sg=elements, send_flags=0)
    for element in elements:
        element.close()
    return request
