"""Every setting: its name, default, form and meaning, in one place.

Settings are environment variables, which is what an app setting of a function app becomes. They
are read when something needs them, never at import; a value that is wrong raises `SettingError`
with the setting's name and what it should be.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar
from urllib.parse import urlsplit

from mdti.errors import SettingError
from mdti.incident_models import Severity
from mdti.setting import (
    Setting,
    choice,
    endpoint,
    flag,
    guids,
    is_loopback,
    number,
    text,
    words,
)

T = TypeVar("T")

KEY_VAULT_MARK = "@Microsoft.KeyVault("
SOVEREIGN_GRAPHS = (
    "graph.microsoft.us",
    "dod-graph.microsoft.us",
    "microsoftgraph.chinacloudapi.cn",
)
"""Graph roots whose schema has no threat intelligence (contracts, graph 4)."""


GUIDS = "a list of object ids (GUIDs), separated by commas"

ALLOWED_CALLERS = Setting(
    "MDTI_ALLOWED_CALLERS",
    "",
    GUIDS,
    "Object ids of the identities that may call while Easy Auth is on; empty admits nobody.",
    guids,
)
LEGACY_ROUTE = Setting(
    "LEGACY_ROUTE",
    "false",
    "true or false",
    "Offer /api/MDTIActor, the contract of the earlier Actor Lookup, for playbooks that call it.",
    flag,
)
GRAPH_ENDPOINT = Setting(
    "GRAPH_ENDPOINT",
    "https://graph.microsoft.com",
    "an https:// URL (http:// for loopback only)",
    "Root of Microsoft Graph.",
    endpoint,
)
GRAPH_API_VERSION = Setting(
    "GRAPH_API_VERSION",
    "v1.0",
    "v1.0 or beta",
    "Version of Microsoft Graph.",
    choice("v1.0", "beta"),
)
GRAPH_BATCH = Setting(
    "GRAPH_BATCH",
    "off",
    "on or off",
    "Send requests to Graph in batches of 20; /api/v1/status says whether the tenant accepts it.",
    flag,
)
LOOKUP_DEPTH = number(
    "LOOKUP_DEPTH", 2, 0, 3, "How many resolutions to follow outward from an IOC."
)
LOOKUP_LOOKBACK_DAYS = number(
    "LOOKUP_LOOKBACK_DAYS",
    365,
    0,
    36_500,
    "How old a resolution of the IOC itself may be to be followed, in days; 0 means any age.",
)
LOOKUP_MAX_HOSTS = number("LOOKUP_MAX_HOSTS", 250, 1, 5_000, "Most hosts one look-up may reach.")
LOOKUP_HUB_DEGREE = number(
    "LOOKUP_HUB_DEGREE",
    100,
    2,
    10_000,
    "An address with more registrable domains than this is a hub: named, not followed.",
)
LOOKUP_OVERLAP_SLACK_DAYS = number(
    "LOOKUP_OVERLAP_SLACK_DAYS",
    7,
    0,
    3_650,
    "How far apart in time two consecutive resolutions may lie and still belong together, in days.",
)
LOOKUP_MAX_REQUESTS = number(
    "LOOKUP_MAX_REQUESTS", 300, 1, 10_000, "Most questions one look-up may ask of Graph."
)
LOOKUP_TIMEOUT_SECONDS = number(
    "LOOKUP_TIMEOUT_SECONDS",
    90,
    1,
    600,
    "How long a look-up may take before it answers with what it has, in seconds.",
)
LOOKUP_CONCURRENCY = number(
    "LOOKUP_CONCURRENCY", 32, 1, 128, "Most requests to one API in flight at once."
)
LOOKUP_ALLOWLIST = Setting(
    "LOOKUP_ALLOWLIST",
    "",
    "a list of hosts, domains and CIDRs, separated by commas",
    "Our own and trusted infrastructure: named when met, never followed and never attributed.",
    text,
)
LOOKUP_ACTOR_RULES = Setting(
    "LOOKUP_ACTOR_RULES",
    "Cyber Threat Intelligence",
    "a list of rule names, separated by commas",
    "Reputation rules whose description is a list of actor names.",
    words,
)
BRIEF_MODE = Setting(
    "BRIEF_MODE",
    "act",
    "act or observe",
    "Whether the brief changes the incident, or only says what it would have changed.",
    choice("act", "observe"),
)
BRIEF_SEVERITY = Setting(
    "BRIEF_SEVERITY",
    "High",
    "Informational, Low, Medium or High",
    "Severity of an incident that is raised; a higher one stays.",
    choice("Informational", "Low", "Medium", "High"),
)
BRIEF_STATUS = Setting(
    "BRIEF_STATUS",
    "Active",
    "Active or keep",
    "Status of an incident that is raised.",
    choice("Active", "keep"),
)
BRIEF_TAG_PREFIX = Setting(
    "BRIEF_TAG_PREFIX",
    "",
    "text",
    "Put before each actor's name in a tag, such as `actor:`.",
    text,
)
BRIEF_LOOKUP_HOST_ENTITIES = Setting(
    "BRIEF_LOOKUP_HOST_ENTITIES",
    "false",
    "true or false",
    "Look up Host entities as well; they usually name our own machines.",
    flag,
)
COPILOT_MAX_PROMPTS = number(
    "COPILOT_MAX_PROMPTS", 3, 0, 4, "Most questions to Security Copilot for one incident."
)
COPILOT_REUSE_DAYS = number(
    "COPILOT_REUSE_DAYS",
    7,
    0,
    365,
    "How long an actor that Copilot described is linked to instead of asked about again, in days.",
)
STATE_DIR = Setting(
    "MDTI_STATE_DIR", "", "a folder", "Where state is kept when no storage account is set.", text
)
SENTINEL_WORKSPACE_ID = Setting(
    "SENTINEL_WORKSPACE_ID",
    "",
    "a workspace id (GUID)",
    "The workspace whose incidents may be answered with exposed machines of this tenant.",
    lambda value: (*guids(value), "")[0],
)

SETTINGS: tuple[Setting[object], ...] = tuple(
    value for value in list(globals().values()) if isinstance(value, Setting)
)
"""All settings of this package in the order of this file; tests compare the docs with them."""


@dataclass(frozen=True, slots=True)
class GraphSettings:
    """Where Microsoft Graph is and how to speak to it."""

    endpoint: str
    version: str
    batch: bool

    @property
    def root(self) -> str:
        """The root of the versioned API."""
        return f"{self.endpoint}/{self.version}"

    @property
    def audience(self) -> str:
        """The scope to ask a token for; the sandbox takes tokens for the real Graph."""
        if self.is_sandbox:
            return "https://graph.microsoft.com/.default"
        return f"{self.endpoint}/.default"

    @property
    def is_sandbox(self) -> bool:
        """True when Graph is a stand-in on this machine."""
        return is_loopback(self.endpoint)

    @property
    def is_sovereign(self) -> bool:
        """True for a national cloud, whose Graph has no threat intelligence."""
        return urlsplit(self.endpoint).hostname in SOVEREIGN_GRAPHS


@dataclass(frozen=True, slots=True)
class LookupSettings:
    """How far a look-up goes and what it costs at most."""

    depth: int
    lookback_days: int
    max_hosts: int
    hub_degree: int
    overlap_slack_days: int
    max_requests: int
    timeout_seconds: int
    concurrency: int
    allowlist: str
    actor_rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BriefSettings:
    """What a brief may change and how much it may ask of Copilot."""

    mode: Literal["act", "observe"]
    severity: Severity
    status: Literal["Active", "keep"]
    tag_prefix: str
    lookup_host_entities: bool
    max_prompts: int
    reuse_days: int
    workspace_id: str


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """Where state is kept: blobs by connection string or identity, else files."""

    connection_string: str
    blob_url: str
    client_id: str
    directory: str

    @property
    def in_blobs(self) -> bool:
        """True when a storage account is set."""
        return bool(self.connection_string or self.blob_url)


class Settings:
    """The settings as an environment gives them."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment

    def __repr__(self) -> str:
        return "Settings(...)"

    def get(self, setting: Setting[T]) -> T:
        """Return the value of one setting; raise `SettingError` when it is wrong."""
        value = self.raw(setting.name) or setting.default
        try:
            return setting.parse(value)
        except ValueError:
            shown = "" if len(value) > 60 else f", not '{value}'"
            raise SettingError(f"{setting.name} must be {setting.form}{shown}.") from None

    def raw(self, name: str) -> str:
        """Return an environment variable, or nothing; an unresolved secret is an error."""
        value = self.environment.get(name, "").strip()
        if value.startswith(KEY_VAULT_MARK):
            raise SettingError(
                f"{name} is an unresolved Key Vault reference.",
                hint="Check that the secret exists and that the app's identity may read it.",
            )
        return value

    @property
    def graph(self) -> GraphSettings:
        """Where Microsoft Graph is."""
        return GraphSettings(
            self.get(GRAPH_ENDPOINT), self.get(GRAPH_API_VERSION), self.get(GRAPH_BATCH)
        )

    @property
    def lookup(self) -> LookupSettings:
        """How far a look-up goes."""
        return LookupSettings(
            depth=self.get(LOOKUP_DEPTH),
            lookback_days=self.get(LOOKUP_LOOKBACK_DAYS),
            max_hosts=self.get(LOOKUP_MAX_HOSTS),
            hub_degree=self.get(LOOKUP_HUB_DEGREE),
            overlap_slack_days=self.get(LOOKUP_OVERLAP_SLACK_DAYS),
            max_requests=self.get(LOOKUP_MAX_REQUESTS),
            timeout_seconds=self.get(LOOKUP_TIMEOUT_SECONDS),
            concurrency=self.get(LOOKUP_CONCURRENCY),
            allowlist=self.get(LOOKUP_ALLOWLIST),
            actor_rules=self.get(LOOKUP_ACTOR_RULES),
        )

    @property
    def brief(self) -> BriefSettings:
        """What a brief may change."""
        return BriefSettings(
            mode="observe" if self.get(BRIEF_MODE) == "observe" else "act",
            severity=self._severity(),
            status="keep" if self.get(BRIEF_STATUS) == "keep" else "Active",
            tag_prefix=self.get(BRIEF_TAG_PREFIX),
            lookup_host_entities=self.get(BRIEF_LOOKUP_HOST_ENTITIES),
            max_prompts=self.get(COPILOT_MAX_PROMPTS),
            reuse_days=self.get(COPILOT_REUSE_DAYS),
            workspace_id=self.get(SENTINEL_WORKSPACE_ID),
        )

    def _severity(self) -> Severity:
        chosen = self.get(BRIEF_SEVERITY)
        severities: tuple[Severity, ...] = ("Informational", "Low", "Medium", "High")
        return next(severity for severity in severities if severity == chosen)

    @property
    def storage(self) -> StorageSettings:
        """Where state is kept; the names are those of Azure Functions' own storage settings."""
        account = self.raw("AzureWebJobsStorage__accountName")
        url = self.raw("AzureWebJobsStorage__blobServiceUri")
        if not url and account:
            url = f"https://{account}.blob.core.windows.net"
        return StorageSettings(
            connection_string=self.raw("AzureWebJobsStorage"),
            blob_url=url.rstrip("/"),
            client_id=self.raw("AzureWebJobsStorage__clientId"),
            directory=self.get(STATE_DIR),
        )
