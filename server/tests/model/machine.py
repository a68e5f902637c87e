"""The machines that are run: all that may happen, on a share of each kind."""

import asyncio

from server.config import Share
from server.tests.model.doing import Doing
from server.tests.model.lives import Lives


class Machine(Doing, Lives):
    def teardown(self) -> None:
        try:
            if not self.failed:
                while len(self._leaving()) < len([peer for peer in self.peers if peer.present]):
                    self.time_out()
                self._restart(1)
                self.listing(0)
                self._end()
        finally:
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.run_until_complete(asyncio.sleep(0))
            self.loop.close()


class Available(Machine):
    """On a share that is continuously available: what is asked to be persistent outlives the server."""

    share = Share("data", continuous_availability=True)
