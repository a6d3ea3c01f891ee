"""How each feed is, judged by its settings and by the report of its last run.

No vendor is asked: what a vendor has to say, the last run has heard and wrote down.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from mdti.errors import MdtiError, SettingError
from mdti.feeds.names import ENRICHMENT, PRESETS, ends
from mdti.feeds.report import COUNTS, UNLISTED
from mdti.feeds.settings import THREATSTREAM_ENRICH, environment_of
from mdti.feeds.sync import STILL_READ
from mdti.settings import Settings

STILL_GOING: Final = timedelta(days=1)
"""A run that stopped short is followed by the next at once, by a timer or playbook within hours."""

SOURCE_SIGNS: Final[Mapping[str, tuple[str, ...]]] = {
    "mdti": ("SENTINEL_WORKSPACE_ID",),
    "threatconnect": (
        "THREATCONNECT_URL",
        "THREATCONNECT_ACCESS_ID",
        "THREATCONNECT_SECRET_KEY",
        "THREATCONNECT_TOKEN",
    ),
    "opencti": ("OPENCTI_URL", "OPENCTI_TOKEN", "CONNECTOR_LIVE_STREAM_ID"),
    "anyrun": ("ANYRUN_TOKEN",),
    "taxii": ("TAXII_URL", "TAXII_COLLECTIONS"),
    "anomali": ("THREATSTREAM_USERNAME", "THREATSTREAM_API_KEY"),
}
"""Settings without a default, one of which somebody gives who begins to set a source up."""

DESTINATION_SIGNS: Final[Mapping[str, tuple[str, ...]]] = {
    "anomali": ("THREATSTREAM_USERNAME", "THREATSTREAM_API_KEY"),
    "sentinel": (),
    "defender": (),
}
"""The same for destinations; Microsoft's are there for every app."""


@dataclass(frozen=True, slots=True)
class Health:
    """How one feed is, and what to do about it; `facts` are of its last run."""

    state: Literal["ok", "warning", "failed"]
    message: str
    hint: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


def is_begun(feed: str, environment: Mapping[str, str]) -> bool:
    """Return whether somebody began to set both ends of a feed up.

    A connector's `config.yml` that is named and cannot be read is a beginning, too. The enrichment
    has a switch besides.
    """
    source, destination = ends(feed)
    try:
        known = environment_of(feed, environment)
        if feed == ENRICHMENT and not Settings(known).get(THREATSTREAM_ENRICH):
            return False
    except SettingError:
        return True
    heads, tails = SOURCE_SIGNS[source], DESTINATION_SIGNS[destination]
    return _given(known, heads) and (not tails or _given(known, tails))


def is_expected(feed: str, environment: Mapping[str, str]) -> bool:
    """Return whether a feed that has never run should be spoken of.

    Two vendors that are set up make several pairs, of which few are wanted: so only presets, which
    have a playbook and a timer, the enrichment, which has a switch, and feeds that have a setting
    of their own, such as `TAXII_TO_SENTINEL_FEED_MIN_CONFIDENCE`.
    """
    prefix = f"{feed.replace('-', '_').upper()}_"
    wanted = feed in (*PRESETS, ENRICHMENT) or any(name.startswith(prefix) for name in environment)
    return wanted and is_begun(feed, environment)


def judge(
    feed: str,
    report: Mapping[str, Any] | None,
    *,
    problem: MdtiError | None,
    begun: bool,
    now: datetime,
) -> Health:
    """Return how a feed is.

    `report` is of its last run; `problem` says why it cannot be built from its settings, and
    `begun` whether these are there at all.
    """
    try:
        return _judge(feed, report, problem=problem, begun=begun, now=now)
    except (KeyError, TypeError, ValueError):
        hint = f"The next run writes another: `mdti feed run {feed}`."
        return Health("failed", "The report of its last run cannot be read.", hint)


def _judge(
    feed: str,
    report: Mapping[str, Any] | None,
    *,
    problem: MdtiError | None,
    begun: bool,
    now: datetime,
) -> Health:
    start = f"Turn its playbook or its timer on, or run it: `mdti feed run {feed}`."
    facts = _facts(report) if report else {}
    ended = datetime.fromisoformat(report["finished"]) if report else now
    age, finished = now - ended, f"{ended:%Y-%m-%dT%H:%M:%SZ}"
    if report and not begun and (feed == ENRICHMENT or age > STILL_READ):
        message = f"It is switched off: it ran last {finished}; its settings are gone."
        return Health("ok", message, facts=facts)
    if problem is not None:
        hint = problem.hint or "Correct the app setting."
        return Health("failed", problem.message, hint, {"code": problem.code, **facts})
    if report is None:
        return Health("warning", "It is set up and has never run.", start)
    if (error := report["error"]) is not None:
        message = f"Its last run, {finished}, failed: {error['message']}"
        hint = error["details"].get("hint") or f"If it fails again, ask the vendor. {start}"
        return Health("failed", message, hint, {"code": error["code"], **facts})
    if age > STILL_READ:
        message = f"Its last run was {finished}: its rows are not renewed any more."
        return Health(
            "warning", message, f"{start} If it is not wanted, remove its settings.", facts
        )
    if report["pending"]:
        message = f"Its last run, {finished}, left {report['pending']:,} rows pending."
        hint = (
            "The next run tries them again. What stays pending waits for its turn within "
            "FEED_MAX_REPUTATIONS, or for the destination."
        )
        return Health("warning", message, hint, facts)
    if kept := report["skipped"].get(UNLISTED):
        message = f"Its last full reading did not list {kept:,} objects, which were kept."
        hint = "If they are gone for good, raise FEED_SWEEP_PERCENT for one full run."
        return Health("warning", message, hint, facts)
    if report["complete"]:
        return Health("ok", f"Its last run finished {finished}.{_approval(report)}", facts=facts)
    if age > STILL_GOING:
        message = f"Its last run, {finished}, stopped short, and none has followed."
        return Health("warning", message, start, facts)
    return Health("ok", f"Its last run, {finished}, stopped short; the next goes on.", facts=facts)


def _facts(report: Mapping[str, Any]) -> dict[str, Any]:
    counts = {name: report.get(name, 0) for name in COUNTS}
    return {"finished": report["finished"], **counts, "rejected": len(report["rejected"])}


def _approval(report: Mapping[str, Any]) -> str:
    waiting = report.get("awaitingApproval", 0)
    return f" {waiting:,} rows await approval at the destination." if waiting else ""


def _given(environment: Mapping[str, str], names: Iterable[str]) -> bool:
    return any(environment.get(name, "").strip() for name in names)
