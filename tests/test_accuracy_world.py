"""What the accuracy world promises to those who measure with it."""

from collections import Counter
from hashlib import sha256
from itertools import pairwise

import pytest

from mdti.models import Host
from tests.bench.accuracy_recipe import Recipe
from tests.bench.accuracy_world import World, build


@pytest.fixture(scope="module")
def world() -> World:
    return build(1, recipe=Recipe().scaled(0.1))


def test_the_same_seed_gives_an_equal_world_and_another_seed_another(world: World) -> None:
    small = Recipe().scaled(0.02)
    assert build(7, recipe=small) == build(7, recipe=small)
    assert build(7, recipe=small).actor_seeds != build(8, recipe=small).actor_seeds


def test_the_world_is_the_one_that_was_fixed_before_any_rule_was_tuned() -> None:
    world = build(1)
    truth = (world.claims, world.tenures, world.actor_seeds, world.benign_seeds)
    digest = sha256(repr((*truth, sorted(world.edges.items()))).encode()).hexdigest()
    assert digest == "8b1f514764d38e48dacdd94430e3890a73c1e25fd9be2a4cbaf8bcf1032e1649"


def test_every_record_is_seen_from_both_of_its_ends(world: World) -> None:
    for seed in world.actor_seeds:
        for record in world.records(seed.host):
            assert record.queried == seed.host
            assert record.first <= record.last
            seen_from_there = {
                (other.answer, other.first, other.last) for other in world.records(record.answer)
            }
            assert (seed.host, record.first, record.last) in seen_from_there


def test_every_actor_seed_is_its_actors_at_its_time_and_resolves_then(world: World) -> None:
    for seed in world.actor_seeds:
        assert seed.actor is not None
        assert world.owner(seed.host, seed.at) == seed.actor
        assert any(r.first <= seed.at <= r.last for r in world.records(seed.host))


def test_no_benign_seed_was_ever_an_actors(world: World) -> None:
    assert not any(seed.host in world.tenures for seed in world.benign_seeds)


def test_no_address_has_two_actors_at_once(world: World) -> None:
    for tenures in world.tenures.values():
        ordered = sorted(tenures, key=lambda tenure: tenure.first)
        assert all(former.last < latter.first for former, latter in pairwise(ordered))


def test_mix_and_labels_follow_the_recipe() -> None:
    recipe = Recipe(actors=30, benign_names=6_000, vps=1_500, shared=40)
    world = build(3, recipe=recipe)
    roles = Counter[str]()
    for number in range(recipe.benign_names):
        for record in world.records(Host("name", f"b{number}.example")):
            roles[world.listed.get(record.answer, "other")] += 1
    total = sum(roles.values())
    assert roles["cdn"] / total == pytest.approx(0.35, abs=0.02)
    assert roles["parking"] / total == pytest.approx(0.05, abs=0.01)
    assert total / recipe.benign_names == pytest.approx(2.0, abs=0.05)
    nodes = sum(1 for host in world.tenures if world.records(host))
    assert len(world.claims) / nodes == pytest.approx(0.35, abs=0.05)
    taken_over = sum(len(tenures) > 1 for tenures in world.tenures.values())
    assert taken_over / (recipe.actors * recipe.leases_per_actor) == pytest.approx(0.08, abs=0.05)


def test_the_label_of_the_seed_itself_can_be_left_out(world: World) -> None:
    labelled = next(iter(world.claims))
    assert labelled not in world.claims_without(labelled)
    assert len(world.claims_without(labelled)) == len(world.claims) - 1
