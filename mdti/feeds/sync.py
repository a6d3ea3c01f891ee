"""One run of a feed: ingest, reputations, apply, report.

    source -> ingest (the feed's lease) -> mirror -> apply (the destination's lease) -> destination

Both stages begin from what is durable, so a run that was cut off anywhere is mended by the next.
"""

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from mdti.errors import Conflict, LeaseLost, MdtiError, SettingError
from mdti.feeds.apply import RESERVE, Applying
from mdti.feeds.hold import held
from mdti.feeds.ingest import Ask, ingest, score
from mdti.feeds.ledger import Ledger
from mdti.feeds.mirror import Mirror
from mdti.feeds.pace import Pace
from mdti.feeds.ports import Destination, Source
from mdti.feeds.report import Report, Tally
from mdti.feeds.route import Route
from mdti.net.deadline import Deadline
from mdti.store.base import Lease, Store

RUN_SECONDS: Final = 25 * 60.0
"""The time of one run; host.json ends a function after 30 minutes."""

STILL_READ: Final = timedelta(days=7)
"""A feed that has not run for longer is taken for switched off."""

_INGEST_SHARE: Final = 0.5
_BUSY_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """One source into one destination, and the rules between them.

    `frozen` says what may not change after the first run, such as the tenant that is written to:
    the ledger would be believed of another place. `full_days` is after how many days everything is
    read anew without being asked, `reputations` how many hosts one run may ask about.
    """

    name: str
    source: Source
    route: Route
    frozen: str = ""
    sweep_percent: int = 20
    full_days: int | None = None
    ask: Ask | None = None
    reputations: int = 0


@dataclass(frozen=True, slots=True)
class Run:
    """What a run did; `again` when it stopped for want of time and got somewhere.

    `begun` when a reading of everything began in it and is kept: the next run goes on with it.
    """

    report: Report
    again: bool
    begun: bool = False


class Sync:
    """Runs feeds over one store.

    `route_of` gives the route of every feed whose mirror is in the store; `pace_of` the pace of a
    destination, the same for the whole process. `folder` is where scratch files go, else the
    machine's own place for these.
    """

    def __init__(
        self,
        store: Store,
        *,
        route_of: Callable[[str], Route],
        pace_of: Callable[[Destination], Pace],
        now: Callable[[], datetime],
        sleep: Callable[[float], object],
        folder: Path | None = None,
    ) -> None:
        self._store = store
        self._route_of, self._pace_of = route_of, pace_of
        self._now, self._sleep, self._folder = now, sleep, folder

    def run(
        self, feed: Feed, *, deadline: Deadline, full: bool = False, dry_run: bool = False
    ) -> Run:
        """Run a feed once; a dry run reads, but changes nothing anywhere.

        `full` reads everything anew. Errors end in the report; raises Conflict when the feed is
        already running.
        """
        started, tally = self._now(), Tally()
        snapshots = 0
        with ExitStack() as stack:
            folder = Path(stack.enter_context(self._scratch()))
            lease = None if dry_run else self._own(feed, stack)
            mirror: Mirror | None = None
            try:
                if lease is not None:
                    self._freeze(feed, lease)
                mirror = Mirror(self._store, feed.name, folder, lease=lease)
                stack.callback(mirror.close)
                snapshots = mirror.snapshots
                full = full or self._is_due(feed, mirror) or self._is_lost(feed, mirror, folder)
                self._ingest(feed, mirror, full=full, deadline=deadline, tally=tally)
                self._apply(feed, mirror, folder, deadline, tally, own=lease)
            except MdtiError as error:
                tally.fail(error)
            cursor = mirror.cursor if mirror is not None else None
            begun = mirror is not None and mirror.snapshots > snapshots
            report = tally.report(
                feed=feed.name, started=started, finished=self._now(), cursor=cursor
            )
            if not dry_run:
                self._keep(report)
        moved = tally.read + tally.accepted + tally.removed > 0
        again = tally.remaining and moved and tally.error is None
        return Run(report, again=again, begun=begun)

    def last(self, feed: str) -> dict[str, Any] | None:
        """Return the report of the feed's last run as JSON, or None."""
        stored = self._store.read(f"feeds/runs/{feed}")
        document: dict[str, Any] | None = json.loads(stored.body) if stored else None
        return document

    def _ingest(
        self, feed: Feed, mirror: Mirror, *, full: bool, deadline: Deadline, tally: Tally
    ) -> None:
        mirror.keep_floor(feed.route.policy.min_reputation)
        share = Deadline.after(deadline.remaining() * _INGEST_SHARE, clock=deadline.clock)
        ingest(
            mirror,
            feed.source,
            full=full,
            sweep_percent=feed.sweep_percent,
            now=self._now,
            deadline=share,
            tally=tally,
        )
        if feed.ask is not None:
            score(
                mirror,
                feed.ask,
                policy=feed.route.policy,
                budget=feed.reputations,
                now=self._now(),
                deadline=share,
                tally=tally,
            )
        mirror.compact(now=self._now())

    def _apply(
        self,
        feed: Feed,
        mirror: Mirror,
        folder: Path,
        deadline: Deadline,
        tally: Tally,
        *,
        own: Lease | None,
    ) -> None:
        with ExitStack() as stack:
            lease: Lease | None = None
            if own is not None:
                lease = self._turn(feed, stack, deadline)
                if lease is None:
                    tally.remaining = True
                    return
                # Our mirror does not have what a holder of the feed after us has read.
                own.renew()
            ledger = Ledger(self._store, feed.route.ledger, folder, lease=lease)
            stack.callback(ledger.close)
            mirrors, routes = [mirror], [feed.route]
            for name, route in self._others(feed):
                other = Mirror(self._store, name, folder, lease=None)
                stack.callback(other.close)
                mirrors.append(other)
                floor = other.floor(route.policy.min_reputation)
                routes.append(replace(route, policy=replace(route.policy, min_reputation=floor)))
            executor: Executor | None = None
            if (parallel := feed.route.destination.limits.parallel) > 1:
                executor = stack.enter_context(ThreadPoolExecutor(parallel, "feed-call"))
            if own is not None and mirror.whole:
                ledger.add_contributor(feed.name)
            applying = Applying(
                ledger,
                mirrors,
                routes,
                pace=self._pace_of(feed.route.destination),
                hold=lease.renew if lease is not None else lambda: None,
                executor=executor,
                now=self._now,
                deadline=deadline,
                tally=tally,
                unread=self._unread(ledger, mirrors, feed.name),
            )
            if own is None:
                applying.rehearse()
                return
            applying.run()
            ledger.compact()

    def _others(self, feed: Feed) -> Iterator[tuple[str, Route]]:
        """Yield the other feeds into the same place that have ever run."""
        suffix = f"-to-{feed.route.destination.name}"
        for key in self._store.list_("feeds/mirrors/"):
            name, _, rest = key.removeprefix("feeds/mirrors/").partition("/")
            if rest != "pointer" or not name.endswith(suffix) or name == feed.name:
                continue
            try:
                route = self._route_of(name)
            except SettingError as error:
                raise SettingError(
                    f"{name} goes to the same place and cannot be judged: {error.message}",
                    hint=error.hint,
                ) from None
            if route.ledger == feed.route.ledger:
                yield name, replace(route, renews=self._is_read(name))

    def _unread(self, ledger: Ledger, mirrors: Sequence[Mirror], own: str) -> str | None:
        """Return a feed whose rows are here, but whose mirror was lost and is not whole yet."""
        whole = {mirror.feed for mirror in mirrors if mirror.whole}
        for feed in sorted(ledger.contributors - whole):
            if feed == own or self._is_read(feed):
                return feed
        return None

    def _is_due(self, feed: Feed, mirror: Mirror) -> bool:
        """Return whether everything is to be read anew, to find what was deleted unsaid."""
        if feed.full_days is None or mirror.cursor is None or mirror.in_snapshot:
            return False
        last = mirror.last_full
        return last is None or self._now() - last >= timedelta(days=feed.full_days)

    def _is_lost(self, feed: Feed, mirror: Mirror, folder: Path) -> bool:
        """Return whether rows of the feed are at its destination, but nothing is in its mirror.

        A first reading may begin later than these rows do, so it would have all of them removed.
        """
        if mirror.cursor is not None:
            return False
        ledger = Ledger(self._store, feed.route.ledger, folder, lease=None)
        try:
            return feed.name in ledger.contributors
        finally:
            ledger.close()

    def _is_read(self, feed: str) -> bool:
        report = self.last(feed)
        if report is None:
            return False
        return self._now() - datetime.fromisoformat(report["finished"]) < STILL_READ

    def _freeze(self, feed: Feed, lease: Lease) -> None:
        """Keep where the feed goes at its first run; raise SettingError when that has changed."""
        if not feed.frozen:
            return
        key = f"feeds/places/{feed.name}"
        stored = self._store.read(key)
        if stored is None:
            self._store.write(key, feed.frozen.encode(), lease=lease)
        elif stored.body.decode() != feed.frozen:
            raise SettingError(
                f"The feed {feed.name} went to {stored.body.decode()} before; its settings say "
                f"{feed.frozen}.",
                hint="Set them back; or, to begin anew and leave the rows there to expire, delete "
                f"feeds/places/{feed.name} from the state and what belongs to it in feeds/ledgers.",
            )

    def _own(self, feed: Feed, stack: ExitStack) -> Lease:
        try:
            return stack.enter_context(held(self._store, f"feeds/leases/{feed.name}"))
        except LeaseLost:
            raise Conflict(f"The feed {feed.name} is running already.") from None

    def _turn(self, feed: Feed, stack: ExitStack, deadline: Deadline) -> Lease | None:
        """Return the destination's lease when another feed has given it back, None if too late."""
        while True:
            try:
                return stack.enter_context(
                    held(self._store, f"feeds/leases/to-{feed.route.ledger}")
                )
            except LeaseLost:
                if deadline.remaining() <= RESERVE + _BUSY_SECONDS:
                    return None
                self._sleep(_BUSY_SECONDS)

    def _scratch(self) -> tempfile.TemporaryDirectory[str]:
        return tempfile.TemporaryDirectory(prefix="mdti-feed-", dir=self._folder)

    def _keep(self, report: Report) -> None:
        try:
            body = json.dumps(report.to_json(), ensure_ascii=False).encode()
            self._store.write(f"feeds/runs/{report.feed}", body)
        except MdtiError:
            return
