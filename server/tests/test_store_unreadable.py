"""Listings that leave out what whoever lists may not read (access-based enumeration)."""

import asyncio
from pathlib import Path as Directory

import pytest

from server.security import access, sids
from server.security.acl import ALLOWED, Ace
from server.security.descriptors import DACL_INFORMATION, SecurityDescriptor

from .stores import listed, made, posix_store


@pytest.mark.parametrize("stats", [True, False])
def test_listings_leave_out_what_may_not_be_read_where_that_is_asked_for(tmp_path: Directory, stats: bool) -> None:
    """Only whole read access counts; what the directory lends, and privilege, do not hide."""
    rights = {
        "read": access.FILE_GENERIC_READ,
        "no attributes": access.FILE_GENERIC_READ & ~access.FILE_READ_ATTRIBUTES,
        "no eas": access.FILE_GENERIC_READ & ~access.FILE_READ_EA,
        "no data": access.FILE_GENERIC_READ & ~access.FILE_READ_DATA,
    }

    async def run() -> None:
        store = posix_store(tmp_path, hide_unreadable=True)
        for name, mask in rights.items():
            file = await made(store, name)
            dacl = SecurityDescriptor(dacl=[Ace(ALLOWED, 0, mask, sids.EVERYONE)]).pack()
            await file.set_descriptor(dacl, DACL_INFORMATION)
            await file.close()
        assert {entry.name for entry in await listed(store, stats=stats)} == {"read"}
        store.options.hide_unreadable = False
        assert {entry.name for entry in await listed(store, stats=stats)} == set(rights)
        await store.close()

    asyncio.run(run())
