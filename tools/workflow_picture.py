"""Draw a workflow definition as SVG: what it does, in the order of `runAfter`.

Steps that only prepare values are left out. A condition shows its two branches side by side, a
loop is a frame around what it repeats.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

Action = Mapping[str, Any]

_HIDDEN = frozenset({"Compose", "Select", "SetVariable", "InitializeVariable"})
_COLOURS = {
    "Http": "#cfe3f7",
    "ApiConnection": "#d9f2d0",
    "Terminate": "#f7d4cf",
    "Wait": "#f3ecd0",
    "Trigger": "#e3d5f2",
}
_ROW, _GAP, _PAD, _LABEL, _CHARACTER = 34, 20, 14, 22, 7.4


@dataclass(frozen=True, slots=True)
class _Block:
    """A piece of the picture: its size, and its SVG relative to its own top left corner."""

    width: float
    height: float
    parts: tuple[str, ...]

    def at(self, x: float, y: float) -> str:
        return f'<g transform="translate({x:g} {y:g})">{"".join(self.parts)}</g>'


def draw(definition: Mapping[str, Any], stand_ins: Mapping[str, Action]) -> str:
    """Return the picture; `stand_ins` replaces actions that the template chooses on deployment."""
    triggers = [_box(name, "Trigger") for name in definition["triggers"]]
    block = _stack([*triggers, *_level(definition["actions"], stand_ins)])
    width, height = block.width + 2 * _PAD, block.height + 2 * _PAD
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" font-family="sans-serif" font-size="13">\n'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="#555"/></marker></defs>\n'
        f'<rect width="{width:g}" height="{height:g}" fill="#ffffff"/>\n'
        f"{block.at(_PAD, _PAD)}\n</svg>\n"
    ).replace("</g><g", "</g>\n<g")


def _level(actions: Mapping[str, Action], stand_ins: Mapping[str, Action]) -> list[_Block]:
    blocks = (_action(name, stand_ins.get(name, one), stand_ins) for name, one in _ordered(actions))
    return [block for block in blocks if block is not None]


def _ordered(actions: Mapping[str, Action]) -> Iterable[tuple[str, Action]]:
    done: set[str] = set()
    waiting = dict(actions)
    while waiting:
        ready = [
            name
            for name, one in waiting.items()
            if not isinstance(one, Mapping) or set(one.get("runAfter", {})) <= done
        ]
        for name in ready:
            done.add(name)
            yield name, waiting.pop(name)


def _action(name: str, action: Action, stand_ins: Mapping[str, Action]) -> _Block | None:
    kind = action["type"]
    if kind in _HIDDEN:
        return None
    states = [state for after in action.get("runAfter", {}).values() for state in after]
    if states and "Succeeded" not in states:
        name = f"if that failed: {name}"
    if kind == "If":
        branches = (
            ("yes", _level(action["actions"], stand_ins)),
            ("no", _level(action.get("else", {}).get("actions", {}), stand_ins)),
        )
        return _condition(name, [(label, _stack(steps)) for label, steps in branches if steps])
    if kind in {"Until", "Foreach", "Scope"}:
        return _frame(name, _stack(_level(action["actions"], stand_ins)))
    return _box(name, kind)


def _box(name: str, kind: str) -> _Block:
    text = escape(name.replace("_", " "))
    width = max(150.0, len(name) * _CHARACTER + 2 * _PAD)
    fill = _COLOURS.get(kind, "#eeeeee")
    return _Block(
        width,
        _ROW,
        (
            f'<rect width="{width:g}" height="{_ROW}" rx="5" fill="{fill}" stroke="#777"/>',
            _text(width / 2, _ROW / 2 + 5, text, "middle"),
        ),
    )


def _condition(name: str, branches: list[tuple[str, _Block]]) -> _Block | None:
    if not branches:
        return None
    inside = sum(block.width for _, block in branches) + _PAD * (len(branches) + 1)
    question = escape(name.replace("_", " ")) + "?"
    width = max(inside, len(question) * _CHARACTER + 2 * _PAD)
    height = _LABEL * 2 + max(block.height for _, block in branches) + _PAD
    parts = [
        f'<rect width="{width:g}" height="{height:g}" rx="5" fill="none" stroke="#777"/>',
        _text(_PAD, _LABEL - 5, f'<tspan font-weight="bold">{question}</tspan>', "start"),
    ]
    x = _PAD + (width - inside) / 2
    for label, block in branches:
        parts += [_text(x, _LABEL * 2 - 7, label, "start"), block.at(x, _LABEL * 2)]
        x += block.width + _PAD
    return _Block(width, height, tuple(parts))


def _frame(name: str, inner: _Block) -> _Block:
    title = escape(name.replace("_", " "))
    width = max(inner.width, len(title) * _CHARACTER) + 2 * _PAD
    height = inner.height + _LABEL + 2 * _PAD
    return _Block(
        width,
        height,
        (
            f'<rect width="{width:g}" height="{height:g}" rx="5" fill="none" stroke="#777" '
            'stroke-dasharray="5 4"/>',
            _text(_PAD, _LABEL - 5, f"&#8635; {title}", "start"),
            inner.at((width - inner.width) / 2, _LABEL + _PAD / 2),
        ),
    )


def _stack(blocks: list[_Block]) -> _Block:
    width = max(block.width for block in blocks) if blocks else 0.0
    parts: list[str] = []
    y = 0.0
    for index, block in enumerate(blocks):
        if index:
            middle = width / 2
            parts.append(
                f'<path d="M{middle:g} {y:g}v{_GAP}" stroke="#555" marker-end="url(#tip)"/>'
            )
            y += _GAP
        parts.append(block.at((width - block.width) / 2, y))
        y += block.height
    return _Block(width, y, tuple(parts))


def _text(x: float, y: float, content: str, anchor: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="#222">{content}</text>'
