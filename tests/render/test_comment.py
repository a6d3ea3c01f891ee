"""The incident's comment: what happened first, nothing hidden, never too long, never broken."""

from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from mdti.incident_models import EarlierDescription, LeftOut
from mdti.models import Actor, Gap
from mdti.render.comment import MAX_COMMENT, actor_paragraph, incident_comment
from tests.render.samples import (
    HOSTILE,
    NOW,
    blizzard,
    empty_lookup,
    evidence,
    host,
    hostile_lookup,
    sample_brief,
    sample_lookup,
    sample_profile,
    typhoon,
)

ALLOWED = {"p", "b", "i", "ul", "li", "table", "tr", "td", "th", "a", "br", "h3", "code"}


class _Checked(HTMLParser):
    """Collects text, and fails on an unknown or unbalanced tag."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self._open: list[str] = []
        self.feed(source)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ALLOWED
        assert {name for name, _ in attrs} <= {"href", "rel"}
        if tag != "br":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def comment(**changes: Any) -> str:
    lookup = sample_lookup()
    parts: dict[str, Any] = {
        "actors": lookup.actors,
        "lookups": [lookup],
        "raises": True,
        "severity": "High",
    }
    return incident_comment(**(parts | changes))


def text_of(html: str) -> str:
    return _Checked(html).text


def test_the_first_sentence_says_what_happened_without_claiming_identity() -> None:
    first = comment().split("</p>")[0]
    assert text_of(first + "</p>").startswith(
        "login-update[.]example linked through 203[.]0[.]113[.]10 (1 hop of passive DNS) to"
        " Example Blizzard (high confidence, score 0.93), and 1 further actor."
    )
    assert " is " not in first


def test_a_listed_seed_is_linked_directly() -> None:
    shown = text_of(comment(actors=[blizzard(evidence(hops=0))]))
    assert "login-update[.]example linked directly (indicator in" in shown
    assert "login-update[.]example itself" in shown


def test_each_actor_has_its_path_with_dates() -> None:
    shown = text_of(comment())
    assert (
        "login-update[.]example → 203[.]0[.]113[.]10 (A, 2026-08-02 to 2026-11-18)"
        " → mail-relay[.]test (A, 2026-08-09 to 2026-10-30)"
    ) in shown
    assert "which names 2 actors" in shown


def test_what_was_not_followed_is_named_with_the_reason() -> None:
    shown = text_of(comment())
    assert "hub, at least 101 domains; more than 100 domains: shared by strangers" in shown
    assert "CDN (Example CDN); a CDN serves everybody" in shown


def test_an_incomplete_answer_says_so_loudly_and_lists_what_is_missing() -> None:
    gap = Gap("reputation", "the API answered 503", host("quiet.example"))
    shown = text_of(comment(actors=(), lookups=[empty_lookup([gap])], raises=False, gaps=[gap]))
    assert shown.startswith("No threat actor found so far")
    assert "INCOMPLETE: 1 thing could not be looked at." in shown
    assert "reputation of quiet[.]example: the API answered 503" in shown


def test_no_attribution_says_what_was_checked() -> None:
    shown = text_of(comment(actors=(), lookups=[empty_lookup()], raises=False))
    assert shown.startswith("No threat actor found behind 1 host of this incident.")
    assert "Checked: 1 host and 0 resolutions" in shown
    assert "INCOMPLETE" not in shown


def test_a_malicious_seed_without_an_actor_is_said() -> None:
    lookup = replace(sample_lookup(), actors=())
    shown = text_of(comment(actors=(), lookups=[lookup], raises=False))
    assert "Microsoft rates 1 malicious" in shown


def test_observe_mode_says_what_would_have_been_done() -> None:
    shown = text_of(comment(mode="observe"))
    assert "nothing was changed. Severity would be High, for Example Blizzard." in shown


def test_a_closed_incident_stays_closed() -> None:
    assert "closed and stays as it is" in text_of(comment(closed=True))


def test_several_that_qualify_are_named_as_undecided() -> None:
    actors = [replace(blizzard(), escalate=False), replace(typhoon(), qualifies=True)]
    assert "several actors qualify and none stands out" in text_of(comment(actors=actors))


def test_hashes_exposure_left_out_and_queries_are_listed() -> None:
    brief = sample_brief()
    shown = text_of(
        comment(
            actors=(),
            hash_matches=brief.hash_matches,
            exposure=[*brief.exposure, replace(brief.exposure[0], examples=())],
            left_out=brief.left_out,
            hunting_queries=["Devices that reached it"],
        )
    )
    assert "linked through intel profiles to Example Blizzard" in shown
    assert "CVE-2026-0001 (used by Example Blizzard): 12 machines, such as server-1" in shown
    assert "10[.]0[.]0[.]4: a private address" in shown
    assert "Devices that reached it" in shown


def test_an_actor_without_a_prompt_has_its_profile_or_its_earlier_description() -> None:
    portal = "https://security.microsoft.com/incident2/7/overview"
    earlier = {
        "Example Blizzard": EarlierDescription(NOW, "incident 7", portal),
        "Example Typhoon": EarlierDescription(NOW, "incident 8", "https://evil.example/"),
    }
    shown = comment(earlier=earlier, profiles={"Example Blizzard": sample_profile()})
    assert f'2026-11-21, in <a href="{portal}"' in shown
    assert "in incident 8." in shown
    assert "evil" not in shown
    assert "attacks example organisations" not in shown
    shown = text_of(comment(profiles={"Example Typhoon": sample_profile()}))
    assert "A group that attacks example organisations." in shown


@pytest.mark.parametrize("limit", [2_000, 5_000, MAX_COMMENT])
def test_a_huge_comment_is_cut_between_rows_and_says_how_much_is_missing(limit: int) -> None:
    many = tuple(evidence("x" * 250, hops=number % 4) for number in range(300))
    actors = [blizzard(*many), *(replace(typhoon(), name=f"Actor {n}") for n in range(200))]
    left_out = [LeftOut("Url", "\U0001f600" * 300, "why") for _ in range(400)]
    gaps = [Gap("passiveDns", "y" * 300) for _ in range(400)]
    html = comment(actors=actors, left_out=left_out, gaps=gaps, limit=limit)
    assert len(html.encode("utf-16-le")) // 2 <= limit
    assert "more not shown" in text_of(html) or "more section" in text_of(html)
    assert "INCOMPLETE: 400 things" in text_of(html)


def test_a_profile_that_does_not_fit_is_left_out_whole() -> None:
    profile = {"Example Typhoon": sample_profile("z" * 1_900)}
    html = comment(profiles=profile, limit=3_500)
    assert "zzz" not in text_of(html)
    assert "zzz" in text_of(comment(profiles=profile))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(text: str) -> None:
    lookup = hostile_lookup(text)
    html = comment(
        actors=lookup.actors,
        lookups=[lookup],
        gaps=lookup.gaps,
        left_out=[LeftOut(text, text, text)],
        hunting_queries=[text],
        profiles={lookup.actors[0].name: replace(sample_profile(text), title=text)},
    )
    assert len(html) <= MAX_COMMENT
    text_of(html)
    assert "evil.example" not in html


@pytest.mark.parametrize("text", HOSTILE)
def test_a_profile_paragraph_is_text_with_one_known_link(text: str) -> None:
    profile = replace(sample_profile(text), title=text, aliases=(text,), targets=())
    html = actor_paragraph(profile)
    assert html.count("<a ") == 1
    assert "security.microsoft.com/intel-profiles/" in html
    assert len(text_of(html)) < 4_000


def test_a_profile_without_any_text_says_so() -> None:
    assert "No summary published." in actor_paragraph(replace(sample_profile(""), description=""))


def test_an_actor_without_evidence_is_still_named() -> None:
    bare = Actor("Example Tempest", (), None, "low", 0.1, False, ())
    shown = text_of(comment(actors=[bare]))
    assert "linked through evidence that is not listed to Example Tempest" in shown
