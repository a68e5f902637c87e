"""Two clients that ask well-formed things in any order, on both stores: every request is answered, nothing is kept.

What they ask makes no sense most of the time: closed handles, any information class with any payload, any control
code, locks and changes waited for, all at once. `whole` holds the server to no bug logged and nothing kept.
"""

import asyncio
import errno
import os
import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.client import Call, Element, Settings, Tree
from benchmarks.client.compound import PREVIOUS
from server.config import Share
from server.messages.base import Request
from server.messages.create import CreateContext, CreateOptions, CreateRequest, CreateResponse, Disposition
from server.messages.directory import ChangeNotifyRequest, QueryDirectoryRequest
from server.messages.entries import DirectoryClass
from server.messages.file import CloseRequest, EchoRequest, FlushRequest, LockElement, LockFlags, LockRequest
from server.messages.fscc_file import FileClass
from server.messages.fscc_set import Rename
from server.messages.fscc_volume import VolumeClass
from server.messages.info import InfoType, QueryInfoRequest, SetInfoRequest
from server.messages.ioctl import Fsctl, IoctlRequest
from server.messages.negotiate import Dialect
from server.messages.read_write import ReadRequest, WriteRequest
from server.store import syscalls
from server.store.base import Store
from server.store.memory import MemoryStore
from server.store.posix import PosixStore
from server.tests.message_samples import LISTS, PAYLOADS
from server.tests.served import SHARE, Whole, on_a_server, settle
from server.tests.stores import options

SECURITIES = [
    Settings(), Settings(sign=True), Settings(encrypt=True),
    Settings(dialects=(Dialect.SMB202,)), Settings(dialects=(Dialect.SMB302,), sign=True),
]  # fmt: skip
REQUESTS = 60
"""A client's, in one example."""

NAMES = [
    "a",
    "A",
    "b",
    "d",
    r"d\a",
    r"d\b",
    r"d\d",
    "a:s",
    "a:S:$DATA",
    "b:t",
    "d:s",
    "",
    "*",
    "a\\",
    r"x\y",
    "\u00e4\u20ac",
]
SIZES = [0, 1, 511, 4096, 65536, 70_000, 1 << 20, 1 << 33, (1 << 63) - 1, (1 << 64) - 1]
PACKED = [payload.packed for payload in (PAYLOADS | LISTS).values()]


def numbers(of: type) -> list[int]:
    """The values of a class of numbers."""
    return [value for name, value in vars(of).items() if name.isupper() and isinstance(value, int)]


FILE_CLASSES, VOLUME_CLASSES, CONTROLS = numbers(FileClass), numbers(VolumeClass), numbers(Fsctl)
CONTROLS.remove(Fsctl.VALIDATE_NEGOTIATE_INFO)  # ends a connection, as it should
OPTIONS = [option for option in numbers(CreateOptions) if option != CreateOptions.OPEN_BY_FILE_ID]
CONTEXTS = [b"ExtA", b"SecD", b"AlSi", b"MxAc", b"QFid", b"RqLs", b"DH2Q", b"DHnQ", b"DHnC", b"DH2C", b"what"]


SENSIBLE: dict[int, Callable[[random.Random], bytes]] = {
    FileClass.RENAME: lambda choose: Rename(choose.choice(NAMES), choose.choice([0, 1])).pack(),
    FileClass.RENAME_EX: lambda choose: Rename(choose.choice(NAMES), choose.randrange(4)).pack(),
    FileClass.LINK: lambda choose: Rename(choose.choice(NAMES), choose.choice([0, 1])).pack(),
    FileClass.DISPOSITION: lambda choose: choose.choice([b"\0", b"\1"]),
    FileClass.DISPOSITION_EX: lambda choose: choose.randrange(32).to_bytes(4, "little"),
    FileClass.END_OF_FILE: lambda choose: choose.choice(SIZES[:7]).to_bytes(8, "little"),
    FileClass.ALLOCATION: lambda choose: choose.choice(SIZES[:7]).to_bytes(8, "little"),
    FileClass.POSITION: lambda choose: choose.choice(SIZES).to_bytes(8, "little"),
    FileClass.BASIC: lambda choose: choose.choice(SIZES).to_bytes(8, "little") * 4 + choose.randbytes(1) + bytes(7),
}
"""What is set with some hope that it succeeds."""


class Monkey:
    """One client's choices."""

    def __init__(self, tree: Tree, choose: random.Random) -> None:
        self.tree = tree
        self.choose = choose
        self.files = [bytes(16), b"\x11" * 16]
        self.calls: list[Call] = []

    async def ask(self) -> None:
        """One request, or a chain of them; some are waited for, some called off."""
        if self.choose.random() < 0.05 and self.calls:
            await self.tree.client.cancel(self.choose.choice(self.calls))
        if self.choose.random() < 0.15:
            await self.ask_chain()
            return
        request = self.any()
        call = await self.tree.post(request)
        self.calls.append(call)
        if isinstance(request, CreateRequest) or self.choose.random() < 0.2:
            await settle()
        if isinstance(request, CreateRequest) and call.answered.done():
            answer = await call.answer()
            if not answer.is_error:
                self.files.append(answer.keep().read(CreateResponse).file_id)

    async def ask_chain(self) -> None:
        """Up to four requests in one message, each related to the one before or of its own."""
        chain = self.tree.compound()
        for number in range(self.choose.randrange(1, 5)):
            request, related = self.any(), bool(number) and self.choose.random() < 0.7
            if related and hasattr(request, "file_id"):
                request.file_id = PREVIOUS
            chain.add(request, related)
        self.calls += await chain.post()

    def any(self) -> Request:
        make: Callable[[], Request] = self.choose.choice(
            [self.create] * 6 + [self.read, self.write, self.lock, self.query, self.set, self.control] * 3
            + [self.list, self.notify] * 2 + [self.close, self.flush, EchoRequest]
        )  # fmt: skip
        return make()

    async def let_go(self) -> None:
        """Close the connection, whatever is still under way, and give all answers back."""
        await self.tree.client.close()
        for call in self.calls:
            if call.answered.exception() is None:
                call.answered.result().release()

    @property
    def file(self) -> bytes:
        """Most often one of the last that were opened."""
        return self.choose.choice(self.files[-5:] if self.choose.random() < 0.9 else self.files)

    @property
    def size(self) -> int:
        return self.choose.choice(SIZES)

    @property
    def payload(self) -> bytes:
        if self.choose.random() < 0.6:
            return self.choose.choice(PACKED).replace(bytes(16), self.file)
        return self.choose.choice(SIZES).to_bytes(8, "little") + self.choose.randbytes(self.choose.randrange(40))

    def create(self) -> Request:
        choose = self.choose
        contexts = [
            CreateContext(name, self.payload) for name in choose.sample(CONTEXTS, choose.choice([0, 0, 0, 1, 2]))
        ]
        return CreateRequest(
            choose.choice(NAMES),
            choose.choice([0x1F01FF] * 5 + [0x2000000, 1, 2, 0x80, 0x10000, 0x120089]),
            choose.choice([Disposition.OPEN_IF] * 5 + numbers(Disposition)),
            sum(choose.sample(OPTIONS, choose.choice([0, 0, 0, 0, 1, 2]))),
            choose.choice([7] * 8 + [0, 1, 3]),
            choose.choice([0, 0, 1, 0x20, 0x80]),
            choose.choice([0, 0, 0, 0, 1, 8, 9, 0xFF]),
            contexts=contexts,
        )

    def read(self) -> Request:
        return ReadRequest(self.file, self.size, min(self.size, 8 << 20), self.choose.choice([0, 0, 5]))

    def write(self) -> Request:
        offset = self.choose.choice([0, 1, 4096, 65536, 1 << 40, (1 << 63) - 5])
        return WriteRequest(self.file, offset if offset < 1 << 30 or self.choose.random() < 0.1 else 7, self.payload)

    def lock(self) -> Request:
        flags = self.choose.choice([*numbers(LockFlags), LockFlags.EXCLUSIVE | LockFlags.FAIL_IMMEDIATELY])
        elements = [LockElement(self.size, self.size, flags) for _ in range(self.choose.choice([1, 1, 1, 2, 3]))]
        return LockRequest(self.file, elements, self.choose.choice([0, 0, 3]), self.choose.choice([0, 1, 70]))

    def query(self) -> Request:
        kind = self.choose.choice(numbers(InfoType))
        of = {InfoType.FILE: FILE_CLASSES, InfoType.FILESYSTEM: VOLUME_CLASSES}.get(kind, [0])
        room = self.choose.choice([0, 7, 8, 100, 65536])
        return QueryInfoRequest(
            self.file, kind, self.choose.choice(of), room, 7, 0, self.choose.choice([b"", self.payload])
        )

    def set(self) -> Request:
        if self.choose.random() < 0.6:
            kind = self.choose.choice(list(SENSIBLE))
            return SetInfoRequest(self.file, InfoType.FILE, kind, SENSIBLE[kind](self.choose))
        kind = self.choose.choice([InfoType.FILE] * 4 + numbers(InfoType))
        of = {InfoType.FILE: FILE_CLASSES, InfoType.FILESYSTEM: VOLUME_CLASSES}.get(kind, [0])
        return SetInfoRequest(self.file, kind, self.choose.choice(of), self.payload, self.choose.choice([0, 4, 7]))

    def control(self) -> Request:
        room = self.choose.choice([0, 8, 16, 4096, 65536])
        return IoctlRequest(self.choose.choice(CONTROLS), self.file, self.payload, max_output=room)

    def close(self) -> Request:
        return CloseRequest(self.file, self.choose.choice([0, 1]))

    def list(self) -> Request:
        room = self.choose.choice([0, 50, 200, 65536])
        pattern = self.choose.choice(["*", "a*", "", "?", "<"])
        return QueryDirectoryRequest(
            self.file, self.choose.choice(numbers(DirectoryClass)), pattern, room, self.choose.randrange(32)
        )

    def notify(self) -> Request:
        return ChangeNotifyRequest(self.file, 0xFFF, self.choose.choice([0, 8, 4096]), self.choose.choice([0, 1]))

    def flush(self) -> Request:
        return FlushRequest(self.file)


RESERVED = 64 << 20
"""Bytes that the disk has for one reservation: some of what is asked for would fill a real one."""


def small_disk(patch: pytest.MonkeyPatch) -> None:
    """Let the file system refuse to reserve more than `RESERVED`, as a full one does."""
    reserve = syscalls.fallocate

    def fallocate(descriptor: int, mode: int, offset: int, length: int) -> None:
        if length > RESERVED:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        reserve(descriptor, mode, offset, length)

    patch.setattr(syscalls, "fallocate", fallocate)


async def play(here: Whole, seed: int) -> None:
    choose = random.Random(seed)
    sessions = [await here.session(choose.choice(SECURITIES)) for _ in range(2)]
    monkeys = [Monkey(await session.connect(SHARE), random.Random(choose.random())) for session in sessions]
    for name in ("d", "b"):
        for monkey in monkeys:
            how = CreateOptions.DIRECTORY_FILE if name == "d" else 0
            opened = await monkey.tree.create(name, disposition=Disposition.OPEN_IF, options=how)
            monkey.files.append(opened.id)
    for _ in range(REQUESTS):
        for monkey in monkeys:
            await asyncio.wait_for(monkey.ask(), 20)
    for monkey in monkeys:
        await monkey.tree.client.post_one(Element(EchoRequest()))
        await monkey.let_go()
    await settle()


@pytest.mark.parametrize("kind", ["memory", "posix"])
@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 1 << 32))
def test_any_sequence_of_requests_is_answered_and_nothing_is_kept(
    tmp_path_factory: pytest.TempPathFactory, kind: str, seed: int
) -> None:
    root = tmp_path_factory.mktemp("random")
    root.chmod(0o777)

    def make_store(share: Share) -> Store:
        return MemoryStore() if kind == "memory" else PosixStore(str(root), options())

    with pytest.MonkeyPatch.context() as patch:
        small_disk(patch)
        on_a_server(lambda here: play(here, seed), make_store=make_store)
