"""A seeded, synthetic Internet in which it is known who owned what, and when.

The benchmark of the pruning and naming rules runs on it. Every number is a field of `Recipe` and
comes from the generator recipe in the project's notes on prior art (a rebuilt form of the world
with which the pruning methods were first compared), or is marked there as a choice of this file.
The file was committed before any rule was tuned. Percentages measured here order the rules; they
say nothing about the Internet.

What makes it hard on purpose:

- A shared host is on no list; only its degree tells. Zipf popularity puts most shared addresses
  below any hub limit.
- Benign names pick their VPS without looking at leases, so a few sit on an actor's address while
  the actor has it (a dangling record), and many sit there before or after.
- An actor's address may have been another actor's a few weeks earlier, and both may be labelled.
- Labels have no time: a host is named as the actor's long after it was parked or let go.
- The label of the seed itself is to be ignored by whoever measures: `claims_without`.

Addresses are from 198.18.0.0/15 (RFC 2544, benchmarks) and names end in `.example` (RFC 2606), so
nothing here belongs to anybody.
"""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Literal

from mdti.models import ActorRef, Claim, Host, Resolution
from tests.bench.accuracy_recipe import Recipe

EPOCH = datetime(2022, 10, 1, tzinfo=UTC)
"""Day 0 of the horizon; any date would do."""

ListedRole = Literal["cdn", "parking", "sinkhole"]
_FIRST_ADDRESS = (198 << 24) + (18 << 16)


@dataclass(frozen=True, slots=True)
class Tenure:
    """An actor had a host from `first` to `last`."""

    actor: str
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class Seed:
    """A host to look up as of `at`, and its true owner then; None for a benign one."""

    host: Host
    at: datetime
    actor: str | None


@dataclass(frozen=True, slots=True)
class World:
    """Passive DNS, lists, labels and the truth.

    `listed` is what public lists know: CDN, parking and sinkhole addresses, all of them. `claims`
    is what threat intelligence says, `tenures` what is true.
    """

    seed: int
    recipe: Recipe
    listed: Mapping[Host, ListedRole]
    claims: Mapping[Host, tuple[Claim, ...]]
    tenures: Mapping[Host, tuple[Tenure, ...]]
    actor_seeds: tuple[Seed, ...]
    benign_seeds: tuple[Seed, ...]
    edges: Mapping[Host, Sequence[tuple[Host, float, float]]]
    """Neighbour, first and last day, of every host."""

    def records(self, host: Host) -> tuple[Resolution, ...]:
        """Return the passive DNS of `host` as if it had been asked for, in both directions.

        Every record is of type A and complete over the whole horizon; an unknown host has none.
        """
        return tuple(
            Resolution(host, other, "A", _moment(first), _moment(last))
            for other, first, last in self.edges.get(host, ())
        )

    def owner(self, host: Host, at: datetime) -> str | None:
        """Return the actor that had `host` at `at`, or None."""
        for tenure in self.tenures.get(host, ()):
            if tenure.first <= at <= tenure.last:
                return tenure.actor
        return None

    def claims_without(self, seed: Host) -> dict[Host, tuple[Claim, ...]]:
        """Return all claims but those on `seed`: the answer must not be read off the question."""
        return {host: claims for host, claims in self.claims.items() if host != seed}


def build(seed: int, *, recipe: Recipe | None = None) -> World:
    """Return the world of `seed`; the same seed and recipe give an equal world."""
    return _Builder(seed, recipe or Recipe()).build()


@dataclass(frozen=True, slots=True)
class _Lease:
    actor: str
    address: Host
    first: float
    last: float


class _Builder:
    """Holds the random stream and the edges while a world is being made."""

    def __init__(self, seed: int, recipe: Recipe) -> None:
        self._seed = seed
        self._recipe = recipe
        self._random = random.Random(seed)
        self._edges: dict[Host, list[tuple[Host, float, float]]] = defaultdict(list)
        self._tenures: dict[Host, list[Tenure]] = defaultdict(list)
        self._leases: list[_Lease] = []
        self._taken_over: set[int] = set()
        counts = (recipe.cdn, recipe.shared, recipe.vps, recipe.parking, recipe.sinkhole)
        ends = list(accumulate(counts))
        pools = [
            [_address(number) for number in range(end - count, end)]
            for count, end in zip(counts, ends, strict=True)
        ]
        self._cdn, self._shared, self._vps, self._parking, self._sinkhole = pools
        self._shared_weights = list(
            accumulate(rank**-recipe.shared_zipf for rank in range(1, recipe.shared + 1))
        )

    def build(self) -> World:
        benign = [self._benign_name(number) for number in range(self._recipe.benign_names)]
        fresh = self._random.sample(
            self._vps, min(len(self._vps), self._recipe.actors * self._recipe.leases_per_actor)
        )
        used: dict[str, dict[Host, list[tuple[float, float]]]] = {}
        for number in range(self._recipe.actors):
            actor = f"Actor {number:02d}"
            leases = self._lease_addresses(actor, fresh)
            used[actor] = self._actor_names(number, actor, leases)
        listed: dict[Host, ListedRole] = dict.fromkeys(self._cdn, "cdn")
        listed.update(dict.fromkeys(self._parking, "parking"))
        listed.update(dict.fromkeys(self._sinkhole, "sinkhole"))
        return World(
            seed=self._seed,
            recipe=self._recipe,
            listed=listed,
            claims=self._labels(used),
            tenures={host: tuple(tenures) for host, tenures in self._tenures.items()},
            actor_seeds=self._actor_seeds(used),
            benign_seeds=self._benign_seeds(benign),
            edges=dict(self._edges),
        )

    def _benign_name(self, number: int) -> Host:
        name = Host("name", f"b{number}.example")
        for _ in range(self._random.randint(1, self._recipe.most_resolutions)):
            first = self._random.uniform(0.0, self._recipe.horizon_days)
            self._resolve(name, self._benign_address(), first, first + self._length())
        return name

    def _benign_address(self) -> Host:
        cdn, shared, parking, _ = accumulate(self._recipe.benign_mix)
        draw = self._random.random()
        if draw < cdn:
            return self._random.choice(self._cdn)
        if draw < shared:
            return self._shared_address()
        if draw < parking:
            return self._random.choice(self._parking)
        return self._random.choice(self._vps)

    def _shared_address(self) -> Host:
        return self._random.choices(self._shared, cum_weights=self._shared_weights)[0]

    def _length(self) -> float:
        return self._random.expovariate(1.0 / self._recipe.benign_mean_days)

    def _resolve(self, name: Host, address: Host, first: float, last: float) -> None:
        last = min(last, self._recipe.horizon_days)
        self._edges[name].append((address, first, last))
        self._edges[address].append((name, first, last))

    def _lease_addresses(self, actor: str, fresh: list[Host]) -> list[_Lease]:
        """Return the actor's leases: addresses nobody had, some taken over from earlier actors."""
        earlier = len(self._leases)
        leases = []
        for _ in range(self._recipe.leases_per_actor):
            days = self._random.uniform(*self._recipe.lease_days)
            wanted = self._random.random() < self._recipe.takeover_share
            lease = self._takeover(actor, days, earlier) if wanted else None
            if lease is None:
                first = self._random.uniform(0.0, self._recipe.horizon_days - days)
                lease = _Lease(actor, fresh.pop(), first, first + days)
            leases.append(lease)
            self._tenures[lease.address].append(
                Tenure(actor, _moment(lease.first), _moment(lease.last))
            )
        self._leases.extend(leases)
        return leases

    def _takeover(self, actor: str, days: float, earlier: int) -> _Lease | None:
        """Return a lease that follows another actor's, or None when none ends early enough."""
        gap = self._random.uniform(*self._recipe.takeover_gap_days)
        room = self._recipe.horizon_days - gap - days
        open_leases = [
            index
            for index in range(earlier)
            if index not in self._taken_over and self._leases[index].last <= room
        ]
        if not open_leases:
            return None
        index = self._random.choice(open_leases)
        self._taken_over.add(index)
        before = self._leases[index]
        return _Lease(actor, before.address, before.last + gap, before.last + gap + days)

    def _actor_names(
        self, number: int, actor: str, leases: Sequence[_Lease]
    ) -> dict[Host, list[tuple[float, float]]]:
        """Make the actor's names; return its nodes with the days in which each was in use.

        A resolution falls into one of the actor's leases, also when it points to shared hosting
        or a CDN: these are the times in which the actor works.
        """
        used: dict[Host, list[tuple[float, float]]] = defaultdict(list)
        own, shared, _ = accumulate(self._recipe.actor_mix)
        for index in range(self._recipe.names_per_actor):
            name = Host("name", f"a{number}n{index}.example")
            for _ in range(self._random.randint(1, self._recipe.most_resolutions)):
                lease = self._random.choice(leases)
                first = self._random.uniform(lease.first, lease.last)
                last = self._random.uniform(first, lease.last)
                draw = self._random.random()
                if draw < own:
                    address = lease.address
                    used[address].append((first, last))
                elif draw < shared:
                    address = self._shared_address()
                else:
                    address = self._random.choice(self._cdn)
                self._resolve(name, address, first, last)
                used[name].append((first, last))
            first, last = min(used[name])[0], max(last for _, last in used[name])
            self._tenures[name].append(Tenure(actor, _moment(first), _moment(last)))
            self._retire(name, last)
        return used

    def _retire(self, name: Host, last: float) -> None:
        """Park or sinkhole a name from the day after its last use, or let it disappear."""
        draw = self._random.random()
        first = last + 1.0
        if first >= self._recipe.horizon_days:
            return
        if draw < self._recipe.later_parked:
            self._resolve(name, self._random.choice(self._parking), first, first + self._length())
        elif draw < self._recipe.later_parked + self._recipe.later_sinkholed:
            self._resolve(name, self._random.choice(self._sinkhole), first, first + self._length())

    def _labels(
        self, used: Mapping[str, Mapping[Host, Sequence[tuple[float, float]]]]
    ) -> dict[Host, tuple[Claim, ...]]:
        """Label a share of each actor's nodes.

        An intel profile lists a host as one actor's. A reputation rule is one text per host: where
        two actors are labelled by it, the text names both, so each claim says `naming=2`.
        """
        profiles: dict[Host, list[str]] = defaultdict(list)
        rules: dict[Host, list[str]] = defaultdict(list)
        for actor, nodes in used.items():
            for host in sorted(nodes):
                if self._random.random() >= self._recipe.label_share:
                    continue
                by_profile = self._random.random() < self._recipe.profile_share
                (profiles if by_profile else rules)[host].append(actor)
        claims: dict[Host, list[Claim]] = defaultdict(list)
        for host, actors in profiles.items():
            for actor in actors:
                claims[host].append(Claim(_reference(actor), "intelProfile", actor))
        for host, actors in rules.items():
            for actor in actors:
                text = ", ".join(actors)
                claims[host].append(
                    Claim(_reference(actor), "reputationRule", text, naming=len(actors))
                )
        return {host: tuple(found) for host, found in sorted(claims.items())}

    def _actor_seeds(
        self, used: Mapping[str, Mapping[Host, Sequence[tuple[float, float]]]]
    ) -> tuple[Seed, ...]:
        seeds = []
        for actor, nodes in used.items():
            hosts = sorted(nodes)
            chosen = self._random.sample(hosts, min(self._recipe.seeds_per_actor, len(hosts)))
            for host in chosen:
                first, last = self._random.choice(nodes[host])
                seeds.append(Seed(host, _moment(self._random.uniform(first, last)), actor))
        return tuple(seeds)

    def _benign_seeds(self, names: Sequence[Host]) -> tuple[Seed, ...]:
        seeds = []
        for name in self._random.sample(names, min(self._recipe.benign_seeds, len(names))):
            _, first, last = self._random.choice(self._edges[name])
            seeds.append(Seed(name, _moment(self._random.uniform(first, last)), None))
        return tuple(seeds)


def _address(number: int) -> Host:
    packed = _FIRST_ADDRESS + number
    return Host("ipv4", ".".join(str(packed >> shift & 255) for shift in (24, 16, 8, 0)))


def _moment(day: float) -> datetime:
    return EPOCH + timedelta(seconds=int(day * 86_400))


def _reference(actor: str) -> ActorRef:
    return ActorRef(actor, actor.lower().replace(" ", "-"))
