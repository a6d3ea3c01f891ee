"""Where the indicators of a feed go, and by which rules."""

from dataclasses import dataclass

from mdti.feeds.policy import Policy
from mdti.feeds.ports import Destination


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How a destination is used.

    `capacity` is how many rows may be ours, `expire_days` how long a row lives unless renewed.
    `revision` changes with every setting that shapes a row, so that all rows are sent again.
    """

    capacity: int | None = None
    expire_days: int | None = None
    revision: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where the indicators of one feed go, and by which rules.

    Feeds into one place may be told apart there, by another action say: so each has its own. Routes
    of one `ledger` share their rows. `renews` is false for a feed that is no longer read: nobody
    knows whether its indicators still live, so its rows are left to expire.
    """

    destination: Destination
    ledger: str
    policy: Policy
    terms: Terms
    renews: bool = True
