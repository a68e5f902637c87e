"""impacket, a client that shares no code with the others, on the dialects it has."""

import io
from collections.abc import Iterator
from typing import Any

import pytest

from server.testing import PASSWORD, Ours, names

smbconnection = pytest.importorskip("impacket.smbconnection", reason="impacket is missing (pip: impacket)")
DIALECTS = {"2.0.2": 0x0202, "2.1": 0x0210, "3.0": 0x0300, "3.1.1": 0x0311}
CONTENT = b"".join(offset.to_bytes(8, "little") for offset in range(0, 400_000, 8))


@pytest.fixture(params=DIALECTS)
def connection(server: Ours, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A logged-on connection on each dialect."""
    server.clear()
    dialect = DIALECTS[request.param]
    made = smbconnection.SMBConnection("127.0.0.1", "127.0.0.1", sess_port=server.port, preferredDialect=dialect)
    assert made.getDialect() == dialect
    # Told of directory leases, impacket's CREATE fails for any file in a share's root before it sends anything.
    made.getSMBServer()._Connection["SupportsDirectoryLeasing"] = False
    made.login(names()[0], PASSWORD)
    yield made
    made.close()


def test_file_there_and_back(connection: Any, server: Ours) -> None:
    connection.putFile("data", "file", io.BytesIO(CONTENT).read)
    assert (server.path() / "file").read_bytes() == CONTENT
    back = io.BytesIO()
    connection.getFile("data", "file", back.write)
    assert back.getvalue() == CONTENT


def test_directories_listings_rename_and_delete(connection: Any, server: Ours) -> None:
    connection.createDirectory("data", "made")
    connection.putFile("data", "made\\one", io.BytesIO(b"1").read)
    connection.rename("data", "made\\one", "made\\two")
    assert {entry.get_longname() for entry in connection.listPath("data", "made\\*")} == {".", "..", "two"}
    connection.deleteFile("data", "made\\two")
    connection.deleteDirectory("data", "made")
    assert not list(server.path().iterdir())


def test_shares_are_listed_over_the_pipe(connection: Any) -> None:
    shown = {entry["shi1_netname"][:-1].lower() for entry in connection.listShares()}
    assert {"data", "second", "ipc$"} <= shown


def test_wrong_password_is_refused(server: Ours) -> None:
    made = smbconnection.SMBConnection("127.0.0.1", "127.0.0.1", sess_port=server.port)
    with pytest.raises(smbconnection.SessionError, match="LOGON_FAILURE"):
        made.login(names()[0], "wrong")
    made.close()
