"""The walk over passive DNS: bounded, aware of time, best first.

From its seeds the walk follows resolutions outward, host to host. What keeps it honest:

- Two consecutive resolutions must have been true together (give or take `overlap_slack`), so an
  address that changed hands does not join its tenants. The state is therefore not a host but a
  host and the interval in which the path arrived there.
- A host with too many neighbours, or one that public lists know as a CDN, parking page, sinkhole or
  bulk hoster, is named and not followed. It is never truncated to an arbitrary few neighbours.
- Hosts are asked for in rounds of fixed size and merged in the order they were chosen, so threads
  cannot change the answer.

Sources of the rules: design section 7; the pruning methods compared in contracts/anchors.md A.4.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from mdti.models import Gap, Host, Resolution, Resolutions
from mdti.pruning import (
    BEGINNING,
    STOP_ROLES,
    Node,
    WalkRules,
    explained,
    folded,
    lookback_start,
    measured,
    unread,
    usable,
)

Path = tuple[Resolution, ...]
Fetch = Callable[[Sequence[Host]], Mapping[Host, Resolutions | Gap]]

HALF_LIFE_DAYS = 180
FORMER_AFTER = timedelta(days=60)
"""A name that left an address this long before the question is a former tenant."""

REQUESTS_PER_EXPANSION = 2  # both directions of passive DNS


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a walk may spend.

    `max_requests` counts one reputation for each host and both directions of passive DNS for each
    host that is followed, whether or not a cache answers, so that a warm cache cannot change the
    result. Only `expired` - the clock - can.
    """

    max_requests: int = 300
    expired: Callable[[], bool] = lambda: False


@dataclass(frozen=True, slots=True)
class Graph:
    """Everything the walk reached: the hosts, and from each seed the dated paths to them.

    `paths[seed][host]` holds the paths that none other beats, the shortest first; the seed's own
    is empty.
    """

    at: datetime
    nodes: Mapping[Host, Node]
    paths: Mapping[Host, Mapping[Host, tuple[Path, ...]]]
    gaps: tuple[Gap, ...] = ()


def walk(
    seeds: Sequence[Host], fetch: Fetch, *, at: datetime, rules: WalkRules, budget: Budget
) -> Graph:
    """Walk outward from `seeds` as the world was known at `at`, and return what was reached.

    `fetch` reads the passive DNS of many hosts at once; a `Gap` in its place means that the host
    could not be read, which makes the answer incomplete but stops nothing else.
    """
    return _Walk(tuple(dict.fromkeys(seeds)), fetch, at, rules, budget).run()


def measure(graph: Graph, hosts: Iterable[Host], fetch: Fetch, *, rules: WalkRules) -> Graph:
    """Return `graph` with the degree of those `hosts` whose role is still `unmeasured`.

    The last hop is not followed, so the walk does not read it; an address there that carries
    evidence must still be known as dedicated, shared or hub before it may speak for an actor.
    """
    wanted = sorted({host for host in hosts if graph.nodes[host].role == "unmeasured"})
    if not wanted:
        return graph
    answers = fetch(wanted)
    nodes, gaps = dict(graph.nodes), list(graph.gaps)
    for host in wanted:
        answer = answers[host]
        if isinstance(answer, Gap):
            gaps.append(answer)
            continue
        edges = usable(answer.records, graph.at)
        nodes[host] = replace(measured(nodes[host], answer, edges, graph.at, rules), expanded=False)
    return replace(graph, nodes=nodes, gaps=tuple(gaps))


def hop_factor(hops: int) -> float:
    """Return how much distance leaves of an attribution: D of design section 7."""
    return 1.0 if hops == 0 else 0.9 * 0.5 ** (hops - 1)


def is_former(path: Path, at: datetime) -> bool:
    """True when the path leaves an address for a name that had left it long before `at`."""
    return bool(path) and path[0].queried.is_address and at - path[0].last > FORMER_AFTER


@dataclass(frozen=True, slots=True)
class _Arrival:
    """One way to reach a host: the path, and what its inner hosts leave of an attribution."""

    path: Path
    factor: float
    former: bool = False

    @property
    def hops(self) -> int:
        return len(self.path)

    def order(self) -> tuple[object, ...]:
        """Sort key: shorter, stronger and fresher first, then by name for one fixed order."""
        last = self.path[-1].last if self.path else datetime.max.replace(tzinfo=UTC)
        return (self.hops, self.former, -self.factor, -last.timestamp(), self.path)


class _Walk:
    """The state of one walk; `run` is called once."""

    def __init__(
        self, seeds: tuple[Host, ...], fetch: Fetch, at: datetime, rules: WalkRules, budget: Budget
    ) -> None:
        self.seeds, self.fetch, self.at, self.rules, self.budget = seeds, fetch, at, rules, budget
        self.nodes: dict[Host, Node] = {}
        self.edges: dict[Host, tuple[Resolution, ...]] = {}
        self.asked: set[Host] = set()
        self.unreached: set[Host] = set()
        self.gaps: list[Gap] = []
        self.folds: dict[Host, int] = {}
        self.arrivals: dict[Host, dict[Host, list[_Arrival]]] = {seed: {} for seed in seeds}

    def run(self) -> Graph:
        for seed in self.seeds:
            self._arrive(seed, seed, [_Arrival((), 1.0)])
        while chosen := self._choose():
            room = (self.budget.max_requests - len(self.nodes)) // REQUESTS_PER_EXPANSION
            room -= len(self.asked)
            if self.budget.expired():
                self._stop("the time was over", self._pending())
                break
            if room <= 0:
                limit = f"the limit of {self.budget.max_requests} requests was reached"
                self._stop(limit, self._pending())
                break
            chosen = chosen[:room]
            self._merge(chosen, self.fetch(chosen))
        if self.unreached:
            self._stop(f"the limit of {self.rules.max_hosts} hosts was reached", self.unreached)
        return self._graph()

    def _stop(self, why: str, left: Collection[Host]) -> None:
        """Record what was left, and why, for the whole and for each host that has a node."""
        hosts = "1 host was" if len(left) == 1 else f"{len(left):,} hosts were"
        self.gaps.append(Gap("walk", f"{why}: {hosts} not followed"))
        for host in self.nodes.keys() & left:
            self.nodes[host] = replace(self.nodes[host], reason=why)

    def _pending(self) -> dict[Host, dict[Host, float]]:
        """Return, for each host that may still be followed, its priority for each seed."""
        pending: dict[Host, dict[Host, float]] = {}
        for seed in self.seeds:
            for host, arrivals in self.arrivals[seed].items():
                node = self.nodes[host]
                if host in self.asked or node.role in STOP_ROLES:
                    continue
                near = [arrival for arrival in arrivals if arrival.hops < self.rules.depth]
                if near:
                    static = 0.7 if node.cloud and host != seed else 1.0
                    best = max(self._priority(arrival) for arrival in near)
                    pending.setdefault(host, {})[seed] = best * static
        return pending

    def _priority(self, arrival: _Arrival) -> float:
        if not arrival.path:
            return 1.0
        age = max((self.at - arrival.path[0].last) / timedelta(days=1), 0.0)
        return float(hop_factor(arrival.hops) * arrival.factor * 0.5 ** (age / HALF_LIFE_DAYS))

    def _choose(self) -> list[Host]:
        """Return the next round: the most promising hosts, taken from each seed in turn."""
        pending = self._pending()
        queues = []
        for seed in self.seeds:
            mine = [host for host, seeds in pending.items() if seed in seeds]
            mine.sort(key=lambda host: (-pending[host][seed], self._hops(seed, host), host.value))
            queues.append(mine)
        chosen: dict[Host, None] = {}
        for rank in range(max(map(len, queues), default=0)):
            for queue in queues:
                if rank < len(queue) and len(chosen) < self.rules.round_size:
                    chosen[queue[rank]] = None
        return list(chosen)

    def _hops(self, seed: Host, host: Host) -> int:
        return min(arrival.hops for arrival in self.arrivals[seed][host])

    def _merge(self, chosen: list[Host], answers: Mapping[Host, Resolutions | Gap]) -> None:
        for host in chosen:
            self.asked.add(host)
            answer = answers[host]
            if isinstance(answer, Gap):
                self.gaps.append(answer)
                reason = "its passive DNS could not be read"
                self.nodes[host] = replace(self.nodes[host], reason=reason)
                continue
            edges = usable(answer.records, self.at)
            node = measured(self.nodes[host], answer, edges, self.at, self.rules)
            self.nodes[host] = node
            if node.expanded:
                self.edges[host], many = folded(host, edges, rules=self.rules)
                self.folds |= many
        for host in chosen:
            for seed in self.seeds:
                self._expand(seed, host, self.arrivals[seed].get(host, []))

    def _expand(self, seed: Host, host: Host, arrivals: Iterable[_Arrival]) -> None:
        """Carry `arrivals` at `host` over every resolution of it that fits in time."""
        onward: dict[Host, list[_Arrival]] = {}
        edges = self.edges.get(host, ())
        since = lookback_start(self.at, self.rules)
        for arrival in arrivals:
            if arrival.hops >= self.rules.depth:
                continue
            seen = {seed, *(edge.answer for edge in arrival.path)}
            factor = arrival.factor * (1.0 if host == seed else self.nodes[host].factor)
            for edge in edges:
                if edge.answer in seen:
                    continue
                if arrival.path and not self._overlap(arrival.path[-1], edge):
                    continue
                if not arrival.path and edge.last < since:
                    continue
                path = (*arrival.path, edge)
                found = _Arrival(path, factor, is_former(path, self.at))
                onward.setdefault(edge.answer, []).append(found)
        for neighbour in sorted(onward, key=lambda n: (min(a.order() for a in onward[n])[:4], n)):
            self._arrive(seed, neighbour, onward[neighbour])

    def _overlap(self, one: Resolution, two: Resolution) -> bool:
        return max(one.first, two.first) - min(one.last, two.last) <= self.rules.overlap_slack

    def _arrive(self, seed: Host, host: Host, arrivals: list[_Arrival]) -> None:
        """Keep the arrivals that none other beats; carry them on if the host was read before."""
        if host not in self.nodes:
            if len(self.nodes) >= self.rules.max_hosts and host not in self.seeds:
                self.unreached.add(host)
                return
            self.nodes[host] = unread(host, self.rules.classify(host))
        kept = self.arrivals[seed].setdefault(host, [])
        news = [
            arrival
            for arrival in _unbeaten(arrivals, self.rules.depth)
            if not any(_beats(other, arrival, self.rules.depth) for other in kept)
        ]
        if not news:
            return
        kept[:] = [o for o in kept if not any(_beats(n, o, self.rules.depth) for n in news)] + news
        if host in self.edges:
            self._expand(seed, host, news)

    def _graph(self) -> Graph:
        paths = {
            seed: {
                host: tuple(arrival.path for arrival in sorted(arrivals, key=_Arrival.order))
                for host, arrivals in sorted(reached.items())
            }
            for seed, reached in self.arrivals.items()
        }
        nodes = {
            host: explained(node, folds=self.folds.get(host, 0))
            for host, node in sorted(self.nodes.items())
        }
        return Graph(self.at, nodes, paths, tuple(self.gaps))


def _beats(one: _Arrival, other: _Arrival, depth: int) -> bool:
    """True when whatever `other` can reach or prove, `one` can as well."""
    if one.hops > other.hops or one.former > other.former or one.factor < other.factor:
        return False
    if not one.path or not other.path or other.hops >= depth:
        return True
    mine, theirs = one.path[-1], other.path[-1]
    return mine.first <= theirs.first and mine.last >= theirs.last


def _unbeaten(arrivals: list[_Arrival], depth: int) -> list[_Arrival]:
    """Return the arrivals that none other of the list beats, best first.

    Sorted by their beginning, an interval can only lie inside one that came before it, so one pass
    is enough for each number of hops and strength.
    """
    groups: dict[tuple[int, bool, float], list[_Arrival]] = {}
    for arrival in sorted(arrivals, key=_Arrival.order):
        strength = (arrival.hops, arrival.former, -arrival.factor)
        groups.setdefault(strength, []).append(arrival)
    kept: list[_Arrival] = []
    for _, group in sorted(groups.items()):
        if group[0].hops >= depth or not group[0].path:
            mine = group[:1]
        else:
            mine, latest = [], BEGINNING
            for arrival in sorted(group, key=lambda a: (a.path[-1].first, *a.order())):
                if arrival.path[-1].last > latest:
                    mine.append(arrival)
                    latest = arrival.path[-1].last
        kept += [a for a in mine if not any(_beats(other, a, depth) for other in kept)]
    return kept
