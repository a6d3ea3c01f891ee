"""How often the look-up names the right actor, and at what cost, on the accuracy worlds.

    python -m tests.bench.accuracy [--seeds 1,2,3,4,5] [--quick]

Runs `walk`, `measure` and `attribute` with their default rules, in the order in which the product
does, for every seed of every world, and reports the worst world. Two other walks run beside it: the
same without the test for overlap in time, and one hop without any pruning, as the predecessor does.

- Precision: of the actors escalated on actor seeds, the share that truly had the seed at the time.
  Benign seeds have a number of their own, because how many are asked would else decide the result.
- Coverage: of the actor seeds, the share for which the true actor was escalated.
- Requests: one for the reputation of each host that is worth asking about; passive DNS of an
  address one a page of 1,000 records, of a name two (forward and reverse).

What overlap gains is compared at equal trust: the walk without it gets the best gate there is for
it, of all score thresholds and margins the one with the highest coverage among those that hold the
targets on every world. A gate is one setting, so it is the same for all worlds.
"""

import argparse
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import product
from typing import Literal

from mdti.attribution import attribute, worth_asking
from mdti.chain import Budget, measure, walk
from mdti.infrastructure import Standing
from mdti.models import Gap, Host, Resolution, Resolutions
from mdti.naming import ActorNames
from mdti.pruning import WalkRules, degree_limit
from tests.bench.accuracy_recipe import Recipe
from tests.bench.accuracy_world import EPOCH, Seed, World, build
from tests.bench.report import Row, show

Variant = Literal["rules", "no overlap", "one hop"]
VARIANTS: tuple[Variant, ...] = ("rules", "no overlap", "one hop")

WORLDS = (1, 2, 3, 4, 5)
QUICK_SCALE = 0.2
PAGE = 1_000
PROCESSES = 2

PRECISION = 98.0
BENIGN = 0.3
REQUESTS = 50
"""The targets: percent, percent, requests a seed at the 95th percentile."""

THRESHOLDS = tuple(step / 20 for step in range(8, 20))
MARGINS = (1.0, 1.5, 2.0, 3.0, 4.0, 8.0, 1_000.0)

GATES = tuple(product(THRESHOLDS, MARGINS))

_FOREVER = timedelta(days=100_000)
_NO_LIMIT = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Answer:
    """What one look-up said, reduced to what is scored."""

    seed: Seed
    escalated: tuple[str, ...]
    ranked: tuple[tuple[str, float, bool], ...]
    """Actor, score, and whether it qualifies to escalate; strongest first."""
    requests: int
    hosts: int


@dataclass(frozen=True, slots=True)
class Result:
    """The numbers of one variant on one world: percent, and requests or hosts a seed."""

    world: int
    variant: Variant
    precision: float
    benign: float
    coverage: float
    requests_p95: int
    hosts_mean: float
    gated: tuple["Gated", ...]
    """The numbers under each gate of `GATES`."""


@dataclass(frozen=True, slots=True)
class Gated:
    """Precision, benign seeds escalated and coverage under one gate, in percent."""

    precision: float
    benign: float
    coverage: float


@dataclass(slots=True)
class Reader:
    """Passive DNS as the product would read it for a look-up as of `at`; counts its requests."""

    world: World
    records: Callable[[Host], tuple[Resolution, ...]]
    at: datetime
    rules: WalkRules
    requests: int = 0
    asked: set[Host] = field(default_factory=set)

    def __call__(self, hosts: Sequence[Host]) -> Mapping[Host, Resolutions | Gap]:
        return {host: self._read(host) for host in hosts}

    def _read(self, host: Host) -> Resolutions:
        edges = self.world.edges.get(host, ())
        if host not in self.asked:
            self.asked.add(host)
            self.requests += max(1, math.ceil(len(edges) / PAGE)) if host.is_address else 2
        until = (self.at - EPOCH) / timedelta(days=1)
        since = until - self.rules.lookback_days if self.rules.lookback_days else -math.inf
        recent = {other for other, first, last in edges if last >= since and first <= until}
        if len(recent) > degree_limit(host, self.rules):
            return Resolutions((), "hub")
        return Resolutions(self.records(host), "all")


def rules_for(variant: Variant, world: World) -> WalkRules:
    """Return the product's rules on the lists of `world`, changed as the variant says."""

    def classify(host: Host) -> Standing | None:
        role = world.listed.get(host)
        return None if role is None else Standing(role, "list")

    def registrable(name: str) -> str:
        return name  # every name of the world is a registrable domain

    if variant == "rules":
        return WalkRules(classify=classify, registrable=registrable)
    if variant == "no overlap":
        return WalkRules(classify=classify, registrable=registrable, overlap_slack=_FOREVER)
    return WalkRules(
        classify=lambda host: None,
        registrable=registrable,
        depth=1,
        lookback_days=0,
        max_hosts=_NO_LIMIT,
        hub_degree=_NO_LIMIT,
        flux_addresses=_NO_LIMIT,
        overlap_slack=_FOREVER,
    )


def look_up(world: World, reader: Reader, seed: Seed, *, variant: Variant) -> Answer:
    """Return what the look-up of one seed says, without the label of the seed itself.

    One hop names the top actor whatever its score: the predecessor has no gate.
    """
    claims = world.claims_without(seed.host)
    budget = Budget(max_requests=_NO_LIMIT) if variant == "one hop" else Budget()
    graph = walk([seed.host], reader, at=seed.at, rules=reader.rules, budget=budget)
    asked = frozenset(graph.nodes)
    if variant != "one hop":
        asked = worth_asking(graph)
        claims = {
            host: known
            for host, found in claims.items()
            if (known := tuple(c for c in found if host in asked or c.kind == "intelProfile"))
        }
        labelled = [host for host in graph.nodes if host in claims]
        graph = measure(graph, labelled, reader, rules=reader.rules)
    actors = attribute(
        graph, seed.host, claims, names=ActorNames(), registrable=reader.rules.registrable
    )
    ranked = tuple((actor.name, actor.score, actor.qualifies) for actor in actors)
    escalated = tuple(actor.name for actor in actors if actor.escalate)
    if variant == "one hop":
        escalated = tuple(name for name, _, _ in ranked[:1])
    return Answer(seed, escalated, ranked, reader.requests + len(asked), len(graph.nodes))


def run(world_seed: int, recipe: Recipe, variant: Variant) -> Result:
    """Return the numbers of one variant on one world."""
    world = build(world_seed, recipe=recipe)
    rules = rules_for(variant, world)
    records = lru_cache(maxsize=None)(world.records)

    def answers(seeds: Sequence[Seed]) -> list[Answer]:
        return [
            look_up(world, Reader(world, records, seed.at, rules), seed, variant=variant)
            for seed in seeds
        ]

    actor, benign = answers(world.actor_seeds), answers(world.benign_seeds)
    precision, coverage = _quality([(answer.seed.actor, answer.escalated) for answer in actor])
    requests = sorted(answer.requests for answer in (*actor, *benign))
    return Result(
        world=world_seed,
        variant=variant,
        precision=precision,
        benign=_percent(sum(bool(answer.escalated) for answer in benign), len(benign)),
        coverage=coverage,
        requests_p95=requests[math.ceil(0.95 * len(requests)) - 1],
        hosts_mean=sum(answer.hosts for answer in actor) / len(actor),
        gated=tuple(_under(gate, actor, benign) for gate in GATES),
    )


def best_coverage(results: Sequence[Result], *, benign: float) -> float:
    """Return the coverage, on the worst world, of the best gate that holds the targets on all."""
    best = 0.0
    for gate in zip(*(result.gated for result in results), strict=True):
        precise = min(world.precision for world in gate) >= PRECISION
        if precise and max(world.benign for world in gate) <= benign:
            best = max(best, min(world.coverage for world in gate))
    return best


def _under(gate: tuple[float, float], actor: Sequence[Answer], benign: Sequence[Answer]) -> Gated:
    named = [(answer.seed.actor, _gated(answer.ranked, gate)) for answer in actor]
    precision, coverage = _quality(named)
    wrong = sum(bool(_gated(answer.ranked, gate)) for answer in benign)
    return Gated(precision, _percent(wrong, len(benign)), coverage)


def _gated(ranked: Sequence[tuple[str, float, bool]], gate: tuple[float, float]) -> tuple[str, ...]:
    if not ranked:
        return ()
    threshold, margin = gate
    name, score, qualifies = ranked[0]
    runner_up = ranked[1][1] if len(ranked) > 1 else 0.0
    return (name,) if qualifies and score >= threshold and score >= margin * runner_up else ()


def _quality(named: Sequence[tuple[str | None, Sequence[str]]]) -> tuple[float, float]:
    """Return precision and coverage in percent of (true actor, actors named) pairs."""
    namings = sum(len(actors) for _, actors in named)
    right = sum(actor in actors for actor, actors in named)
    return _percent(right, namings), _percent(right, len(named))


def _percent(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole else 100.0


def rows(results: Sequence[Result]) -> list[Row]:
    """Return the worst of all worlds, for the product's rules with their targets, as rows."""
    by = {variant: [r for r in results if r.variant == variant] for variant in VARIANTS}
    ours = by["rules"]
    coverage = min(result.coverage for result in ours)
    other = best_coverage(by["no overlap"], benign=BENIGN)
    other_named = best_coverage(by["no overlap"], benign=100.0)
    table = [
        Row("precision", min(r.precision for r in ours), "%", at_least=PRECISION),
        Row("benign escalated", max(r.benign for r in ours), "%", at_most=BENIGN),
        Row("coverage", coverage, "%"),
        Row(
            "coverage gained by overlap, both targets held", coverage - other, "points", at_least=0
        ),
        Row("coverage gained by overlap, precision alone held", coverage - other_named, "points"),
        Row("requests a seed, p95", max(r.requests_p95 for r in ours), at_most=REQUESTS),
        Row("hosts a seed, mean", max(r.hosts_mean for r in ours)),
    ]
    for variant in VARIANTS[1:]:
        theirs = by[variant]
        table += [
            Row(f"{variant}: precision", min(r.precision for r in theirs), "%"),
            Row(f"{variant}: benign escalated", max(r.benign for r in theirs), "%"),
            Row(f"{variant}: coverage", min(r.coverage for r in theirs), "%"),
            Row(f"{variant}: requests a seed, p95", max(r.requests_p95 for r in theirs)),
        ]
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return 1 when a target is missed."""
    parser = argparse.ArgumentParser(description="Measure the accuracy of the look-up.")
    parser.add_argument("--seeds", default=",".join(map(str, WORLDS)), help="worlds, by comma")
    parser.add_argument("--quick", action="store_true", help="small worlds; numbers are rougher")
    options = parser.parse_args(arguments)
    worlds = [int(seed) for seed in options.seeds.split(",")]
    recipe = Recipe().scaled(QUICK_SCALE) if options.quick else Recipe()
    tasks = list(product(worlds, (recipe,), VARIANTS))
    with ProcessPoolExecutor(PROCESSES) as pool:
        results = list(pool.map(run, *zip(*tasks, strict=True)))
    scale = f"{QUICK_SCALE:g} of the size" if options.quick else "full size"
    title = f"accuracy, worst of worlds {options.seeds}, {scale}, {recipe.seeds_per_actor} seeds"
    return 0 if show(f"{title} an actor", rows(results)) else 1


if __name__ == "__main__":
    sys.exit(main())
