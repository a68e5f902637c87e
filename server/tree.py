"""Tree connects (MS-SMB2 3.3.1.9) and the shares they lead to."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .store.base import Identity, Store

if TYPE_CHECKING:
    from .config import Share as ShareConfig
    from .session import Session


@dataclass(slots=True, eq=False)
class Share:
    """A share as served now. `store` is None for IPC$. A reload replaces `config` and keeps who is connected."""

    name: str
    config: "ShareConfig | None"
    store: Store | None
    connections: int = 0
    """Tree connects to it now."""
    kept: int = 0
    """Opens of it that are kept without a tree, for clients that are away."""
    retired: bool = False
    """Gone from the configuration: whoever is connected stays, no one else comes."""

    @property
    def continuously_available(self) -> bool:
        """Whether it has persistent handles (Share.IsCA)."""
        return self.config is not None and self.config.continuous_availability

    @property
    def pipes(self) -> bool:
        """Whether it is IPC$, whose files are named pipes."""
        return self.store is None


@dataclass(slots=True, eq=False)
class Tree:
    id: int
    session: "Session"
    share: Share
    access: int
    """MaximalAccess: what any open through this tree may be granted."""
    who: Identity
    encryption_required: bool = False
