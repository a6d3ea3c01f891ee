"""Tokens for requests, renewed once for everybody whom the same token failed."""

import threading
from collections.abc import Callable

TokenSource = Callable[[str, bool], str]
"""`token(scope, renew)`: a bearer token; with `renew`, not the one it gave before."""


class Tokens:
    """A token source behind a lock for renewals.

    When a token dies, every request under way fails with it. Only the first of them renews; the
    others find that the token differs from the one that failed them.
    """

    def __init__(self, source: TokenSource) -> None:
        self._source = source
        self._renewing = threading.Lock()

    def get(self, scope: str) -> str:
        """Return a token for `scope`; raises what the source raises, an `IdentityError`."""
        return self._source(scope, False)

    def renew(self, scope: str, refused: str) -> None:
        """Make sure that the next token for `scope` is not `refused`."""
        with self._renewing:
            if self._source(scope, False) == refused:
                self._source(scope, True)
