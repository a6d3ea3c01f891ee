"""The nouns around an incident: frozen, comparable, and right about the fact they derive."""

import dataclasses
import inspect
from dataclasses import replace

import pytest

from mdti import incident_models
from mdti.models import Gap
from tests.render.samples import sample_brief

NOUNS = [
    noun
    for _, noun in inspect.getmembers(incident_models, inspect.isclass)
    if dataclasses.is_dataclass(noun) and noun.__module__ == incident_models.__name__
]


@pytest.mark.parametrize("noun", NOUNS)
def test_every_noun_is_frozen_slotted_and_compared_by_value(noun: type) -> None:
    assert noun.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert "__slots__" in vars(noun)
    assert noun.__hash__ is not None


def test_a_brief_is_complete_when_it_has_no_gap() -> None:
    assert replace(sample_brief(), gaps=()).complete
    assert not replace(sample_brief(), gaps=(Gap("walk", "the time was over"),)).complete
