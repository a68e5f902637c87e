"""The network interfaces clients are told of, kept up to date while links come and go."""

import logging

from transport.discovery import Interface, interfaces, watch

log = logging.getLogger("smbdirect.interfaces")


class Interfaces:
    """What `transport.discovery` finds, read again after each change."""

    def __init__(self) -> None:
        self.current: list[Interface] = interfaces()

    async def follow(self) -> None:
        """Keep `current` current; runs until it is cancelled."""
        async for _ in watch():
            found = interfaces()
            if found != self.current:
                self.current = found
                log.info("interfaces: %s", ", ".join(interface.name for interface in found) or "none")
