"""smbprotocol, a client that can be made to choose: every dialect, cipher and signing algorithm, and raw requests."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from server.testing import PASSWORD, Ours, names

smbprotocol = pytest.importorskip("smbprotocol", reason="smbprotocol is missing (pip: smbprotocol)")
from smbprotocol.connection import Ciphers, Connection, Dialects, SigningAlgorithms  # noqa: E402
from smbprotocol.exceptions import SMBResponseException  # noqa: E402
from smbprotocol.open import (  # noqa: E402
    CreateDisposition,
    CreateOptions,
    FileInformationClass,
    FilePipePrinterAccessMask,
    ImpersonationLevel,
    Open,
    ShareAccess,
)
from smbprotocol.session import Session  # noqa: E402
from smbprotocol.tree import TreeConnect  # noqa: E402

DIALECTS = {
    "2.0.2": Dialects.SMB_2_0_2,
    "2.1": Dialects.SMB_2_1_0,
    "3.0": Dialects.SMB_3_0_0,
    "3.0.2": Dialects.SMB_3_0_2,
    "3.1.1": Dialects.SMB_3_1_1,
}
CIPHERS = [Ciphers.AES_128_GCM, Ciphers.AES_128_CCM, Ciphers.AES_256_GCM, Ciphers.AES_256_CCM]
SIGNINGS = [SigningAlgorithms.HMAC_SHA256, SigningAlgorithms.AES_CMAC, SigningAlgorithms.AES_GMAC]
ALL = (
    FilePipePrinterAccessMask.GENERIC_READ | FilePipePrinterAccessMask.GENERIC_WRITE | FilePipePrinterAccessMask.DELETE
)
SHARED = ShareAccess.FILE_SHARE_READ | ShareAccess.FILE_SHARE_WRITE | ShareAccess.FILE_SHARE_DELETE


@contextmanager
def tree(server: Ours, dialect: int | None = None, seal: bool = False, **wanted: Any) -> Iterator[TreeConnect]:
    """The share `data`, connected by a session of its own."""
    connection = Connection(uuid.uuid4(), "127.0.0.1", server.port, require_signing=True)
    connection.connect(dialect, timeout=20, **wanted)
    try:
        session = Session(connection, names()[0], PASSWORD, require_encryption=seal, auth_protocol="ntlm")
        session.connect()
        share = TreeConnect(session, r"\\127.0.0.1\data")
        share.connect()
        yield share
        share.disconnect()
        session.disconnect()
    finally:
        connection.disconnect(close=False)


def opened(share: TreeConnect, name: str, disposition: int = CreateDisposition.FILE_OPEN_IF, options: int = 0) -> Open:
    file = Open(share, name)
    file.create(ImpersonationLevel.Impersonation, ALL, 0, SHARED, disposition, options)
    return file


def write_and_read(share: TreeConnect, name: str = "file") -> None:
    """Write more than one large READ holds, in pieces, and read it back."""
    whole = b"".join(offset.to_bytes(8, "little") for offset in range(0, 300_000, 8))
    size = min(share.session.connection.max_write_size, share.session.connection.max_read_size, 65536)
    file = opened(share, name, CreateDisposition.FILE_OVERWRITE_IF)
    for offset in range(0, len(whole), size):
        assert file.write(whole[offset : offset + size], offset) == len(whole[offset : offset + size])
    read = b"".join(file.read(offset, min(size, len(whole) - offset)) for offset in range(0, len(whole), size))
    file.close()
    assert read == whole


@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_dialect_signed(server: Ours, dialect: str) -> None:
    with tree(server, DIALECTS[dialect]) as share:
        assert share.session.connection.dialect == DIALECTS[dialect]
        write_and_read(share)


@pytest.mark.parametrize("dialect", ["3.0", "3.0.2"])
def test_each_dialect_before_311_sealed(server: Ours, dialect: str) -> None:
    with tree(server, DIALECTS[dialect], seal=True) as share:
        write_and_read(share)


@pytest.mark.parametrize("cipher", CIPHERS)
def test_each_cipher(server: Ours, cipher: int) -> None:
    with tree(server, Dialects.SMB_3_1_1, seal=True, preferred_encryption_algos=[cipher]) as share:
        assert share.session.connection.cipher_id is not None
        write_and_read(share)


@pytest.mark.parametrize("algorithm", SIGNINGS)
def test_each_signing_algorithm(server: Ours, algorithm: int) -> None:
    with tree(server, Dialects.SMB_3_1_1, preferred_signing_algos=[algorithm]) as share:
        assert share.session.connection.signing_algorithm_id in (None, algorithm)
        write_and_read(share)


def test_multi_credit_reads_and_writes_up_to_the_largest(server: Ours) -> None:
    with tree(server) as share:
        size = min(share.session.connection.max_write_size, 4 << 20)
        assert size == 4 << 20
        file = opened(share, "large", CreateDisposition.FILE_OVERWRITE_IF)
        piece = bytes(range(256)) * (size // 256)
        for offset in (0, size):
            assert file.write(piece, offset) == size
        assert file.read(size // 2, size) == piece
        assert file.read(2 * size - 5, size) == piece[-5:]
        with pytest.raises(SMBResponseException, match="END_OF_FILE"):
            file.read(2 * size, 1)
        file.flush()
        file.close()


def test_create_and_close_in_one_compound(server: Ours) -> None:
    with tree(server) as share:
        file = Open(share, "compound")
        requests = [
            file.create(
                ImpersonationLevel.Impersonation, ALL, 0, SHARED, CreateDisposition.FILE_OPEN_IF, 0, send=False
            ),
            file.write(b"in one go", 0, send=False),
            file.close(False, send=False),
        ]
        session = share.session
        sent = session.connection.send_compound(
            [request[0] for request in requests], session.session_id, share.tree_connect_id, related=True
        )
        for (_, answer), request in zip(requests, sent, strict=True):
            answer(request)
    assert (server.path() / "compound").read_bytes() == b"in one go"


def test_directory_is_listed_with_every_class(server: Ours) -> None:
    classes = [
        FileInformationClass.FILE_DIRECTORY_INFORMATION,
        FileInformationClass.FILE_FULL_DIRECTORY_INFORMATION,
        FileInformationClass.FILE_BOTH_DIRECTORY_INFORMATION,
        FileInformationClass.FILE_ID_FULL_DIRECTORY_INFORMATION,
        FileInformationClass.FILE_ID_BOTH_DIRECTORY_INFORMATION,
        FileInformationClass.FILE_NAMES_INFORMATION,
    ]
    server.clear()
    with tree(server) as share:
        opened(share, "listed", options=CreateOptions.FILE_DIRECTORY_FILE).close()
        for name in ("listed\\a", "listed\\b"):
            opened(share, name).close()
        for kind in classes:
            directory = opened(share, "listed", CreateDisposition.FILE_OPEN, CreateOptions.FILE_DIRECTORY_FILE)
            entries = directory.query_directory("*", kind)
            assert {entry["file_name"].get_value().decode("utf-16-le") for entry in entries} == {".", "..", "a", "b"}
            directory.close()


def test_opening_what_is_absent_says_so(server: Ours) -> None:
    with tree(server) as share, pytest.raises(SMBResponseException, match="OBJECT_NAME_NOT_FOUND"):
        opened(share, "absent", CreateDisposition.FILE_OPEN)


def test_wrong_password_is_refused(server: Ours) -> None:
    connection = Connection(uuid.uuid4(), "127.0.0.1", server.port)
    connection.connect(timeout=20)
    try:
        session = Session(connection, names()[0], "wrong", auth_protocol="ntlm")
        with pytest.raises(SMBResponseException, match="LOGON_FAILURE"):
            session.connect()
    finally:
        connection.disconnect(close=False)
