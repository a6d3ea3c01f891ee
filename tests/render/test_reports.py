"""The reports people read: HTML with its picture, text, Markdown, CSV and Mermaid."""

import csv
import io
import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from mdti.incident_models import Brief
from mdti.models import Lookup, Resolution
from mdti.render import render
from mdti.render.chart import MAX_PER_HOP, chart
from mdti.render.csv import COLUMNS
from mdti.render.svg import lookup_svg
from tests.render.samples import (
    HOSTILE,
    NOW,
    blizzard,
    empty_lookup,
    evidence,
    host,
    hostile_lookup,
    report,
    sample_brief,
    sample_lookup,
    seen,
)

VOID = {"meta", "br"}


class _Page(HTMLParser):
    """Checks that tags balance, and collects tags, links, ids and text."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(source)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            assert not name.startswith("on")
            assert name != "style"
            if name in {"href", "src"}:
                self.links.append(value or "")
            if name == "id":
                self.ids.append(value or "")
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page(lookups: list[Lookup], brief: Brief | None = None) -> _Page:
    return _Page(render("html", lookups, now=NOW, brief=brief))


def test_the_page_is_self_contained_and_its_policy_allows_its_own_style_only() -> None:
    source = render("html", [sample_lookup()], now=NOW, brief=sample_brief())
    (style,) = re.findall(r"<style>(.*?)</style>", source, re.DOTALL)
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'" in source
    assert not {"script", "img", "link", "iframe", "form"} & set(_Page(source).tags)
    assert "url(" not in style
    assert "prefers-color-scheme:dark" in style
    assert "@media print" in style


def test_only_the_portal_is_linked() -> None:
    links = page([sample_lookup()], sample_brief()).links
    assert links
    assert all(link.startswith("https://security.microsoft.com/") for link in links)


def test_several_look_ups_have_pictures_of_their_own() -> None:
    shown = page([sample_lookup(), empty_lookup()])
    assert shown.tags.count("svg") == 2
    assert len(shown.ids) == len(set(shown.ids))
    assert "Who is behind 2 hosts?" in shown.text


def test_the_brief_leads_with_its_decision() -> None:
    shown = page([sample_lookup()], sample_brief()).text
    assert "Escalate" in shown
    assert "12 machines" in shown
    assert "DeviceNetworkEvents\n| take 1" in shown
    observed = replace(sample_brief(), mode="observe", raises=False)
    assert "this is what would be done" in page([], observed).text


@pytest.mark.parametrize("name", ["text", "markdown", "html"])
def test_a_brief_is_called_by_its_incident(name: str) -> None:
    brief = replace(sample_brief(), subject="4711: Beacon\nto <x-evil>c2.example.com")
    shown = render(name, [], now=NOW, brief=brief)
    assert "Incident 4711: Beacon to " in shown
    assert "<x-evil>" not in shown or name == "text"
    assert "c2.example.com" not in shown
    assert "Incident brief" in render(name, [], now=NOW, brief=sample_brief())


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_cannot_leave_its_element(text: str) -> None:
    shown = page([hostile_lookup(text)])
    assert set(shown.tags) == set(page([sample_lookup()]).tags)
    assert all(link.startswith("https://security.microsoft.com/") for link in shown.links)


def test_long_tables_are_cut_and_say_so() -> None:
    lookup = sample_lookup()
    edges = [
        seen("203.0.113.10", f"n{number}.test", "2026-08-11", "2026-11-02") for number in range(400)
    ]
    gaps = lookup.gaps * 400
    wide = replace(lookup, resolutions=tuple(edges), gaps=gaps, hosts=lookup.hosts * 20)
    shown = page([wide]).text
    assert "100 more not shown" in shown
    assert "200 more not shown" in shown
    for name in ("text", "markdown"):
        assert "more not shown" in render(name, [wide], now=NOW)


def test_the_picture_tells_its_story_in_words_too() -> None:
    picture = lookup_svg(sample_lookup(), name="c")
    assert 'role="img"' in picture
    assert 'aria-labelledby="c-title c-text"' in picture
    assert "linked through 203[.]0[.]113[.]10 (1 hop of passive DNS) to Example Blizzard" in picture
    assert "A, seen 2026-08-02 to 2026-11-18" in picture
    assert "hub, at least 101 domains" in picture


def test_nodes_of_a_picture_never_overlap() -> None:
    boxes = re.findall(r'<rect x="([\d.]+)" y="([\d.]+)"', lookup_svg(sample_lookup(), name="c"))
    columns: dict[str, list[float]] = {}
    for x, y in boxes:
        columns.setdefault(x, []).append(float(y))
    assert len(columns) == 5
    for rows in columns.values():
        ordered = sorted(rows)
        assert all(below - above >= 44 for above, below in pairwise(ordered))


def test_a_picture_folds_what_does_not_fit_and_keeps_the_paths() -> None:
    drawing = chart(sample_lookup())
    assert drawing.folded == ((2, 17 - MAX_PER_HOP),)
    drawn = {node.host for node in drawing.nodes}
    steps = [step for item in blizzard().evidence for step in item.path]
    assert {step.answer for step in steps} <= drawn
    assert host("static-assets.test") in drawn
    assert "8 more hosts" in lookup_svg(sample_lookup(), name="c")


def test_evidence_on_a_folded_host_is_told_in_the_list_alone() -> None:
    names = [f"m{number:02}.test" for number in range(MAX_PER_HOP + 3)]
    paths = [seen("login-update.example", name, "2026-08-01", "2026-09-01") for name in names]
    items = [replace(evidence(), host=step.answer, path=(step,)) for step in paths]
    wide = replace(sample_lookup(), hosts=(), resolutions=(), actors=(blizzard(*items),))
    assert lookup_svg(wide, name="c").count('class="claim"') == MAX_PER_HOP
    assert "m11[.]test" in page([wide]).text
    assert "m11[.]test" not in lookup_svg(wide, name="c")


def test_both_directions_of_a_resolution_are_one_edge() -> None:
    lookup = sample_lookup()
    back = tuple(
        Resolution(step.answer, step.queried, step.record_type, step.first, step.last)
        for step in lookup.resolutions
    )
    both = chart(replace(lookup, resolutions=lookup.resolutions + back))
    assert both.edges == chart(lookup).edges


def test_a_host_known_from_a_path_alone_is_drawn() -> None:
    bare = replace(sample_lookup(), hosts=(), resolutions=(), gaps=())
    assert {node.hops for node in chart(bare).nodes} == {0, 1, 2, 3}
    assert "seen on the way" in lookup_svg(bare, name="c")


def test_two_hosts_with_the_same_hops_are_joined_beside_their_column() -> None:
    edge = seen("cdn-telemetry.test", "mail-relay.test", "2026-08-09", "2026-10-30", "CNAME")
    lookup = sample_lookup()
    assert "CNAME, seen" in lookup_svg(
        replace(lookup, resolutions=(*lookup.resolutions, edge)), name="c"
    )


def test_text_keeps_its_width_and_its_colours_are_optional() -> None:
    plain = render("text", [sample_lookup()], now=NOW, brief=sample_brief(), width=80)
    assert max(map(len, plain.splitlines())) <= 80
    assert "\x1b" not in plain
    coloured = render("text", [sample_lookup()], now=NOW, brief=sample_brief(), colour=True)
    assert "\x1b[1;31m  INCOMPLETE, could not be looked at:\x1b[0m" in coloured
    bare = re.sub(r"\x1b\[[\d;]*m", "", coloured)
    assert bare == render("text", [sample_lookup()], now=NOW, brief=sample_brief())


def test_text_shows_the_path_step_by_step_with_dates() -> None:
    shown = render("text", [sample_lookup()], now=NOW)
    assert "└ 203[.]0[.]113[.]10  A, 2026-08-02 to 2026-11-18" in shown
    assert "Not followed:" in shown
    many = replace(sample_lookup(), actors=(blizzard(*[evidence()] * 30),))
    assert "20 more pieces of evidence not shown" in render("text", [many], now=NOW)
    observed = replace(sample_brief(), mode="observe")
    assert "Observe mode" in render("text", [], now=NOW, brief=observed)


def test_no_actor_is_told_apart_from_no_answer() -> None:
    assert "no actor found. Checked: 1 host" in render("text", [empty_lookup()], now=NOW)
    broken = empty_lookup(sample_lookup().gaps)
    assert "not everything could be looked at" in render("text", [broken], now=NOW)
    faint = replace(sample_lookup(), actors=(replace(blizzard(), escalate=False),), hosts=())
    assert "none strong enough to escalate" in render("text", [faint], now=NOW)


def test_markdown_tables_keep_their_columns_whatever_the_text() -> None:
    for text in HOSTILE:
        shown = render("markdown", [hostile_lookup(text)], now=NOW)
        rows = [line for line in shown.splitlines() if line.startswith("| `")]
        assert rows
        assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {6}


def test_markdown_of_a_bare_brief_says_the_decision_alone() -> None:
    bare = Brief(
        actors=(),
        raises=False,
        severity="Low",
        status="New",
        tags=(),
        comment=None,
        copilot_prompts=(),
        exposure=(),
        hunting_queries=(),
        left_out=(),
        hash_matches=(),
        lookups=(),
        gaps=(),
        mode="observe",
    )
    unknown = replace(empty_lookup(), reputation=None, hosts=())
    shown = render("markdown", [unknown], now=NOW, brief=bare)
    assert "**Do not escalate** (observe mode: nothing was changed)" in shown
    assert "Reputation" not in shown
    assert "Who is behind" not in render("html", [unknown], now=NOW, brief=bare)
    assert "Reputation" not in render("text", [unknown], now=NOW)
    assert "Rules" not in render("markdown", [empty_lookup()], now=NOW)


def test_markdown_lists_what_a_brief_could_not_look_at() -> None:
    shown = render("markdown", [], now=NOW, brief=sample_brief())
    assert "Incomplete: could not be looked at" in shown
    assert "    DeviceNetworkEvents" in shown


def test_csv_has_a_row_per_evidence_host_and_gap() -> None:
    lookup = sample_lookup()
    rows = list(csv.DictReader(io.StringIO(render("csv", [lookup], now=NOW), newline="")))
    assert tuple(rows[0]) == COLUMNS
    kinds = [row["row"] for row in rows]
    assert kinds.count("evidence") == 4
    assert kinds.count("host") == len(lookup.hosts)
    assert kinds.count("gap") == 1
    assert rows[0]["path"] == "login-update.example > 203.0.113.10"
    assert rows[0]["firstSeen"] == "2026-08-02T00:00:00Z"
    assert rows[0]["escalate"] == "true"
    assert {row["degree"] for row in rows} >= {">=101", "4", ""}
    assert {row["complete"] for row in rows} == {"false"}


def test_csv_takes_hosts_and_gaps_with_little_known() -> None:
    lookup = replace(
        sample_lookup(),
        actors=(blizzard(evidence(hops=0)),),
        hosts=(replace(report("a.example", 1), last_seen=None),),
        gaps=(replace(sample_lookup().gaps[0], host=None),),
    )
    rows = list(csv.DictReader(io.StringIO(render("csv", [lookup], now=NOW), newline="")))
    assert [row["host"] for row in rows] == ["login-update.example", "a.example", ""]
    assert rows[0]["path"] == rows[1]["lastSeen"] == ""


def test_mermaid_draws_the_chain_the_stops_and_the_gaps() -> None:
    shown = render("mermaid", [sample_lookup()], now=NOW)
    assert shown.startswith("flowchart LR\n")
    assert '"2026-08-02 to 2026-11-18"' in shown
    assert "hub, at least 101 domains" in shown
    assert "8 more hosts at 2 hops" in shown
    assert "Incomplete: 1 gap" in shown
    assert "2 more look-ups not shown" in render("mermaid", [empty_lookup()] * 12, now=NOW)


@pytest.mark.parametrize("text", HOSTILE)
def test_mermaid_labels_stay_in_their_quotes(text: str) -> None:
    for line in render("mermaid", [hostile_lookup(text)], now=NOW).splitlines():
        assert line.count('"') in {0, 2}
        assert "<" not in line.replace("<br/>", "")
