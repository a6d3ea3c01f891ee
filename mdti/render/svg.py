"""The chain as an inline SVG picture: one column per hop, the actors in the last.

Hosts are ordered within a column by the mean height of their neighbours to the left, the simplest
of the layered-drawing heuristics (Sugiyama, Tagawa and Toda, 1981). Colours come from the page's
style by class, so the picture follows dark and light; dates and reasons show on hover.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mdti.models import Actor, Host, Lookup
from mdti.render import wording
from mdti.render.chart import Chart, Edge, Node, chart, edge_note, node_note
from mdti.render.escape import defang_host, html

# Pixels.
_WIDTH: Final = 236
_HEIGHT: Final = 44
_COLUMN: Final = 284
_ROW: Final = 56
_MARGIN: Final = 14
_HEAD: Final = 26
_LABEL: Final = 28  # characters of 12 px monospace that fit into a node beside its mark
_LANE: Final = 10


@dataclass(frozen=True, slots=True)
class _Place:
    x: float
    y: float

    @property
    def middle(self) -> float:
        return self.y + _HEIGHT / 2


def lookup_svg(lookup: Lookup, *, name: str) -> str:
    """Return the picture of one look-up; `name` makes its element ids unique in the page."""
    drawing = chart(lookup)
    places = _places(drawing)
    last = max(node.hops for node in drawing.nodes) + (1 if drawing.actors else 0)
    rows = max(_rows(drawing).values())
    width = _MARGIN * 2 + last * _COLUMN + _WIDTH
    floor = _HEAD + _MARGIN * 2 + rows * _ROW - (_ROW - _HEIGHT)
    actor_places = _actor_places(drawing, last, rows)
    height = floor + _LANE * len(actor_places)
    parts = [
        f'<svg class="chain" role="img" aria-labelledby="{name}-title {name}-text"'
        f' viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f'<title id="{name}-title">Chain of {html(defang_host(lookup.seed))}</title>',
        f'<desc id="{name}-text">{html(_described(lookup), limit=4_000)}</desc>',
        *_column_heads(drawing, last),
        *(_edge(edge, places) for edge in sorted(drawing.edges, key=lambda edge: edge.on_path)),
        *_claims(places, actor_places, floor),
        *(_node(node, places[node.host], seed=node.host == lookup.seed) for node in drawing.nodes),
        *(_mark(places[host]) for host in sorted(_claimed(drawing)) if host in places),
        *_folded(drawing, rows),
        *(_actor(actor, place) for actor, place in actor_places),
        "</svg>",
    ]
    return "\n".join(parts)


def _described(lookup: Lookup) -> str:
    found = [f"{wording.linked(actor)}." for actor in lookup.actors]
    return " ".join([wording.verdict(lookup), *found])


def _rows(drawing: Chart) -> dict[int, int]:
    rows: dict[int, int] = defaultdict(int)
    for node in drawing.nodes:
        rows[node.hops] += 1
    for hop, _ in drawing.folded:
        rows[hop] += 1
    rows[-1] = len(drawing.actors)
    return rows


def _places(drawing: Chart) -> dict[Host, _Place]:
    rows = _rows(drawing)
    tallest = max(rows.values())
    neighbours: dict[Host, list[Host]] = defaultdict(list)
    for edge in drawing.edges:
        neighbours[edge.far].append(edge.near)
    places: dict[Host, _Place] = {}
    for hop in sorted({node.hops for node in drawing.nodes}):
        column = [node for node in drawing.nodes if node.hops == hop]
        weights = {
            node.host: _mean([places[host].y for host in neighbours[node.host] if host in places])
            for node in column
        }
        column = _centred(sorted(column, key=lambda node: (weights[node.host], node.host)))
        top = _HEAD + _MARGIN + (tallest - rows[hop]) * _ROW / 2
        for number, node in enumerate(column):
            places[node.host] = _Place(_MARGIN + hop * _COLUMN, top + number * _ROW)
    return places


def _centred(column: list[Node]) -> list[Node]:
    """Put the hosts on a path into the middle, so that the chain reads as one line."""
    walked = [node for node in column if node.on_path]
    others = [node for node in column if not node.on_path]
    half = len(others) // 2
    return others[:half] + walked + others[half:]


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _actor_places(drawing: Chart, column: int, rows: int) -> list[tuple[Actor, _Place]]:
    top = _HEAD + _MARGIN + (rows - len(drawing.actors)) * _ROW / 2
    return [
        (actor, _Place(_MARGIN + column * _COLUMN, top + number * _ROW))
        for number, actor in enumerate(drawing.actors)
    ]


def _column_heads(drawing: Chart, last: int) -> list[str]:
    heads = {node.hops: wording.plural(node.hops, "hop") for node in drawing.nodes}
    heads[0] = "looked up"
    if drawing.actors:
        heads[last] = "actors"
    return [
        f'<text class="head" x="{_MARGIN + hop * _COLUMN}" y="{_HEAD - 8}">{words}</text>'
        for hop, words in sorted(heads.items())
    ]


def _curve(start: _Place, end: _Place) -> str:
    if start.x == end.x:  # two hosts with the same number of hops
        x, bend = start.x + _WIDTH, start.x + _WIDTH + 36
        return (
            f"M{x:g} {start.middle:g}"
            f"C{bend:g} {start.middle:g} {bend:g} {end.middle:g} {x:g} {end.middle:g}"
        )
    left, right = start.x + _WIDTH, end.x
    middle = (left + right) / 2
    return (
        f"M{left:g} {start.middle:g}"
        f"C{middle:g} {start.middle:g} {middle:g} {end.middle:g} {right:g} {end.middle:g}"
    )


def _detour(start: _Place, end: _Place, lane: float) -> str:
    gap = _COLUMN - _WIDTH
    left, right = start.x + _WIDTH, end.x
    down, up = left + gap / 2, right - gap / 2
    return (
        f"M{left:g} {start.middle:g}"
        f"C{down:g} {start.middle:g} {down:g} {lane:g} {left + gap:g} {lane:g}"
        f"H{right - gap:g}"
        f"C{up:g} {lane:g} {up:g} {end.middle:g} {right:g} {end.middle:g}"
    )


def _edge(edge: Edge, places: dict[Host, _Place]) -> str:
    curve = _curve(places[edge.near], places[edge.far])
    ends = f"{defang_host(edge.near)} and {defang_host(edge.far)}"
    walked = " walked" if edge.on_path else ""
    return (
        f"<g><title>{html(f'{ends}: {edge_note(edge)}')}</title>"
        f'<path class="hit" d="{curve}"/><path class="edge{walked}" d="{curve}"/></g>'
    )


def _claims(
    places: dict[Host, _Place], actor_places: list[tuple[Actor, _Place]], floor: float
) -> Iterator[str]:
    """Yield what ties hosts to actors; from a far column by the actor's lane below all hosts."""
    for number, (actor, place) in enumerate(actor_places):
        strongest = {item.host: item for item in reversed(wording.ranked(actor.evidence))}
        for host, item in sorted(strongest.items()):
            if host in places:
                near = place.x - places[host].x <= _COLUMN
                lane = floor + number * _LANE
                curve = _curve(places[host], place) if near else _detour(places[host], place, lane)
                title = f"{defang_host(host)}, {actor.name}: {wording.claim(item.kind)}"
                yield (
                    f"<g><title>{html(title)}</title>"
                    f'<path class="hit" d="{curve}"/><path class="claim" d="{curve}"/></g>'
                )


def _node(node: Node, place: _Place, *, seed: bool) -> str:
    shown = defang_host(node.host)
    role = node.report.role if node.report else "unmeasured"
    marks = {"walked": node.on_path, "unfinished": node.unfinished, "seed": seed}
    classes = " ".join(["node", role, *(mark for mark, is_set in marks.items() if is_set)])
    reason = f": {node.report.reason}" if node.report else ""
    title = f"{shown}, {node_note(node)}{reason}"
    return (
        f'<g class="{classes}"><title>{html(title)}</title>'
        f"{_box(place)}{_lines(place, html(_middle_cut(shown)), html(node_note(node)))}</g>"
    )


def _claimed(drawing: Chart) -> set[Host]:
    return {item.host for actor in drawing.actors for item in actor.evidence}


def _mark(place: _Place) -> str:
    return f'<circle class="mark" cx="{place.x + _WIDTH - 12:g}" cy="{place.y + 14:g}" r="4"/>'


def _actor(actor: Actor, place: _Place) -> str:
    classes = "node actor escalates" if actor.escalate else "node actor"
    return (
        f'<g class="{classes}"><title>{html(wording.linked(actor))}</title>'
        f"{_box(place, radius=_HEIGHT // 2)}"
        f"{_lines(place, html(actor.name, limit=_LABEL - 1), html(wording.sureness(actor)))}</g>"
    )


def _folded(drawing: Chart, rows: int) -> list[str]:
    counts = _rows(drawing)
    parts = []
    for hop, count in drawing.folded:
        top = _HEAD + _MARGIN + (rows - counts[hop]) * _ROW / 2
        place = _Place(_MARGIN + hop * _COLUMN, top + (counts[hop] - 1) * _ROW)
        words = f"{wording.plural(count, 'more host')}"
        parts.append(
            f'<g class="node folded">{_box(place)}{_lines(place, words, "in the table")}</g>'
        )
    return parts


def _box(place: _Place, *, radius: int = 7) -> str:
    return (
        f'<rect x="{place.x:g}" y="{place.y:g}" width="{_WIDTH}" height="{_HEIGHT}" rx="{radius}"/>'
    )


def _lines(place: _Place, first: str, second: str) -> str:
    x = place.x + 12
    return (
        f'<text class="name" x="{x:g}" y="{place.y + 18:g}">{first}</text>'
        f'<text class="note" x="{x:g}" y="{place.y + 34:g}">{second}</text>'
    )


def _middle_cut(text: str) -> str:
    """Cut the middle: both the label and the registered domain tell hosts apart."""
    if len(text) <= _LABEL:
        return text
    head = (_LABEL - 1) // 2
    return f"{text[:head]}…{text[head + 1 - _LABEL :]}"
