"""The table of technologies."""

import pytest

from transport.technology import INFINIBAND, IWARP, ROCE, TCP, Technology, technology_of

IB, ETHERNET, UNSPECIFIED = 1, 2, 0


@pytest.mark.parametrize(
    ("transport", "link_layer", "wanted"),
    [(0, IB, INFINIBAND), (0, UNSPECIFIED, INFINIBAND), (0, ETHERNET, ROCE), (1, ETHERNET, IWARP), (1, 0, IWARP)],
)
def test_transport_and_link_layer_name_the_technology(transport: int, link_layer: int, wanted: Technology) -> None:
    assert technology_of(transport, link_layer) is wanted


def test_only_iwarp_lets_peers_write_to_a_read_sink_and_reads_into_one_piece() -> None:
    for technology in (INFINIBAND, ROCE):
        assert technology.sink_access == 1
        assert not technology.sink_needs_remote_write
        assert technology.read_sges(30) == 30
        assert technology.read_sges(0) == 1
    assert IWARP.sink_access == 3
    assert IWARP.sink_needs_remote_write
    assert IWARP.read_sges(30) == 1


def test_only_iwarp_has_a_port_of_its_own() -> None:
    assert {technology.name: technology.port for technology in (TCP, IWARP, INFINIBAND, ROCE)} == {
        "TCP": 445,
        "InfiniBand": 445,
        "RoCE": 445,
        "iWARP": 5445,
    }
