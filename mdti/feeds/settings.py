"""Every setting of the feeds: its name, default, form and meaning.

A setting may be given for one feed alone: `ANYRUN_TO_DEFENDER_FEED_MIN_CONFIDENCE` is
`FEED_MIN_CONFIDENCE` of `anyrun-to-defender`. The OpenCTI connector's own names, and its
`config.yml`, mean for `opencti-to-defender` what they meant for the connector.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from mdti.errors import SettingError
from mdti.setting import Setting, choice, endpoint, flag, number, text, whole, words

_URL: Final = "an https:// URL (http:// for loopback only)"
_SEVERITIES: Final = ("informational", "low", "medium", "high")
_TLPS: Final = ("clear", "green", "amber", "amber+strict", "red")


def _plain(name: str, about: str, *, default: str = "") -> Setting[str]:
    return Setting(name, default, "text", about, text)


def _url(name: str, about: str, *, default: str = "") -> Setting[str]:
    return Setting(name, default, _URL, about, lambda value: endpoint(value) if value else "")


def _flag(name: str, about: str, *, default: str) -> Setting[bool]:
    return Setting(name, default, "true or false", about, flag)


def _list(name: str, about: str, *, default: str = "") -> Setting[tuple[str, ...]]:
    return Setting(name, default, "a list, separated by commas", about, words)


def _one_of(name: str, choices: tuple[str, ...], about: str, *, default: str = "") -> Setting[str]:
    form = choice(*choices)
    return Setting(
        name,
        default,
        f"one of {', '.join(choices)}",
        about,
        lambda value: form(value) if value else "",
    )


def _days(name: str, default: str, about: str) -> Setting[int | None]:
    days = whole(1, 3_650)
    return Setting(
        name,
        default,
        "a number of days from 1 to 3,650",
        about,
        lambda value: days(value) if value else None,
    )


FEED_MIN_CONFIDENCE = number(
    "FEED_MIN_CONFIDENCE",
    50,
    0,
    100,
    "Indicators of lower confidence are not sent; hosts with a floor of reputation go by that.",
)
FEED_SEVERITY_MAX = _one_of(
    "FEED_SEVERITY_MAX", _SEVERITIES, "Higher severities are lowered to this one."
)
FEED_SWEEP_PERCENT = number(
    "FEED_SWEEP_PERCENT",
    20,
    0,
    100,
    "Most of a feed's objects, in per cent, that one full reading may remove.",
)
FEED_FULL_DAYS = _days(
    "FEED_FULL_DAYS",
    "",
    "Everything is read anew after so many days, to find what was deleted unsaid; empty: if asked.",
)
FEED_MIN_REPUTATION = Setting(
    "FEED_MIN_REPUTATION",
    "",
    "empty, or a whole number from 0 to 100",
    "Hosts and addresses whose reputation at Microsoft is lower are not sent; empty does not ask.",
    lambda value: whole(0, 100)(value) if value else None,
)
FEED_MAX_REPUTATIONS = number(
    "FEED_MAX_REPUTATIONS",
    2_000,
    0,
    100_000,
    "Most hosts whose reputation one run of a feed asks for; the rest waits for the next.",
)
DEFENDER_ENDPOINT = _url(
    "DEFENDER_ENDPOINT",
    "Root of the Defender for Endpoint API.",
    default="https://api.securitycenter.microsoft.com",
)
DEFENDER_SCOPE = _plain(
    "DEFENDER_SCOPE",
    "Scope of the token for Defender.",
    default="https://api.securitycenter.microsoft.com/.default",
)
DEFENDER_ACTION = _plain(
    "DEFENDER_ACTION",
    "What Defender does: Audit, Warn, Block, BlockAndRemediate, or Score to decide by score.",
    default="Audit",
)
DEFENDER_EXPIRE_DAYS = number(
    "DEFENDER_EXPIRE_DAYS", 30, 1, 3_650, "How long a row lives in Defender unless renewed."
)
DEFENDER_CAPACITY = number(
    "DEFENDER_CAPACITY", 12_000, 1, 15_000, "Most rows of Defender's 15,000 that may be ours."
)
SENTINEL_TI_ENDPOINT = _url(
    "SENTINEL_TI_ENDPOINT",
    "Root of Microsoft Sentinel's upload API.",
    default="https://api.ti.sentinel.azure.com",
)
LOG_ANALYTICS_ENDPOINT = _url(
    "LOG_ANALYTICS_ENDPOINT",
    "Root of the Log Analytics query API.",
    default="https://api.loganalytics.azure.com",
)
SENTINEL_SOURCE_SYSTEM = _plain(
    "SENTINEL_SOURCE_SYSTEM",
    "Source of our indicators in Sentinel; empty is the feed's name. Frozen after the first run.",
)
SENTINEL_EXPIRE_DAYS = _days(
    "SENTINEL_EXPIRE_DAYS", "30", "How long an indicator lives in Sentinel unless renewed."
)
SENTINEL_TLP = _one_of(
    "SENTINEL_TLP", _TLPS, "Traffic light colour of indicators that come without one."
)
THREATSTREAM_URL = _url(
    "THREATSTREAM_URL", "Root of ThreatStream's API.", default="https://api.threatstream.com"
)
THREATSTREAM_USERNAME = _plain("THREATSTREAM_USERNAME", "User of ThreatStream's API.")
THREATSTREAM_API_KEY = _plain("THREATSTREAM_API_KEY", "That user's API key; a secret.")
THREATSTREAM_APPROVAL = _one_of(
    "THREATSTREAM_APPROVAL",
    ("import", "direct"),
    "Import for approval in ThreatStream, or directly, which needs the right Approve Intel.",
    default="import",
)
THREATSTREAM_EXPIRE_DAYS = number(
    "THREATSTREAM_EXPIRE_DAYS",
    90,
    1,
    3_650,
    "How long an observable lives in ThreatStream unless renewed; 90 is its own default.",
)
THREATSTREAM_MIN_SCORE = number(
    "THREATSTREAM_MIN_SCORE",
    75,
    0,
    100,
    "Hosts whose reputation at Microsoft is lower are not sent to ThreatStream, nor tagged there.",
)
THREATSTREAM_ENRICH = _flag(
    "THREATSTREAM_ENRICH",
    "Let anomali-to-anomali tag observables in ThreatStream with Microsoft's reputation of them.",
    default="false",
)
THREATCONNECT_URL = _url("THREATCONNECT_URL", "Root of the ThreatConnect API.")
THREATCONNECT_ACCESS_ID = _plain("THREATCONNECT_ACCESS_ID", "Access id of the API user.")
THREATCONNECT_SECRET_KEY = _plain("THREATCONNECT_SECRET_KEY", "Its secret key; a secret.")
THREATCONNECT_TOKEN = _plain(
    "THREATCONNECT_TOKEN", "An API token instead of access id and secret key; a secret."
)
THREATCONNECT_OWNERS = _list(
    "THREATCONNECT_OWNERS", "Owners whose indicators are read.", default="Common Community"
)
THREATCONNECT_TYPES = _list(
    "THREATCONNECT_TYPES",
    "Types of indicators that are read.",
    default="Address,Host,URL,File,EmailAddress",
)
THREATCONNECT_DEPTH_DAYS = _days(
    "THREATCONNECT_DEPTH_DAYS", "1", "How far back the first reading goes; empty reads everything."
)
ANYRUN_TAXII_URL = _url(
    "ANYRUN_TAXII_URL", "ANY.RUN's TAXII root.", default="https://api.any.run/v1/feeds/taxii2"
)
ANYRUN_TOKEN = _plain("ANYRUN_TOKEN", "API key of ANY.RUN TI Feeds; a secret.")
ANYRUN_DEPTH_DAYS = _days(
    "ANYRUN_DEPTH_DAYS", "30", "How far back the first reading goes; empty reads everything."
)
TAXII_URL = _url("TAXII_URL", "An API root of a TAXII 2.1 server.")
TAXII_COLLECTIONS = _list("TAXII_COLLECTIONS", "Ids of the collections that are read.")
TAXII_USERNAME = _plain("TAXII_USERNAME", "User at the TAXII server.")
TAXII_PASSWORD = _plain("TAXII_PASSWORD", "That user's password; a secret.")
TAXII_TOKEN = _plain("TAXII_TOKEN", "A bearer token instead of user and password; a secret.")
TAXII_DEPTH_DAYS = _days(
    "TAXII_DEPTH_DAYS", "", "How far back the first reading goes; empty reads everything."
)
OPENCTI_URL = _url("OPENCTI_URL", "Root of OpenCTI.")
OPENCTI_TOKEN = _plain("OPENCTI_TOKEN", "Token of OpenCTI; a secret.")
OPENCTI_CONFIG = _plain("OPENCTI_CONFIG", "Path of the connector's config.yml, if there is one.")
CONNECTOR_LIVE_STREAM_ID = _plain("CONNECTOR_LIVE_STREAM_ID", "Id of OpenCTI's live stream.")
CONNECTOR_LIVE_STREAM_LISTEN_DELETE = _flag(
    "CONNECTOR_LIVE_STREAM_LISTEN_DELETE", "Remove what OpenCTI removes.", default="true"
)
CONNECTOR_LIVE_STREAM_NO_DEPENDENCIES = _flag(
    "CONNECTOR_LIVE_STREAM_NO_DEPENDENCIES", "Leave out what objects depend on.", default="true"
)
DEFENDER_RESOURCE_PATH = _plain(
    "MICROSOFT_DEFENDER_INTEL_RESOURCE_PATH",
    "Path of the indicators below the Defender API's root.",
    default="api/indicators",
)
DEFENDER_PASSIVE_ONLY = _flag(
    "MICROSOFT_DEFENDER_INTEL_PASSIVE_ONLY",
    "Use the action Audit whatever else is set; Defender has no silent mode.",
    default="false",
)

FEED_SETTINGS: tuple[Setting[object], ...] = tuple(
    value for value in list(globals().values()) if isinstance(value, Setting)
)
"""All settings of the feeds in the order of this file."""

CONNECTOR_NAMES: Final = {
    "MICROSOFT_DEFENDER_INTEL_ACTION": "DEFENDER_ACTION",
    "MICROSOFT_DEFENDER_INTEL_EXPIRE_TIME": "DEFENDER_EXPIRE_DAYS",
    "MICROSOFT_DEFENDER_INTEL_BASE_URL": "DEFENDER_ENDPOINT",
    "MICROSOFT_DEFENDER_INTEL_TENANT_ID": "AZURE_TENANT_ID",
    "MICROSOFT_DEFENDER_INTEL_CLIENT_ID": "AZURE_CLIENT_ID",
    "MICROSOFT_DEFENDER_INTEL_CLIENT_SECRET": "AZURE_CLIENT_SECRET",
    "MICROSOFT_DEFENDER_INTEL_LOGIN_URL": "AZURE_AUTHORITY_HOST",
}
"""The OpenCTI connector's names, and what they are here for `opencti-to-defender`."""

_IDENTITY: Final = "AZURE_"
_HAS_IDENTITY: Final = (
    "IDENTITY_ENDPOINT",
    "AZURE_TENANT_ID",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_CERTIFICATE_PATH",
)
"""What says that there is an identity already: Azure's own, or one that is configured."""


def environment_of(feed: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment as one feed sees it: its own overrides under the plain names.

    The connector's credentials count as a whole, and only where there is no other identity: half
    of one and half of another would be a stranger's.
    Raises SettingError when the connector's `config.yml` cannot be read.
    """
    known = dict(environment)
    if feed == "opencti-to-defender":
        known = _config(environment.get(OPENCTI_CONFIG.name, "")) | known
        has_identity = any(known.get(name) for name in _HAS_IDENTITY)
        for theirs, ours in CONNECTOR_NAMES.items():
            if known.get(theirs) and not (has_identity and ours.startswith(_IDENTITY)):
                known[ours] = known[theirs]
        base = known.get("MICROSOFT_DEFENDER_INTEL_BASE_URL", "").strip().rstrip("/")
        if base and not known.get(DEFENDER_SCOPE.name):
            known[DEFENDER_SCOPE.name] = f"{base}/.default"
    prefix = f"{feed.replace('-', '_').upper()}_"
    own = {name.removeprefix(prefix): known[name] for name in known if name.startswith(prefix)}
    return known | own


def _config(path: str) -> dict[str, str]:
    if not path.strip():
        return {}
    try:
        import yaml
    except ImportError:
        raise SettingError(
            "OPENCTI_CONFIG names a YAML file, which needs PyYAML.",
            hint="Install the extra: pip install 'mdti-actor-lookup[opencti]'.",
        ) from None
    try:
        document = yaml.safe_load(Path(path.strip()).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        raise SettingError("OPENCTI_CONFIG must be the path of a YAML file.") from None
    return dict(_names("", document))


def _names(prefix: str, node: Any) -> Iterator[tuple[str, str]]:
    if isinstance(node, Mapping):
        for name, value in node.items():
            joined = f"{prefix}_{name}" if prefix else str(name)
            yield from _names(joined.upper().replace("-", "_"), value)
    elif isinstance(node, bool):
        yield prefix, str(node).lower()
    elif isinstance(node, list):
        yield prefix, ",".join(str(value) for value in node)
    elif node is not None:
        yield prefix, str(node)
