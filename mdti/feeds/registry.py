"""The feeds, built from settings when they are run: one branch for each vendor's constructor."""

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, TypeVar, cast

from mdti.errors import SettingError
from mdti.feeds import settings as names
from mdti.feeds.destinations.defender import Defender
from mdti.feeds.destinations.sentinel import Sentinel
from mdti.feeds.destinations.threatstream import MARK, ThreatStream
from mdti.feeds.destinations.threatstream_enrichment import ThreatStreamEnrichment
from mdti.feeds.indicator import Severity, Tlp
from mdti.feeds.ingest import Ask
from mdti.feeds.names import ENRICHMENT, ends
from mdti.feeds.policy import Policy
from mdti.feeds.ports import Destination, Source
from mdti.feeds.route import Route, Terms
from mdti.feeds.sources.anomali import AnomaliSource
from mdti.feeds.sources.anyrun import AnyRunSource
from mdti.feeds.sources.mdti import MdtiSource
from mdti.feeds.sources.opencti import OpenCtiSource
from mdti.feeds.sources.taxii import TaxiiSource
from mdti.feeds.sources.threatconnect import ApiToken, HmacKey, ThreatConnectSource
from mdti.feeds.sync import Feed
from mdti.feeds.values import Values
from mdti.net.transport import Transport
from mdti.setting import Setting
from mdti.settings import SENTINEL_WORKSPACE_ID, Settings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Parts:
    """What feeds are built with.

    `transport_of` gives the transport for a feed's own environment; `ask` asks for reputations.
    """

    transport_of: Callable[[Mapping[str, str]], Transport]
    values: Values
    ask: Ask
    now: Callable[[], datetime]
    sleep: Callable[[float], object]


class Registry:
    """Builds feeds from settings; a setting that is wrong is named when its feed is built."""

    def __init__(self, environment: Mapping[str, str], parts: Parts) -> None:
        self._environment, self._parts = environment, parts

    def feed(
        self, name: str, *, depth_days: int | None = None, min_score: int | None = None
    ) -> Feed:
        """Return a feed, ready to run.

        `depth_days` replaces the source's own setting, `min_score` the floor of reputation. Raises
        NotFound for no name of a feed, SettingError for what is not set or not switched on.
        """
        source, _ = ends(name)
        settings = self._settings(name)
        if name == ENRICHMENT and not settings.get(names.THREATSTREAM_ENRICH):
            raise SettingError(
                f"{ENRICHMENT} tags what is in ThreatStream already, and is not switched on.",
                hint="Set THREATSTREAM_ENRICH to true.",
            )
        route = self.route(name)
        if min_score is not None:
            route = replace(route, policy=replace(route.policy, min_reputation=min_score))
        asks = route.policy.min_reputation is not None
        return Feed(
            name=name,
            source=self._source(
                source, settings, depth_days, bare_without=MARK if name == ENRICHMENT else None
            ),
            route=route,
            frozen=_frozen(name, settings),
            full_days=settings.get(names.FEED_FULL_DAYS),
            sweep_percent=settings.get(names.FEED_SWEEP_PERCENT),
            ask=self._parts.ask if asks else None,
            reputations=settings.get(names.FEED_MAX_REPUTATIONS),
        )

    def route(self, name: str) -> Route:
        """Return where a feed goes, and by which rules."""
        _, place = ends(name)
        settings = self._settings(name)
        destination: Destination
        if place == "defender":
            defender = self._defender(settings)
            destination, terms = defender, _terms(defender)
        elif place == "sentinel":
            sentinel = self._sentinel(name, settings)
            destination, terms = sentinel, _terms(sentinel)
        elif name == ENRICHMENT:
            tags = self._enrichment(settings)
            destination, terms = tags, _terms(tags)
        else:
            stream = self._threatstream(name, settings)
            destination, terms = stream, _terms(stream)
        return Route(
            destination=destination,
            ledger=_ledger(name, settings),
            policy=_policy(name, settings),
            terms=terms,
        )

    def _settings(self, name: str) -> Settings:
        return Settings(names.environment_of(name, self._environment))

    def _source(
        self,
        source: str,
        settings: Settings,
        depth_days: int | None,
        *,
        bare_without: str | None,
    ) -> Source:
        transport = self._parts.transport_of(settings.environment)
        values, now = self._parts.values, self._parts.now
        if source == "mdti":
            return MdtiSource(
                url=settings.get(names.LOG_ANALYTICS_ENDPOINT),
                workspace_id=_needed(settings, SENTINEL_WORKSPACE_ID),
                transport=transport,
                values=values,
            )
        if source == "threatconnect":
            owners = settings.get(names.THREATCONNECT_OWNERS)
            types = settings.get(names.THREATCONNECT_TYPES)
            return ThreatConnectSource(
                url=_needed(settings, names.THREATCONNECT_URL),
                credentials=_threatconnect_key(settings),
                owners=owners,
                types=types,
                depth_days=depth_days or settings.get(names.THREATCONNECT_DEPTH_DAYS),
                transport=transport,
                values=values,
                now=now,
            )
        if source == "opencti":
            return OpenCtiSource(
                url=_needed(settings, names.OPENCTI_URL),
                token=_needed(settings, names.OPENCTI_TOKEN),
                stream_id=_needed(settings, names.CONNECTOR_LIVE_STREAM_ID),
                listen_delete=settings.get(names.CONNECTOR_LIVE_STREAM_LISTEN_DELETE),
                no_dependencies=settings.get(names.CONNECTOR_LIVE_STREAM_NO_DEPENDENCIES),
                values=values,
            )
        if source == "anyrun":
            return AnyRunSource(
                url=settings.get(names.ANYRUN_TAXII_URL),
                token=_needed(settings, names.ANYRUN_TOKEN),
                depth_days=depth_days or settings.get(names.ANYRUN_DEPTH_DAYS),
                transport=transport,
                values=values,
                now=now,
            )
        if source == "anomali":
            return AnomaliSource(
                url=settings.get(names.THREATSTREAM_URL),
                username=_needed(settings, names.THREATSTREAM_USERNAME),
                api_key=_needed(settings, names.THREATSTREAM_API_KEY),
                transport=transport,
                values=values,
                bare_without=bare_without,
            )
        collections = _needed(settings, names.TAXII_COLLECTIONS)
        return TaxiiSource(
            url=_needed(settings, names.TAXII_URL),
            collections=collections,
            authorization=_taxii_authorization(settings),
            depth_days=depth_days or settings.get(names.TAXII_DEPTH_DAYS),
            transport=transport,
            values=values,
            now=now,
        )

    def _defender(self, settings: Settings) -> Defender:
        return Defender(
            transport=self._parts.transport_of(settings.environment),
            values=self._parts.values,
            endpoint=settings.get(names.DEFENDER_ENDPOINT),
            scope=settings.get(names.DEFENDER_SCOPE),
            action=settings.get(names.DEFENDER_ACTION),
            passive_only=settings.get(names.DEFENDER_PASSIVE_ONLY),
            expire_days=settings.get(names.DEFENDER_EXPIRE_DAYS),
            capacity=settings.get(names.DEFENDER_CAPACITY),
            resource_path=settings.get(names.DEFENDER_RESOURCE_PATH),
            now=self._parts.now,
        )

    def _sentinel(self, name: str, settings: Settings) -> Sentinel:
        return Sentinel(
            transport=self._parts.transport_of(settings.environment),
            values=self._parts.values,
            workspace_id=_needed(settings, SENTINEL_WORKSPACE_ID),
            source_system=_source_system(name, settings),
            endpoint=settings.get(names.SENTINEL_TI_ENDPOINT),
            expire_days=settings.get(names.SENTINEL_EXPIRE_DAYS),
            default_tlp=cast("Tlp | None", settings.get(names.SENTINEL_TLP) or None),
            now=self._parts.now,
        )

    def _threatstream(self, name: str, settings: Settings) -> ThreatStream:
        return ThreatStream(
            transport=self._parts.transport_of(settings.environment),
            values=self._parts.values,
            username=_needed(settings, names.THREATSTREAM_USERNAME),
            api_key=_needed(settings, names.THREATSTREAM_API_KEY),
            url=settings.get(names.THREATSTREAM_URL),
            approval=cast('Literal["import", "direct"]', settings.get(names.THREATSTREAM_APPROVAL)),
            expire_days=settings.get(names.THREATSTREAM_EXPIRE_DAYS),
            notes=f"MDTI Actor Lookup: feed {name}",
            now=self._parts.now,
            sleep=self._parts.sleep,
        )

    def _enrichment(self, settings: Settings) -> ThreatStreamEnrichment:
        return ThreatStreamEnrichment(
            transport=self._parts.transport_of(settings.environment),
            values=self._parts.values,
            username=_needed(settings, names.THREATSTREAM_USERNAME),
            api_key=_needed(settings, names.THREATSTREAM_API_KEY),
            url=settings.get(names.THREATSTREAM_URL),
            now=self._parts.now,
            sleep=self._parts.sleep,
        )


def _needed(settings: Settings, setting: Setting[T]) -> T:
    value = settings.get(setting)
    if not value:
        raise SettingError(f"{setting.name} is missing.", hint=setting.about)
    return value


def _policy(name: str, settings: Settings) -> Policy:
    _, place = ends(name)
    if name == ENRICHMENT:
        return Policy(min_reputation=settings.get(names.THREATSTREAM_MIN_SCORE))
    floor = settings.get(names.FEED_MIN_REPUTATION)
    if place == "anomali":
        floor = settings.get(names.THREATSTREAM_MIN_SCORE)
    return Policy(
        min_confidence=settings.get(names.FEED_MIN_CONFIDENCE),
        min_reputation=floor,
        severity_max=cast("Severity | None", settings.get(names.FEED_SEVERITY_MAX) or None),
    )


def _terms(destination: Defender | Sentinel | ThreatStream | ThreatStreamEnrichment) -> Terms:
    return Terms(
        capacity=destination.limits.capacity,
        expire_days=destination.expire_days,
        revision=destination.revision,
    )


def _ledger(name: str, settings: Settings) -> str:
    """Return the name of the place: Sentinel keeps source systems apart, so each is one.

    So do tags and imported rows in ThreatStream: what is sent as the one is not taken back there.
    """
    _, place = ends(name)
    if name == ENRICHMENT:
        return "anomali-enrichment"
    if place != "sentinel":
        return place
    digest = hashlib.sha256(_source_system(name, settings).encode()).hexdigest()
    return f"sentinel-{digest[:12]}"


def _frozen(name: str, settings: Settings) -> str:
    _, place = ends(name)
    if place != "sentinel":
        return ""
    workspace = settings.get(SENTINEL_WORKSPACE_ID)
    return f"workspace {workspace}, source system {_source_system(name, settings)}"


def _source_system(name: str, settings: Settings) -> str:
    return settings.get(names.SENTINEL_SOURCE_SYSTEM) or f"mdti {name}"


def _threatconnect_key(settings: Settings) -> HmacKey | ApiToken:
    if token := settings.get(names.THREATCONNECT_TOKEN):
        return ApiToken(token)
    return HmacKey(
        _needed(settings, names.THREATCONNECT_ACCESS_ID),
        _needed(settings, names.THREATCONNECT_SECRET_KEY),
    )


def _taxii_authorization(settings: Settings) -> str:
    if token := settings.get(names.TAXII_TOKEN):
        return f"Bearer {token}"
    user = _needed(settings, names.TAXII_USERNAME)
    pair = f"{user}:{_needed(settings, names.TAXII_PASSWORD)}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"
