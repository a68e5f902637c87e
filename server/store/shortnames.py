"""8.3 names: the second, short name of every file whose own is none (MS-FSCC 2.4.5, MS-FSA 2.1.1.5 Link.ShortName).

They are computed from the long name and stored nowhere: a character of the name, six of a hash with ~ before the
last, and three of the extension. So a file keeps its short name wherever it goes, and two in one directory can, once
in billions, share one: then neither is found by it. Programs of DOS's age ask for them; files can be opened, listed
and removed by them. Names that are 8.3 as they are have no other.
"""

import re
import string
import zlib
from collections.abc import Callable

from . import names

_DIGITS = string.digits + string.ascii_uppercase
_ALLOWED = frozenset(_DIGITS + "!#$%&'()-@^_`{}~")
_LETTER = "[A-Za-z0-9!#$%&'()@^_`{}~-]"
_SHORT = re.compile(rf"{_LETTER}{{1,8}}(\.{_LETTER}{{1,3}})?")
_COMPUTED = re.compile(rf"{_LETTER}[0-9A-Z]{{5}}~[0-9A-Z](\.{_LETTER}{{1,3}})?")


def short_name(name: str) -> str:
    """The 8.3 name of the file `name`: that itself where it is one."""
    if _SHORT.fullmatch(name):
        return name
    upper = name.upper()
    stem, dot, extension = upper.rpartition(".")
    if not dot:
        stem, extension = upper, ""
    first = next(filter(_ALLOWED.__contains__, stem), "_")
    digits = _hash(upper)
    extension = "".join(filter(_ALLOWED.__contains__, extension))[:3]
    return f"{first}{digits[:5]}~{digits[5]}" + (f".{extension}" if extension else "")


def other_name(name: str) -> str:
    """What a listing shows beside `name`: its 8.3 name, "" where it needs none."""
    return "" if name in (".", "..") or _SHORT.fullmatch(name) else short_name(name)


def may_be_computed(folded: str) -> bool:
    """Whether `folded` (in upper case) looks like a name that `short_name` makes."""
    return _COMPUTED.fullmatch(folded) is not None


def compile_pattern(pattern: str) -> Callable[[str], bool]:
    """A function that says whether a directory shows a file of a name for `pattern`: the name matches, or, where the
    pattern has their ~, its 8.3 name does (MS-FSA 2.1.5.6.3)."""
    matches = names.compile_pattern(pattern)
    if "~" not in pattern:
        return matches
    return lambda name: matches(name) or matches(other_name(name) or name)


def _hash(upper: str) -> str:
    """Six characters for a name."""
    rest = zlib.crc32(upper.encode("utf-16-le", "surrogatepass"))
    digits = ""
    for _ in range(6):
        rest, digit = divmod(rest, len(_DIGITS))
        digits += _DIGITS[digit]
    return digits
