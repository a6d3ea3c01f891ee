"""What the doors ask of the feeds: list them, show one, run one."""

import json
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from mdti.errors import InputError, MdtiError
from mdti.feeds.health import Health, is_begun, is_expected, judge
from mdti.feeds.names import PRESETS, ends, feed_names, setting_names
from mdti.feeds.pace import Pace
from mdti.feeds.ports import Destination
from mdti.feeds.registry import Parts, Registry
from mdti.feeds.sync import RUN_SECONDS, Run, Sync
from mdti.job import JSON, Job
from mdti.net.deadline import Deadline
from mdti.store.base import Store

_log = logging.getLogger(__name__)

MAX_DEPTH_DAYS: Final = 3_650


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedRequest:
    """One run that is asked for.

    `depth_days` replaces how far back the source begins, `min_score` the floor of reputation.
    """

    feed: str
    depth_days: int | None = None
    min_score: int | None = None
    dry_run: bool = False
    full: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the request as a job keeps it."""
        return {
            "feed": self.feed,
            "depthDays": self.depth_days,
            "minScore": self.min_score,
            "dryRun": self.dry_run,
            "full": self.full,
        }

    def following(self, run: Run) -> "FeedRequest":
        """Return what goes on where a run of this stopped: what began does not begin anew."""
        return replace(self, dry_run=False, full=self.full and not run.begun)


def parse_feed(name: str, body: object) -> FeedRequest:
    """Return the run that a JSON body asks for.

    Raises NotFound for no name of a feed, InputError for anything the body may not say.
    """
    ends(name)
    if not isinstance(body, Mapping):
        raise InputError("The body must be a JSON object.")
    if unknown := sorted(set(body) - {"feed", "depthDays", "minScore", "dryRun", "full"}):
        raise InputError(f"Unknown property: {str(unknown[0])[:40]!a}.")
    return FeedRequest(
        feed=name,
        depth_days=_whole(body, "depthDays", 1, MAX_DEPTH_DAYS),
        min_score=_whole(body, "minScore", 0, 100),
        dry_run=_flag(body, "dryRun"),
        full=_flag(body, "full"),
    )


class Feeds:
    """The feeds of one app; safe for threads."""

    def __init__(
        self,
        environment: Mapping[str, str],
        parts: Parts,
        *,
        store: Store,
        clock: Callable[[], float],
    ) -> None:
        self._environment, self._parts, self._clock = environment, parts, clock
        self._registry = Registry(environment, parts)
        self._paces: dict[str, Pace] = {}
        self._following: dict[str, FeedRequest] = {}
        self._lock = threading.Lock()
        self._sync = Sync(
            store,
            route_of=self._registry.route,
            pace_of=self._pace,
            now=parts.now,
            sleep=parts.sleep,
        )

    def all(self) -> list[dict[str, Any]]:
        """Return every feed with its last run."""
        return [self.describe(name) for name in feed_names()]

    def describe(self, name: str) -> dict[str, Any]:
        """Return a feed: its ends, the names of its settings, and the report of its last run."""
        source, destination = ends(name)
        return {
            "name": name,
            "source": source,
            "destination": destination,
            "preset": name in PRESETS,
            "settings": list(setting_names(name)),
            "lastRun": self._sync.last(name),
        }

    def health(self) -> dict[str, Health]:
        """Return how each feed is that ran before or is set up; raise StoreError without a store.

        See `mdti.feeds.health` for which feeds count as set up. No vendor is asked.
        """
        found = {}
        for name in feed_names():
            report = self._sync.last(name)
            if report is not None or is_expected(name, self._environment):
                begun = is_begun(name, self._environment)
                found[name] = judge(
                    name, report, problem=self._problem(name), begun=begun, now=self._parts.now()
                )
        return found

    def run(self, request: FeedRequest) -> Run:
        """Run a feed once, for at most `RUN_SECONDS`; errors of the run are in its report."""
        feed = self._registry.feed(
            request.feed, depth_days=request.depth_days, min_score=request.min_score
        )
        return self._sync.run(
            feed,
            deadline=Deadline.after(RUN_SECONDS, clock=self._clock),
            full=request.full,
            dry_run=request.dry_run,
        )

    def perform(self, job: Job) -> tuple[int, str, bytes]:
        """Run the feed of a job; the answer is the report, also when it failed."""
        request = parse_feed(str(job.request.get("feed")), job.request)
        run = self.run(request)
        if run.again and not request.dry_run:
            with self._lock:
                self._following[job.id] = request.following(run)
        _log.log(
            logging.INFO if run.report.complete else logging.WARNING, "feed %s", run.report.line
        )
        error = run.report.error
        body = json.dumps(run.report.to_json(), ensure_ascii=False).encode()
        return 200 if error is None else error.http_status, JSON, body

    def following(self, job: Job) -> FeedRequest | None:
        """Return, once, the run that goes on where a job's run stopped short."""
        with self._lock:
            return self._following.pop(job.id, None)

    def _problem(self, name: str) -> MdtiError | None:
        try:
            self._registry.feed(name)
        except MdtiError as error:
            return error
        return None

    def _pace(self, destination: Destination) -> Pace:
        with self._lock:
            if destination.name not in self._paces:
                per_minute = destination.limits.per_minute
                self._paces[destination.name] = Pace(
                    per_minute, clock=self._clock, sleep=self._parts.sleep
                )
            return self._paces[destination.name]


def _whole(body: Mapping[str, Any], name: str, least: int, most: int) -> int | None:
    value = body.get(name)
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if value is not None and not (is_whole and least <= value <= most):
        raise InputError(f"`{name}` must be a whole number from {least} to {most:,}.")
    return value


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise InputError(f"`{name}` must be true or false.")
    return value
