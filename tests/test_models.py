"""The nouns: frozen, comparable, and right about the facts they derive."""

import dataclasses
import inspect
from dataclasses import replace

import pytest

from mdti import models
from mdti.models import Evidence, Gap, Host
from tests.builders import actor, host, seen
from tests.render.samples import empty_lookup

NOUNS = [noun for _, noun in inspect.getmembers(models, inspect.isclass)]
DATACLASSES = [noun for noun in NOUNS if dataclasses.is_dataclass(noun)]


@pytest.mark.parametrize("noun", DATACLASSES)
def test_every_noun_is_frozen_slotted_and_compared_by_value(noun: type) -> None:
    assert noun.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert "__slots__" in vars(noun)
    assert noun.__hash__ is not None


def test_an_address_is_told_from_a_name() -> None:
    assert host("203.0.113.1").is_address
    assert host("2001:db8::1").is_address
    assert not host("a.example").is_address


def test_hosts_sort_by_kind_and_value_and_are_keys() -> None:
    hosts = [host("b.example"), host("203.0.113.1"), host("a.example")]
    assert [one.value for one in sorted(hosts)] == ["203.0.113.1", "a.example", "b.example"]
    assert {Host("name", "a.example"): 1}[host("a.example")] == 1


def test_an_answer_is_complete_when_it_has_no_gap() -> None:
    gap = Gap("walk", "the time was over")
    assert empty_lookup().complete
    assert not empty_lookup([gap]).complete


def test_hops_are_the_resolutions_between_seed_and_host() -> None:
    path = (seen("a.example", "203.0.113.1"),)
    found = Evidence(actor("Aqua"), host("203.0.113.1"), "article", "", None, path)
    assert found.hops == 1
    assert replace(found, path=()).hops == 0
