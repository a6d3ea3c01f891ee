"""Leases that are held for as long as a run lasts."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from mdti.errors import LeaseLost, StoreError
from mdti.store.base import Lease, Store

_SECONDS: Final = 60
_BEAT_SECONDS: Final = 20.0

_log = logging.getLogger(__name__)


@contextmanager
def held(
    store: Store,
    key: str,
    *,
    wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
) -> Iterator[Lease]:
    """Take a lease and renew it in the background until the body ends; LeaseLost when it is held.

    A call to a slow API may take longer than the term. `wait` is how the thread pauses; it returns
    True when the body is over.
    """
    with store.lease(key, seconds=_SECONDS) as lease:
        over = threading.Event()

        def beat() -> None:
            while not wait(over, _BEAT_SECONDS):
                try:
                    lease.renew()
                except LeaseLost:
                    return
                except StoreError:
                    # Two more beats fit into the term.
                    _log.warning("the lease %s could not be renewed", key)

        thread = threading.Thread(target=beat, name="feed-lease", daemon=True)
        thread.start()
        try:
            yield lease
        finally:
            over.set()
            thread.join()
