"""The chain as a Mermaid flowchart, for wikis and pull requests that draw it."""

from collections.abc import Sequence
from typing import Final

from mdti.models import Lookup
from mdti.pruning import STOP_ROLES
from mdti.render import wording
from mdti.render.chart import chart, node_note
from mdti.render.escape import defang_host, mermaid

MAX_LOOKUPS: Final = 10
"""Look-ups in one chart; Mermaid refuses more than 500 edges and 50,000 characters."""

_STYLES = (
    "classDef seed stroke-width:3px",
    "classDef stop fill:#eee,stroke:#999,color:#555,stroke-dasharray:4 3",
    "classDef actor fill:#fde2e1,stroke:#b3261e,color:#601410",
    "classDef gap fill:#fff3cd,stroke:#8a6d00,color:#4a3b00",
)


def lookups_mermaid(lookups: Sequence[Lookup]) -> str:
    """Return one flowchart with a part per look-up."""
    lines = ["flowchart LR"]
    for number, lookup in enumerate(lookups[:MAX_LOOKUPS]):
        lines += _part(lookup, f"l{number}")
    if len(lookups) > MAX_LOOKUPS:
        left = wording.plural(len(lookups) - MAX_LOOKUPS, "more look-up")
        lines.append(f'  left["{left} not shown"]:::gap')
    return "\n".join([*lines, *(f"  {style}" for style in _STYLES)]) + "\n"


def _part(lookup: Lookup, name: str) -> list[str]:
    drawing = chart(lookup)
    ids = {node.host: f"{name}n{number}" for number, node in enumerate(drawing.nodes)}
    lines = []
    for node in drawing.nodes:
        stopped = node.report is not None and node.report.role in STOP_ROLES
        style = ":::gap" if node.unfinished else ":::stop" if stopped else ""
        style = ":::seed" if node.host == lookup.seed else style
        label = f"{mermaid(defang_host(node.host))}<br/>{mermaid(node_note(node))}"
        lines.append(f'  {ids[node.host]}["{label}"]{style}')
    for edge in drawing.edges:
        arrow = "==>" if edge.on_path else "-->"
        days = f"{wording.day(edge.first)} to {wording.day(edge.last)}"
        lines.append(f'  {ids[edge.near]} {arrow}|"{days}"| {ids[edge.far]}')
    for number, actor in enumerate(drawing.actors):
        label = f"{mermaid(actor.name)}<br/>{mermaid(wording.sureness(actor))}"
        lines.append(f'  {name}a{number}(["{label}"]):::actor')
        hosts = sorted({item.host for item in actor.evidence} & ids.keys())
        lines += [f"  {ids[host]} -.-> {name}a{number}" for host in hosts]
    for hop, count in drawing.folded:
        words = f"{wording.plural(count, 'more host')} at {wording.plural(hop, 'hop')}"
        lines.append(f'  {name}m{hop}["{words}"]:::stop')
    if not lookup.complete:
        words = f"Incomplete: {wording.plural(len(lookup.gaps), 'gap')}"
        lines.append(f'  {name}g["{words}"]:::gap')
    return lines
