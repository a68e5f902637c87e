"""Names: what may be one, when two are the same, which match a pattern, and how they lie on disk.

Case is kept and matched without: `fold` maps each character by Unicode's simple uppercase, as Windows' $UpCase
does, so a name never changes its length (ss is not the sharp s), and nothing outside ASCII folds into ASCII.
Which of Unicode's versions counts is Python's; two servers with different ones differ in rare scripts only.

On disk a name is UTF-8. Windows allows unpaired surrogates, UTF-8 does not: they are written as the three bytes
that would encode them, and read back the same. Names on disk that no client could send back (bytes that are no
UTF-8, a character of `RESERVED`, a name that ends in a dot or a space) are neither listed nor found: refusing is
simpler to trust than an alias. The store keeps its own things under such names.
"""

import re
from collections.abc import Callable
from functools import lru_cache

from ..status import NT, Status

RESERVED = frozenset(map(chr, range(32))) | frozenset('"*/:<>?\\|')
"""What no component of a path may hold (MS-FSCC 2.1.5)."""
RESERVED_IN_STREAM = frozenset("\0/:\\")
"""What no stream name may hold (MS-FSCC 2.1.5.3)."""
LONGEST = 255
"""Bytes of a component in UTF-8 (Linux), and UTF-16 units of one (Windows)."""

_BAD = re.compile('[\x00-\x1f"*/:<>?\\\\|]')
_BAD_IN_STREAM = re.compile("[\x00/:\\\\]")
_SPLIT_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_TYPES = frozenset({"$DATA", "$INDEX_ALLOCATION"})


class _Upper(dict[str, str]):
    """Each character's fold, filled as they are met (at most one entry a character of Unicode)."""

    def __missing__(self, character: str) -> str:
        upper = character.upper()
        folded = upper if len(upper) == 1 and not upper.isascii() else character
        self[character] = folded
        return folded


_UPPER = _Upper({chr(code): chr(code).upper() for code in range(128)})


def fold(name: str) -> str:
    """What equal names share."""
    return name.upper() if name.isascii() else "".join(map(_UPPER.__getitem__, name))


def check(name: str) -> bytes:
    """`name` as it lies on disk; raises OBJECT_NAME_INVALID where it cannot be a component of a path."""
    raw = on_disk(name)
    if not name or len(raw) > LONGEST or name[-1] in ". " or _BAD.search(name):
        raise Status(NT.OBJECT_NAME_INVALID, repr(name))
    return raw


def check_stream(name: str) -> str:
    """`name` where it may name a stream; raises OBJECT_NAME_INVALID."""
    if not name or len(name) > LONGEST or _BAD_IN_STREAM.search(name):
        raise Status(NT.OBJECT_NAME_INVALID, f"stream {name!r}")
    return name


def shown(raw: str) -> str | None:
    """The name a client sees for one as `os.scandir` gives it, or None where none can be sent back for it."""
    if not raw.isascii():
        try:
            raw.encode()
        except UnicodeEncodeError:
            try:
                raw = raw.encode("utf-8", "surrogateescape").decode("utf-8", "surrogatepass")
            except UnicodeDecodeError:
                return None
            if _SPLIT_PAIR.search(raw):
                return None
    if raw[-1] in ". " or _BAD.search(raw):
        return None
    return raw


def on_disk(name: str) -> bytes:
    """`name`, which `check` has let pass or `shown` has given, as the system's calls take it."""
    return name.encode("utf-8", "surrogatepass")


def from_disk(raw: bytes) -> str:
    """A path component as the kernel spells it (a link's target, /proc/self/fd), whatever it holds."""
    try:
        return raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return raw.decode("utf-8", "surrogateescape")


def split(name: str) -> tuple[tuple[str, ...], str, str]:
    """A CREATE's name taken apart: the path's components, the stream's name, and the type that was named ("" where
    none was, else "$DATA" or "$INDEX_ALLOCATION").

    A slash parts components as a backslash does, which no Windows client sends and other servers take. Raises
    OBJECT_NAME_INVALID (MS-SMB2 3.3.5.9, MS-FSCC 2.1.5): a name that begins with a separator, a stream or a
    type with nothing in it where one must be, an unknown type.
    """
    if not name:
        return (), "", ""
    path, colon, rest = name.partition(":")
    stream, kind = _split_stream(rest) if colon else ("", "")
    if not path:
        return (), stream, kind
    components = tuple(path.replace("/", "\\").split("\\"))
    if components[-1] == "" and len(components) > 1 and not colon:
        components = components[:-1]
    for component in components:
        if component != "..":
            check(component)
    return _without_going_up(components), stream, kind


def _without_going_up(components: tuple[str, ...]) -> tuple[str, ...]:
    """The path without its ".."s: each takes away the name before it, which nobody looks for, as Samba has it."""
    if ".." not in components:
        return components
    path: list[str] = []
    for component in components:
        if component != "..":
            path.append(component)
        elif path:
            path.pop()
        else:
            raise Status(NT.OBJECT_PATH_SYNTAX_BAD, "above the share's root")
    return tuple(path)


def _split_stream(rest: str) -> tuple[str, str]:
    """The stream and type of "stream", "stream:type" or ":type"."""
    stream, colon, kind = rest.partition(":")
    if colon:
        named = kind.upper()
        if named not in _TYPES:
            raise Status(NT.OBJECT_NAME_INVALID, f"stream type {kind!r}")
        if named == "$INDEX_ALLOCATION":
            if stream and stream.upper() != "$I30":
                raise Status(NT.OBJECT_NAME_INVALID, f"index {stream!r}")
            return "", named
        return (check_stream(stream) if stream else ""), named
    return check_stream(stream), ""


# -- patterns (MS-FSA 2.1.4.4) ------------------------------------------------------------------------------


def is_pattern(name: str) -> bool:
    """Whether `name` holds a wildcard."""
    return any(character in name for character in '*?<>"')


@lru_cache(maxsize=256)
def compile_pattern(pattern: str) -> Callable[[str], bool]:
    """A function that says whether a name matches `pattern`, without case.

    Beside * and ? there are the three that DOS left: < matches up to the last dot or all, > one character or
    nothing at a dot or the end, " a dot or nothing at the end. The states of a set walk the name once, so the time
    is bounded by the product of both lengths, whatever the pattern.
    """
    folded = re.sub(r"\*+", "*", fold(pattern))
    if folded in ("*", "*.*", ""):  # as DOS wrote "all"
        return lambda name: True
    if not is_pattern(folded):
        return lambda name: fold(name) == folded
    if not is_pattern(folded.replace("*", "")):
        pieces = folded.split("*")
        return lambda name: _has_pieces(pieces, fold(name))
    return lambda name: _walk(folded, fold(name))


def match(pattern: str, name: str) -> bool:
    """Whether `name` matches `pattern`."""
    return compile_pattern(pattern)(name)


def _has_pieces(pieces: list[str], name: str) -> bool:
    """Whether `name` is these pieces in order with anything between them: a pattern with no wildcard but *."""
    first, *middle, last = pieces
    end = len(name) - len(last)
    if len(first) > end or not name.startswith(first) or not name.endswith(last):
        return False
    at = len(first)
    for piece in middle:
        found = name.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


def _walk(pattern: str, name: str) -> bool:
    """Run `pattern` over `name` as a machine whose states are the places in `pattern`."""
    last_dot = name.rfind(".")
    states = {0}
    for place, character in enumerate(name):
        after: set[int] = set()
        for state in _rest(pattern, states, "*<>" if character == "." else "*<"):
            if state < len(pattern):
                after.update(_step(pattern[state], state, character, place == last_dot))
        states = after
        if not states:
            return False
    # At the name's end the ones that may match nothing there do.
    return any(all(left in '*<>"' for left in pattern[state:]) for state in states)


def _rest(pattern: str, states: set[int], empty: str) -> set[int]:
    """`states`, and those reached from them where tokens in `empty` match nothing."""
    closed = set(states)
    for state in states:
        while state < len(pattern) and pattern[state] in empty and state + 1 not in closed:
            state += 1
            closed.add(state)
    return closed


def _step(token: str, state: int, character: str, last_dot: bool) -> tuple[int, ...]:
    """Where `token` at `state` leads on reading `character`."""
    if token == "*":
        return (state,)
    if token == "<":  # DOS_STAR eats all but the last dot
        return () if last_dot else (state,)
    if token == "?":
        return (state + 1,)
    if token == ">":  # DOS_QM: at a dot it matches nothing, which `_rest` has seen to
        return (state + 1,) if character != "." else ()
    wanted = "." if token == '"' else token  # DOS_DOT
    return (state + 1,) if wanted == character else ()
