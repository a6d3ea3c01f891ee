"""The door: every format, of one look-up, several, and a brief."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from mdti.errors import InputError
from mdti.models import Gap
from mdti.render import CONTENT_TYPES, FORMATS, render
from mdti.render.escape import defang_host
from tests.render.samples import (
    HOSTILE,
    NOW,
    SEED,
    empty_lookup,
    host,
    hostile_lookup,
    sample_brief,
    sample_lookup,
)

HUMAN = ("text", "markdown", "html", "mermaid")


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_look_up_gives_the_same_bytes(name: str) -> None:
    first = render(name, [sample_lookup()], now=NOW)
    assert first == render(name, [sample_lookup()], now=NOW)
    assert first.endswith("\n")
    assert name in CONTENT_TYPES


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_names_the_actor_and_the_seed(name: str) -> None:
    shown = render(name, [sample_lookup()], now=NOW)
    assert "Example Blizzard" in shown
    assert (defang_host(host(SEED)) if name in HUMAN else SEED) in shown.replace("\\", "")


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_says_that_an_answer_without_an_actor_is_incomplete(name: str) -> None:
    lookup = empty_lookup([Gap("reputation", "the API answered 503", host("quiet.example"))])
    shown = render(name, [lookup], now=NOW).lower()
    assert "incomplete" in shown or '"complete": false' in shown or "\r\ngap," in shown


@pytest.mark.parametrize("name", HUMAN)
def test_no_host_of_a_report_is_live(name: str) -> None:
    lookup = sample_lookup()
    shown = render(name, [lookup], now=NOW, brief=replace(sample_brief(), hunting_queries=()))
    assert not [report.host for report in lookup.hosts if report.host.value in shown]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("name", FORMATS)
def test_hostile_text_renders_in_every_format(name: str, text: str) -> None:
    shown = render(name, [hostile_lookup(text)], now=NOW)
    shown.encode("utf-8")
    assert "\u202e" not in shown
    assert "\x1b" not in shown
    if name in HUMAN:
        assert name == "text" or "<script" not in shown
        assert "http://evil" not in shown
        assert len(shown) < 400_000


def test_several_look_ups_are_a_list_in_json_and_a_brief_is_a_brief() -> None:
    two = json.loads(render("json", [sample_lookup(), empty_lookup()], now=NOW))
    assert [item["ioc"]["value"] for item in two["lookups"]] == [SEED, "quiet.example"]
    brief = json.loads(render("json", [], now=NOW, brief=sample_brief()))
    assert brief["raise"] is True


def test_nothing_but_the_stamp_of_a_report_depends_on_now() -> None:
    later = NOW + timedelta(days=400)
    for name in ("text", "json", "markdown", "csv", "mermaid"):
        lookup = sample_lookup()
        assert render(name, [lookup], now=NOW) == render(name, [lookup], now=later)


def test_an_unknown_format_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="text, json, markdown"):
        render("pdf", [], now=NOW)
