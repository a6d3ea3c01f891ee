"""Import sessions of ThreatStream, as the ledger keeps them (contracts, opencti-... 3.3)."""

from dataclasses import dataclass
from typing import Final

WORKING: Final = frozenset({"processing", "approving"})
"""Statuses that pass by themselves."""
OPEN: Final = WORKING | {"done", "rejecting"}
"""Statuses of a session that may still be approved; `done` is ready for review."""
WAITS_FOR_APPROVAL: Final = "waits for approval in ThreatStream"


@dataclass(frozen=True, slots=True)
class Session:
    """An import session as the ledger keeps it, in the place of a row's id.

    `digest` is the shape that was imported; `seen` when the session was found approved and its
    value was not there.
    """

    number: str
    digest: str
    seen: bool = False

    @classmethod
    def of(cls, remote_id: str | None) -> "Session | None":
        """Return the session that a `remote_id` names, or None."""
        kind, *parts = (remote_id or "").split(":")
        if kind != "session" or len(parts) not in (2, 3):
            return None
        return cls(parts[0], parts[1], len(parts) == 3)

    @property
    def remote_id(self) -> str:
        """The session as the ledger keeps it."""
        return ":".join(("session", self.number, self.digest, *(("seen",) if self.seen else ())))
