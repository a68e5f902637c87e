"""How much the server logs, switched while it runs: `smbdirect-ctl debug [COMPONENT...] on|off`.

A component is a logger of this project; `smbdirect.` before its name may be left out (`connection`, `dispatch`),
and `transport.rdma` stands for all loggers below it.
"""

import logging
from collections.abc import Sequence

from smbdirect.wire import Malformed

ROOTS = ("smbdirect", "transport")
SWITCH = {"on": logging.DEBUG, "off": logging.INFO}


def components() -> list[str]:
    """What may be named, by its shortest name."""
    return sorted(name.removeprefix("smbdirect.") for name in _known() if name not in ROOTS)


def switch(arguments: Sequence[str]) -> dict[str, str]:
    """Carry out `debug ARGUMENTS`; the level that each component then has. Raises Malformed and changes nothing."""
    *names, last = arguments or ("",)
    if last not in SWITCH:
        raise Malformed("expected [COMPONENT...] on|off")
    unknown = [name for name in names if name not in components()]
    if unknown:
        raise Malformed(f"no component {', '.join(unknown)}; there are {', '.join(components())}")
    for name in names:
        _logger(name).setLevel(SWITCH[last])
    if not names:
        for known in _known():
            logging.getLogger(known).setLevel(logging.NOTSET)
        for root in ROOTS:
            logging.getLogger(root).setLevel(SWITCH[last])
    return {name: logging.getLevelName(_logger(name).getEffectiveLevel()) for name in components()}


def _known() -> list[str]:
    return [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in ROOTS]


def _logger(component: str) -> logging.Logger:
    root = component.partition(".")[0]
    return logging.getLogger(component if root in ROOTS else f"smbdirect.{component}")
