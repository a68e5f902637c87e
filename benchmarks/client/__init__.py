"""The project's own SMB client, over any `transport.base.Connection`: TCP, loopback or SMB Direct.

It exists to drive a server as no other client does: any dialect, cipher and signing algorithm on demand, many
requests in flight, compounds of anything, READ and WRITE through channel descriptors of any number and shape, and
requests that no sane client sends. It asks for what it is told and checks what it is given: every message that
should be signed or sealed must be.

    client = await Client.negotiate(connection, Settings())
    session = await Session.login(client, NtlmLogin("user", "password"))
    tree = await session.connect(r"\\\\server\\data")
    file = await tree.create("name", access=READ_DATA | WRITE_DATA, disposition=Disposition.OPEN_IF)
    await file.write(0, b"data")
    await file.close()
    await client.close()

A session may use several connections, TCP and RDMA mixed: `Session.bind` adds one, `ways` says where the server can be
reached besides, `widen` goes there, and `Bulk` moves a file's data over all of them (`multichannel`).

An error of the server is raised as `server.status.Status`, a lost connection as `transport.base.Lost`, and answers
that break the rules as `smbdirect.wire.Malformed`.
"""

from .answer import Answer
from .bulk import Bulk
from .channel import Exposed, Windows, split
from .client import Call, Client, Element
from .compound import Compound
from .file import File
from .login import AnonymousLogin, KeyLogin, Login, NtlmLogin
from .multichannel import Channels, SessionChannel
from .session import Session
from .settings import Agreement, Settings
from .tree import Tree
from .ways import Dial, Way, dialler, ways, widen

__all__ = [
    "Agreement",
    "AnonymousLogin",
    "Answer",
    "Bulk",
    "Call",
    "Channels",
    "Client",
    "Compound",
    "Dial",
    "Element",
    "Exposed",
    "File",
    "KeyLogin",
    "Login",
    "NtlmLogin",
    "Session",
    "SessionChannel",
    "Settings",
    "Tree",
    "Way",
    "Windows",
    "dialler",
    "split",
    "ways",
    "widen",
]
