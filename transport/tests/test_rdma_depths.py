"""How many READs may be under way: events and private data as real peers and devices gave them."""

import struct

import pytest

from transport.rdma.depths import EXPOSED, OURS, Depths, accepting, connecting

RXE = SIW = (128, 128)
CONNECTX = (16, 16)
PADDING = bytes(56)


def test_a_linux_client_over_roce() -> None:
    # cifs.ko: 32 responder resources, initiator depth 1; InfiniBand pads private data to 56 bytes
    assert accepting(False, 32, 1, PADDING, RXE) == Depths(OURS, 1)


def test_a_linux_client_over_iwarp_whose_private_data_agrees_gets_none_back() -> None:
    assert accepting(True, 32, 1, struct.pack(">II", 32, 1), SIW) == Depths(OURS, 1)


def test_an_mpa_v1_peer_is_believed_by_its_private_data_and_answered_the_same_way() -> None:
    settled = accepting(True, 0, 0, struct.pack(">II", 8, 1), SIW)
    assert settled == Depths(8, 1, struct.pack(">II", 1, 8))


def test_little_endian_depths_of_old_clients_are_clamped() -> None:
    settled = accepting(True, 0, 0, struct.pack("<II", 32, 1), SIW)
    assert (settled.initiator, settled.responder) == (OURS, 1)


def test_a_peer_that_says_nothing_on_iwarp_takes_one_read_at_a_time() -> None:
    assert accepting(True, 0, 0, b"", SIW) == Depths(1, 1)


def test_a_peer_that_lets_nobody_read_on_infiniband_is_not_read() -> None:
    assert accepting(False, 0, 0, PADDING, CONNECTX) == Depths(0, 0)


@pytest.mark.parametrize(("device", "initiator"), [((4, 16), 4), ((0, 0), 0)])
def test_the_device_limits_both(device: tuple[int, int], initiator: int) -> None:
    assert accepting(False, 32, 32, b"", device).initiator == initiator


def test_a_client_offers_what_its_device_can_and_says_it_twice_on_iwarp() -> None:
    assert connecting(False, CONNECTX) == Depths(1, 16)
    assert connecting(True, SIW) == Depths(1, EXPOSED, struct.pack(">II", EXPOSED, 1))
