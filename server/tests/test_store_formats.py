"""What lies on disk: the xattrs that Samba and ksmbd keep attributes, descriptors and streams in."""

import asyncio
import hashlib
import os
import struct
import subprocess
from pathlib import Path as Directory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.security import sids
from server.security.descriptors import from_mode, parse
from server.store import attributes, ntacl
from server.store.attributes import Stored
from server.store.base import New

from .stores import ALICE, content, made, opened, posix_store

YEAR_2001 = 126_227_808_000_000_000
TIME = struct.pack("<Q", YEAR_2001)

DOSATTRIB = {
    "hex only": (b"0x22\0", Stored(0x22, None)),
    "hex without its end": (b"0x22", Stored(0x22, None)),
    "version 1": (b"0x22\0\0" + struct.pack("<HHHIIQQ", 1, 1, 0, 0x22, 7, 8, 9) + TIME + TIME, Stored(0x22, YEAR_2001)),
    "version 3": (
        b"0x22\0\0" + struct.pack("<HHHIIIQQ", 3, 3, 0, 0x11, 0x22, 0, 0, 0) + TIME + TIME, Stored(0x22, YEAR_2001)
    ),
    "version 3 of an empty text": (
        b"\0\0" + struct.pack("<HIIIIQQ", 3, 3, 0x11, 0x22, 0, 0, 0) + TIME + TIME, Stored(0x22, YEAR_2001)
    ),
    "version 4": (b"\0\0" + struct.pack("<HIII", 4, 4, 0x51, 0x22) + TIME + TIME, Stored(0x22, YEAR_2001)),
    "version 4 without a time": (b"\0\0" + struct.pack("<HIII", 4, 4, 0x1, 0x22) + TIME + TIME, Stored(0x22, None)),
    "version 5": (b"\0\0" + struct.pack("<HIII", 5, 5, 0x11, 0x22) + TIME, Stored(0x22, YEAR_2001)),
    "unknown version": (b"\0\0" + struct.pack("<HIII", 9, 9, 0x11, 0x22) + TIME, Stored(None, None)),
}  # fmt: skip


@pytest.mark.parametrize("kind", DOSATTRIB)
def test_attributes_of_all_versions_are_read(kind: str) -> None:
    value, expected = DOSATTRIB[kind]
    assert attributes.unpack(value) == expected


def test_attributes_are_written_as_version_4() -> None:
    value = attributes.pack(0x22, YEAR_2001)
    assert value == b"\0\0" + struct.pack("<HIII", 4, 4, 0x51, 0x22) + TIME + TIME
    assert attributes.unpack(value) == Stored(0x22, YEAR_2001)


@given(st.binary(max_size=80))
def test_any_stored_attributes_are_read_or_ignored(value: bytes) -> None:
    attributes.unpack(value)


@given(st.sampled_from(list(DOSATTRIB.values())), st.integers(0, 60))
def test_cut_attributes_say_no_more_than_whole_ones(vector: tuple[bytes, Stored], cut: int) -> None:
    value, whole = vector
    read = attributes.unpack(value[:cut])
    assert read.created in (None, whole.created)


# -- descriptors ------------------------------------------------------------------------------------------------
SECURITY = from_mode(1000, 1000, 0o750, False)
UNIX = ntacl.Unix(1000, 1000, 0o100750, b"", b"")


def moved(start: int) -> bytes:
    """SECURITY with its offsets counted from `start` bytes before it."""
    owner, group, dacl = (offset + start for offset in (0x14, 0x24, 0x34))
    return SECURITY[:4] + struct.pack("<IIII", owner, group, 0, dacl) + SECURITY[20:]


def test_a_descriptor_is_laid_out_as_ksmbd_reads_it() -> None:
    value = ntacl.pack(SECURITY, YEAR_2001, UNIX, True)
    posix = struct.pack("<IIQQI", 0, 0, 1000, 1000, 0o100750)
    assert value == (
        struct.pack("<HIHI", 4, 4, 2, 0x20004)
        + struct.pack("<H64s", 1, hashlib.sha256(SECURITY).digest())
        + b"posix_acl\0"
        + TIME
        + hashlib.sha256(posix).digest().ljust(64, b"\0")
        + moved(160)
    )
    assert ntacl.unpack(value, UNIX) == SECURITY


@pytest.mark.parametrize("change", [{"uid": 1}, {"gid": 1}, {"mode": 0o100700}, {"access": b"\2\0\0\0" + bytes(8)}])
def test_a_descriptor_is_stale_once_the_unix_side_has_changed(change: dict[str, Any]) -> None:
    value = ntacl.pack(SECURITY, YEAR_2001, UNIX, True)
    assert ntacl.unpack(value, UNIX._replace(**change)) is None


def test_a_descriptor_hashed_as_samba_does_holds() -> None:
    """Samba hashes the three entries that a mode stands for where a file has no POSIX ACL."""
    ndr = struct.pack("<IIQQI", 0x20000, 0, 1000, 1000, 0o100750)
    ndr += struct.pack("<IIII", 3, 3, 0, 0)[:4] + struct.pack("<II", 3, 0)
    for tag, permissions in ((2, 7), (4, 5), (5, 0)):
        ndr += bytes(-len(ndr) % 8) + struct.pack("<HHI", tag, tag, permissions)
    digest = hashlib.sha256(ndr).digest().ljust(64, b"\0")
    value = ntacl.pack(SECURITY, YEAR_2001, UNIX, False)
    assert value[96:160] == digest
    assert ntacl.unpack(value, UNIX) == SECURITY
    assert ntacl.unpack(value, UNIX._replace(mode=0o100700)) is None


@pytest.mark.parametrize(
    "head",
    [
        struct.pack("<HHI", 1, 1, 0x20000),
        struct.pack("<HHII16s", 2, 2, 0x20000, 0x20004, b""),
        struct.pack("<HHIIH64s2x", 3, 3, 0x20000, 0x20004, 1, b""),
    ],
)
def test_older_versions_are_read_and_not_checked(head: bytes) -> None:
    assert ntacl.unpack(head + moved(len(head)), UNIX) == SECURITY


@given(st.binary(max_size=300))
def test_any_stored_descriptor_is_read_or_ignored(value: bytes) -> None:
    ntacl.unpack(value, UNIX)
    ntacl.unpack(ntacl.pack(SECURITY, 0, UNIX, True)[:160] + value, UNIX)


def test_posix_acls_count_in_the_hash() -> None:
    access = b"\2\0\0\0" + b"".join(
        struct.pack("<HHI", tag, permissions, who)
        for tag, permissions, who in [(1, 7, 0xFFFFFFFF), (2, 6, 1001), (4, 5, 0xFFFFFFFF), (16, 7, 0xFFFFFFFF)]
    )
    with_acl = UNIX._replace(access=access)
    value = ntacl.pack(SECURITY, 0, with_acl, False)
    assert ntacl.unpack(value, with_acl) == SECURITY
    assert ntacl.unpack(value, UNIX) is None
    assert ntacl.unpack(ntacl.pack(SECURITY, 0, with_acl._replace(default=access), False), with_acl) is None


# -- on disk ----------------------------------------------------------------------------------------------------


def test_the_xattrs_of_a_new_file_are_those_that_others_read(tmp_path: Directory) -> None:
    async def whole() -> None:
        store = posix_store(tmp_path)
        file = await made(store, "a", stream="s", data=b"12")
        await file.close()
        found = await opened(store, "a")
        stored = attributes.unpack(os.getxattr(tmp_path / "a", "user.DOSATTRIB"))
        assert stored == Stored(0x20, found.stat.created)
        assert os.getxattr(tmp_path / "a", "user.DosStream.s:$DATA") == b"12\0"
        await found.file.set_descriptor(SECURITY, 4)
        assert {"user.NTACL", "security.NTACL"} & set(os.listxattr(tmp_path / "a"))
        await found.file.close()
        await store.close()

    asyncio.run(whole())


def test_streams_of_ksmbd_are_read_and_written_without_the_nul(tmp_path: Directory) -> None:
    async def whole() -> None:
        store = posix_store(tmp_path, like_ksmbd=True)
        await (await made(store, "a")).close()
        os.setxattr(tmp_path / "a", "user.DosStream.s:$DATA", b"12\0")
        found = await opened(store, "a", stream="S")
        assert await content(found.file) == b"12\0"
        await found.file.write([b"345"], 3, False)
        assert os.getxattr(tmp_path / "a", "user.DosStream.s:$DATA") == b"12\x00345"
        await found.file.close()
        await store.close()

    asyncio.run(whole())


def test_a_chmod_from_outside_replaces_the_stored_descriptor(tmp_path: Directory) -> None:
    async def whole() -> None:
        store = posix_store(tmp_path)
        file = await made(store, "a")
        await file.set_descriptor(from_mode(ALICE.uid, ALICE.gid, 0o777, False), 4)
        assert await file.descriptor() != from_mode(ALICE.uid, ALICE.gid, 0o744, False)
        os.chmod(tmp_path / "a", 0o600)
        assert await file.descriptor() == from_mode(ALICE.uid, ALICE.gid, 0o600, False)
        await file.close()
        await store.close()

    asyncio.run(whole())


SAMBA = """
import os, sys
from samba.dcerpc import security, xattr
from samba.ndr import ndr_pack, ndr_unpack
stored = ndr_unpack(xattr.NTACL, os.getxattr(sys.argv[1], sys.argv[2]))
print(stored.info.sd.owner_sid, stored.info.description, ndr_pack(stored.info.sd).hex())
stored = ndr_unpack(xattr.DOSATTRIB, os.getxattr(sys.argv[1], "user.DOSATTRIB"))
print(stored.info.attrib, stored.info.create_time)
"""
"""Judges what is stored by Samba's own definitions."""


def _has_samba() -> bool:
    return os.path.exists("/usr/lib/python3/dist-packages/samba/ndr.py")


@pytest.mark.skipif(not _has_samba(), reason="python3-samba is not installed")
def test_samba_reads_what_is_stored(tmp_path: Directory) -> None:
    async def whole() -> int:
        store = posix_store(tmp_path)
        file = await made(store, "a")
        stat = await file.overwrite(New(attributes=0x2), True)
        await file.set_descriptor(SECURITY, 4)
        await file.close()
        await store.close()
        return stat.created

    created = asyncio.run(whole())
    path = str(tmp_path / "a")
    name = next(name for name in ntacl.NAMES if name in os.listxattr(path))
    told = subprocess.run(["/usr/bin/python3", "-c", SAMBA, path, name], capture_output=True, text=True, check=True)
    acl, attributes_ = told.stdout.splitlines()
    owner, description, descriptor = acl.split()
    assert (owner, description) == (sids.sid_text(ALICE.owner), "posix_acl")
    assert parse(bytes.fromhex(descriptor)).dacl == parse(SECURITY).dacl
    assert attributes_.split() == [str(0x22), str(created)]
