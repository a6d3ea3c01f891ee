"""The names of the feeds: every `<source>-to-<destination>` that makes sense.

Four of them are presets, with a playbook each; the others are the same engine.
"""

from collections.abc import Mapping
from typing import Final

from mdti.errors import NotFound
from mdti.feeds.settings import FEED_SETTINGS
from mdti.settings import SENTINEL_WORKSPACE_ID

PRESETS: Final = (
    "mdti-to-anomali",
    "threatconnect-to-sentinel",
    "opencti-to-defender",
    "anyrun-to-defender",
)
ENRICHMENT: Final = "anomali-to-anomali"
"""The one feed onto itself: it tags what is there, and runs only where `THREATSTREAM_ENRICH` is."""

SOURCES: Final[Mapping[str, tuple[str, ...]]] = {
    "mdti": ("LOG_ANALYTICS_ENDPOINT", "SENTINEL_WORKSPACE_ID"),
    "threatconnect": ("THREATCONNECT_",),
    "opencti": ("OPENCTI_", "CONNECTOR_"),
    "anyrun": ("ANYRUN_",),
    "taxii": ("TAXII_",),
    "anomali": ("THREATSTREAM_URL", "THREATSTREAM_USERNAME", "THREATSTREAM_API_KEY"),
}
"""The sources, and how the names of their settings begin."""

DESTINATIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "anomali": (
        *SOURCES["anomali"],
        "THREATSTREAM_APPROVAL",
        "THREATSTREAM_EXPIRE_DAYS",
        "THREATSTREAM_MIN_SCORE",
    ),
    "sentinel": ("SENTINEL_",),
    "defender": ("DEFENDER_", "MICROSOFT_DEFENDER_INTEL_"),
}
"""The destinations, and how the names of their settings begin."""


_ENRICHMENT_SETTINGS: Final = (
    "FEED_SWEEP_PERCENT",
    "FEED_FULL_DAYS",
    "FEED_MAX_REPUTATIONS",
    *SOURCES["anomali"],
    "THREATSTREAM_MIN_SCORE",
    "THREATSTREAM_ENRICH",
)


def feed_names() -> tuple[str, ...]:
    """Return every feed: the presets first, then the others by name."""
    pairs = (f"{source}-to-{place}" for source in SOURCES for place in DESTINATIONS)
    others = sorted(name for name in pairs if name not in PRESETS and _is_feed(name))
    return (*PRESETS, *others)


def setting_names(feed: str) -> tuple[str, ...]:
    """Return the names of the settings that a feed reads."""
    source, destination = ends(feed)
    heads = ("FEED_", *SOURCES[source], *DESTINATIONS[destination])
    if feed == ENRICHMENT:
        heads = _ENRICHMENT_SETTINGS
    known = (SENTINEL_WORKSPACE_ID.name, *(setting.name for setting in FEED_SETTINGS))
    return tuple(name for name in known if name.startswith(heads))


def ends(feed: str) -> tuple[str, str]:
    """Return the source and the destination of a feed; NotFound for anything else."""
    if not _is_feed(feed):
        raise NotFound(
            f"There is no feed of the name {feed[:60]!a}.",
            hint=f"A feed is called <source>-to-<destination>: {', '.join(feed_names())}.",
        )
    source, _, destination = feed.partition("-to-")
    return source, destination


def _is_feed(name: str) -> bool:
    """Return whether it is a feed: not one onto itself but one, nor what Microsoft has already."""
    source, _, destination = name.partition("-to-")
    if name == ENRICHMENT:
        return True
    if source == destination or name == "mdti-to-sentinel":
        return False
    return source in SOURCES and destination in DESTINATIONS
