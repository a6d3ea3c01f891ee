"""The look-up: from hosts to the actors that own the infrastructure around them.

Reputation of the seeds, walk, reputation of what was reached, claims, attribution: each step is
pure or asks many things of Graph at once. A failure of the whole API is raised; a failure of one
question is a gap in the answer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from datetime import datetime, timedelta

from mdti import __version__
from mdti.attribution import article_ids, attribute, rule_claims, worth_asking
from mdti.cache import (
    ARTICLE_SECONDS,
    PASSIVE_DNS_SECONDS,
    REPUTATION_SECONDS,
    Memory,
    StoredLookups,
)
from mdti.chain import Budget, Graph, measure, walk
from mdti.client import MdtiClient
from mdti.errors import DeadlineExceeded, MdtiError
from mdti.graph_api import is_fatal
from mdti.index import ActorIndex, ActorIndexes
from mdti.infrastructure import Infrastructure
from mdti.models import (
    Article,
    Claim,
    Gap,
    Host,
    HostReport,
    Lookup,
    LookupOptions,
    Reputation,
    Resolution,
    Resolutions,
    Stats,
)
from mdti.net.deadline import Deadline
from mdti.net.meter import Meter
from mdti.pruning import WalkRules, degree, degree_limit, usable
from mdti.settings import LookupSettings

MAX_ARTICLES = 30
"""Articles that one look-up reads; a reputation links one or two."""

_NOT_ASKED = "behind a shared address: checked against the intel profiles only"
_RESERVE = 0.3
"""Share of the time that is kept for reputations and articles when the walk is long."""


@dataclass(slots=True)
class _Run:
    """One call: its time, its meter and what it has found out so far."""

    at: datetime
    deadline: Deadline
    meter: Meter
    rules: WalkRules
    index: ActorIndex
    reputations: dict[Host, Reputation]
    gaps: list[Gap]
    asked: frozenset[Host] = frozenset()
    hits: int = 0


class Lookups:
    """Looks hosts up; one per process, safe for threads."""

    def __init__(
        self,
        *,
        client: MdtiClient,
        indexes: ActorIndexes,
        memory: Memory,
        stored: StoredLookups,
        infrastructure: Infrastructure,
        settings: LookupSettings,
        now: Callable[[], datetime],
        clock: Callable[[], float],
    ) -> None:
        self._client, self._indexes, self._stored = client, indexes, stored
        self._infrastructure, self._settings = infrastructure, settings
        self._now, self._clock = now, clock
        self._reputations = memory.shelf(
            "reputation", seconds=REPUTATION_SECONDS, sized=_reputation_bytes
        )
        self._passive_dns = memory.shelf(
            "passiveDns", seconds=PASSIVE_DNS_SECONDS, sized=_resolutions_bytes
        )
        self._articles = memory.shelf("article", seconds=ARTICLE_SECONDS, sized=_article_bytes)

    def look_up(
        self,
        seeds: Sequence[Host],
        *,
        at: datetime | None = None,
        options: LookupOptions,
        deadline: Deadline,
    ) -> tuple[Lookup, ...]:
        """Return one look-up for each seed, in their order.

        `at` is the time the question is about, the present when None. Raises when Graph as a whole
        cannot be used: no identity, no consent, no licence, no API.
        """
        started = self._clock()
        meter = Meter()
        index = self._indexes.current(deadline=deadline, meter=meter)
        rules = self._rules(options)
        version = self._version(options, index, at)
        known = self._stored.read_all(seeds, version, deadline=deadline)
        wanted = [seed for seed in dict.fromkeys(seeds) if seed not in known]
        made: dict[Host, Lookup] = {}
        run = _Run(min(at or self._now(), self._now()), deadline, meter, rules, index, {}, [])
        if wanted:
            made = self._make(wanted, run)
        self._stored.write_all(made.values(), version)
        counters = meter.counters()
        stats = Stats(
            requests=counters.requests,
            throttled=counters.throttled,
            cache_hits=run.hits + len(known),
            elapsed_seconds=round(self._clock() - started, 3),
        )
        return tuple(replace((known | made)[seed], stats=stats) for seed in seeds)

    def articles(
        self, ids: Sequence[str], *, deadline: Deadline, meter: Meter | None = None
    ) -> Mapping[str, Article | MdtiError]:
        """Return articles by id, from memory where possible."""
        return self._articles.get_all(
            ids,
            lambda missing: self._client.articles(missing, deadline=deadline, meter=meter),
            deadline=deadline,
        ).found

    def _rules(self, options: LookupOptions) -> WalkRules:
        return WalkRules(
            classify=self._infrastructure.standing,
            registrable=self._infrastructure.registrable,
            depth=options.depth,
            lookback_days=options.lookback_days,
            max_hosts=options.max_hosts,
            hub_degree=self._settings.hub_degree,
            overlap_slack=timedelta(days=self._settings.overlap_slack_days),
        )

    def _version(self, options: LookupOptions, index: ActorIndex, at: datetime | None) -> str:
        """Return what a stored answer depends on, besides the host and the world."""
        moment = at.isoformat() if at else "now"
        asked = (options.depth, options.lookback_days, options.max_hosts, moment)
        lists = self._infrastructure.snapshot
        return f"{__version__} {asked} {astuple(self._settings)} {index.version} {lists}"

    def _make(self, seeds: Sequence[Host], run: _Run) -> dict[Host, Lookup]:
        gap = run.index.gap(self._now())
        if gap is not None:
            run.gaps.append(gap)
        self._read_reputations(seeds, run, fatal=True)
        total = run.deadline.remaining()
        budget = Budget(
            max_requests=self._settings.max_requests,
            expired=lambda: run.deadline.remaining() <= total * _RESERVE,
        )
        graph = walk(seeds, self._fetch(run), at=run.at, rules=run.rules, budget=budget)
        run.asked = worth_asking(graph)
        close = [host for host in graph.nodes if host in run.asked and host not in seeds]
        self._read_reputations(close, run, fatal=False)
        claims = self._claims(graph, run)
        graph = measure(graph, claims, self._fetch(run), rules=run.rules)
        return {seed: self._answer(seed, graph, claims, run) for seed in seeds}

    def reputations(
        self, hosts: Sequence[Host], *, deadline: Deadline
    ) -> Mapping[Host, Reputation | MdtiError]:
        """Return what Microsoft says of each host, from memory where a look-up has asked before.

        Raises when Graph as a whole cannot be used.
        """
        answers = self._reputations.get_all(
            hosts,
            lambda missing: self._client.reputations(missing, deadline=deadline),
            deadline=deadline,
        )
        for answer in answers.found.values():
            if isinstance(answer, MdtiError) and is_fatal(answer):
                raise answer
        return answers.found

    def _read_reputations(self, hosts: Sequence[Host], run: _Run, *, fatal: bool) -> None:
        answers = self._reputations.get_all(
            hosts,
            lambda missing: self._client.reputations(
                missing, deadline=run.deadline, meter=run.meter
            ),
            deadline=run.deadline,
        )
        run.hits += answers.hits
        for host in hosts:
            answer = answers.found[host]
            if isinstance(answer, Reputation):
                run.reputations[host] = answer
            elif fatal and is_fatal(answer):
                raise answer
            else:
                run.gaps.append(_gap("reputation", answer, host))

    def _fetch(self, run: _Run) -> Callable[[Sequence[Host]], Mapping[Host, Resolutions | Gap]]:
        def enough(host: Host, records: Sequence[Resolution]) -> bool:
            edges = usable(records, run.at)
            return degree(host, edges, at=run.at, rules=run.rules) > degree_limit(host, run.rules)

        def fetch(hosts: Sequence[Host]) -> Mapping[Host, Resolutions | Gap]:
            answers = self._passive_dns.get_all(
                [self._passive_dns_key(host, run) for host in hosts],
                lambda keys: _keyed(
                    keys,
                    self._client.passive_dns(
                        [key[0] for key in keys],
                        enough=enough,
                        deadline=run.deadline,
                        meter=run.meter,
                    ),
                ),
                deadline=run.deadline,
            )
            run.hits += answers.hits
            found: dict[Host, Resolutions | Gap] = {}
            for (host, _), answer in answers.found.items():
                if isinstance(answer, MdtiError):
                    found[host] = _gap("passiveDns", answer, host)
                    continue
                found[host] = answer
                if answer.unreadable:
                    records = "record" if answer.unreadable == 1 else "records"
                    lost = f"{answer.unreadable:,} {records} could not be read"
                    run.gaps.append(Gap("passiveDns", lost, host))
            return found

        return fetch

    def _passive_dns_key(self, host: Host, run: _Run) -> tuple[Host, object]:
        """Return the key of a host's passive DNS: where paging stops depends on what was asked."""
        return (host, (run.at.date(), run.rules.lookback_days, run.rules.hub_degree))

    def _claims(self, graph: Graph, run: _Run) -> Mapping[Host, Sequence[Claim]]:
        rules = {host: reputation.rules for host, reputation in run.reputations.items()}
        linked = {
            article_id: host
            for host, found in rules.items()
            for rule in found
            for article_id in article_ids(rule.url or "", rule.description)
        }
        articles: dict[str, Article] = {}
        wanted = sorted(linked)
        if len(wanted) > MAX_ARTICLES:
            left = len(wanted) - MAX_ARTICLES
            run.gaps.append(Gap("article", f"{left} linked articles were not read"))
        answers = self.articles(wanted[:MAX_ARTICLES], deadline=run.deadline, meter=run.meter)
        for article_id, answer in answers.items():
            if isinstance(answer, Article):
                articles[article_id] = answer
            else:
                run.gaps.append(_gap("article", answer, linked[article_id]))
        claims = {
            host: (
                *run.index.claims(host),
                *rule_claims(
                    rules.get(host, ()),
                    articles,
                    run.index.names,
                    actor_rules=self._settings.actor_rules,
                ),
            )
            for host in graph.nodes
        }
        return {host: found for host, found in claims.items() if found}

    def _answer(
        self, seed: Host, graph: Graph, claims: Mapping[Host, Sequence[Claim]], run: _Run
    ) -> Lookup:
        reached = graph.paths[seed]
        actors = attribute(
            graph,
            seed,
            claims,
            names=run.index.names,
            registrable=run.rules.registrable,
        )
        gaps = {g for g in (*run.gaps, *graph.gaps) if g.host is None or g.host in reached}
        return Lookup(
            seed=seed,
            at=run.at,
            reputation=run.reputations.get(seed),
            actors=actors,
            hosts=_reports(seed, graph, run),
            resolutions=tuple(sorted({e for ps in reached.values() for p in ps for e in p})),
            gaps=tuple(sorted(gaps, key=lambda g: (g.stage, str(g.host), g.reason))),
            stats=Stats(),
        )


def _reports(seed: Host, graph: Graph, run: _Run) -> tuple[HostReport, ...]:
    reports = []
    for host, paths in graph.paths[seed].items():
        node = graph.nodes[host]
        reports.append(
            HostReport(
                host=host,
                hops=min(map(len, paths)),
                role=node.role,
                degree=node.degree,
                degree_at_least=node.degree_at_least,
                expanded=node.expanded,
                reason=node.reason if host in run.asked else _NOT_ASKED,
                provider=node.provider,
                reputation=run.reputations.get(host),
                last_seen=node.last_seen,
            )
        )
    return tuple(sorted(reports, key=lambda report: (report.hops, report.host)))


def _keyed(
    keys: Sequence[tuple[Host, object]], answers: Mapping[Host, Resolutions | MdtiError]
) -> Mapping[tuple[Host, object], Resolutions | MdtiError]:
    return {key: answers[key[0]] for key in keys}


def _gap(stage: str, error: MdtiError, host: Host) -> Gap:
    reason = "the time was over" if isinstance(error, DeadlineExceeded) else error.message
    return Gap(stage, reason, host)


# Estimates of what a value holds in memory, in bytes: objects, texts and slots.
def _reputation_bytes(reputation: Reputation) -> int:
    return 300 + sum(400 + len(r.name) + len(r.description) for r in reputation.rules)


def _resolutions_bytes(resolutions: Resolutions) -> int:
    return 200 + 500 * len(resolutions.records)


def _article_bytes(article: Article) -> int:
    return 500 + 4 * len(article.text)
