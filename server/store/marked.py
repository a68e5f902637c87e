"""Which directories the kernel watches for us, and where they are: a forest, kept as the kernel's events tell it.

A directory is in it because somebody follows it, or the tree of one above it. Its parent is known where that is
followed too; else it is remembered where it was when it was last asked for.
"""

from collections.abc import Iterator

from .base import Path


class Directory:
    __slots__ = ("below", "flat", "handle", "name", "parent", "top", "trees")

    def __init__(self, handle: bytes, path: Path) -> None:
        self.handle = handle
        self.parent: Directory | None = None
        self.name = ""
        self.top = path
        """Where it is, while the parent is not known."""
        self.below: dict[str, Directory] = {}
        self.flat = 0
        """How many follow it alone, and its tree."""
        self.trees = 0

    def path(self) -> Path:
        steps: list[str] = []
        here = self
        while here.parent is not None:
            steps.append(here.name)
            here = here.parent
        return (*here.top, *reversed(steps))

    def deep(self) -> bool:
        """Whether what is below it is followed too."""
        here: Directory | None = self
        while here is not None:
            if here.trees:
                return True
            here = here.parent
        return False

    def hold(self, tree: bool) -> bool:
        """One more follows it; whether its tree was followed before."""
        deep = self.deep()
        self.trees += tree
        self.flat += not tree
        return deep

    def let_go(self, tree: bool) -> None:
        self.trees -= tree
        self.flat -= not tree


class Tree:
    def __init__(self) -> None:
        self.by_handle: dict[bytes, Directory] = {}

    def roots(self) -> list[Directory]:
        """The directories whose trees are followed."""
        return [directory for directory in self.by_handle.values() if directory.trees]

    def enter(self, handle: bytes, path: Path, parent: Directory | None) -> Directory:
        """The directory of this handle is at `path`, in `parent` where that is known."""
        found = self.by_handle.get(handle)
        if found is None:
            found = self.by_handle[handle] = Directory(handle, path)
        if parent is not None:
            self._attach(found, parent, path[-1])
        elif found.parent is None:
            found.top = path
        return found

    def move(self, old: Directory, old_name: str, new: Directory, new_name: str) -> Directory | None:
        """A directory has another name; it, where it is known."""
        moved = old.below.get(old_name)
        if moved is not None:
            self._attach(moved, new, new_name)
        return moved

    def lose(self, parent: Directory, name: str) -> None:
        """The directory of this name has gone, or is somewhere that is not known."""
        gone = parent.below.get(name)
        if gone is not None:
            self._detach(gone)
            self.prune(gone)

    def prune(self, directory: Directory) -> list[tuple[Path, bytes]]:
        """Forget what nobody follows of `directory` and below: where those are, and their handles."""
        if directory.deep():
            return []
        paths = [(each.path(), each) for each in _down(directory)]
        gone = []
        for path, each in reversed(paths):  # children first
            if each.flat or each.trees:
                continue
            for child in list(each.below.values()):
                self._detach(child)
            self._detach(each)
            del self.by_handle[each.handle]
            gone.append((path, each.handle))
        return gone

    def _attach(self, directory: Directory, parent: Directory, name: str) -> None:
        if directory is parent or (directory.parent is parent and directory.name == name):
            return
        self.lose(parent, name)
        self._detach(directory)
        apart = self._cut(parent, directory)
        directory.parent, directory.name = parent, name
        parent.below[name] = directory
        if apart is not None:
            self.prune(apart)

    def _cut(self, below: Directory, above: Directory) -> Directory | None:
        """Never a ring: what we know of directories that move fast may be old. What is cut off from `above`."""
        here: Directory | None = below
        while here is not None and here.parent is not above:
            here = here.parent
        if here is not None:
            self._detach(here)
        return here

    def _detach(self, directory: Directory) -> None:
        """It stands alone, where it is."""
        parent = directory.parent
        if parent is not None:
            directory.top = directory.path()
            directory.parent = None
            del parent.below[directory.name]


def _down(directory: Directory) -> Iterator[Directory]:
    """`directory` and what is below it, but for the trees that are followed by themselves; parents first."""
    left = [directory]
    while left:
        here = left.pop()
        yield here
        left.extend(child for child in here.below.values() if not child.trees)
