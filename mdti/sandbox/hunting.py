"""`runHuntingQuery` for one table: which machines of the tenant have which CVE.

A small part of KQL over `DeviceTvmSoftwareVulnerabilities`, enough for bounded questions: `where`
(CVE ids and device names are matched as text), `summarize` with `count()`, `dcount()`,
`make_set()`, `make_list()`, `any()`/`take_any()`, `project`, `distinct`, `sort`/`order`/`top`,
`take`/`limit`. Anything else is refused, as the service refuses what it cannot read.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

from mdti.sandbox.world import World

TABLE = "DeviceTvmSoftwareVulnerabilities"
Row = dict[str, Any]
_CVE = re.compile(r"CVE-\d{4}-\d{4,7}", re.IGNORECASE)
_AGGREGATE = re.compile(r"^(?:(\w+)\s*=\s*)?(\w+)\s*\(\s*(\w*)\s*(?:,\s*(\d+)\s*)?\)$")


class BadQuery(Exception):
    """A query that cannot be read; the message is what the service would say."""


def run(query: str, world: World) -> dict[str, Any]:
    """Return the `huntingQueryResults` of a query; raises `BadQuery`."""
    steps = [step.strip() for step in _outside_comments(query).split("|")]
    table = steps[0]
    if table.lower() != TABLE.lower():
        raise BadQuery(f"Failed to resolve table or column expression named '{table[:60]}'")
    rows = _rows(world)
    for step in steps[1:]:
        rows = _step(step, rows)
    names = list(rows[0]) if rows else []
    schema = [{"name": name, "type": _type_of(rows[0][name])} for name in names]
    return {"schema": schema, "results": rows}


def _outside_comments(query: str) -> str:
    return "\n".join(line.partition("//")[0] for line in query.splitlines()).strip().rstrip(";")


def _rows(world: World) -> list[Row]:
    return [
        {
            "DeviceId": hashlib.sha256(machine.encode()).hexdigest()[:40],
            "DeviceName": machine,
            "OSPlatform": "Windows11",
            "SoftwareVendor": item.vendor,
            "SoftwareName": item.software,
            "SoftwareVersion": "4.2.0.0",
            "CveId": item.id,
            "VulnerabilitySeverityLevel": item.severity.capitalize(),
        }
        for item in world.vulnerabilities.values()
        for machine in item.machines
    ]


def _step(step: str, rows: list[Row]) -> list[Row]:
    verb, _, rest = step.partition(" ")
    rest = " ".join(rest.split())
    match verb.lower():
        case "where":
            return _where(rest, rows)
        case "summarize":
            return _summarize(rest, rows)
        case "project":
            names = _names(rest, rows)
            return [{name: row[name] for name in names} for row in rows]
        case "distinct":
            names = _names(rest, rows)
            unique = dict.fromkeys(tuple(row[name] for name in names) for row in rows)
            return [dict(zip(names, values, strict=True)) for values in unique]
        case "take" | "limit":
            return rows[: _limit(rest)]
        case "top":
            amount, _, by = rest.partition(" by ")
            return _sorted(by, rows)[: _limit(amount)]
        case "sort" | "order":
            return _sorted(rest.removeprefix("by "), rows)
        case _:
            raise BadQuery(f"Syntax error: the operator '{verb[:30]}' is not understood")


def _where(condition: str, rows: list[Row]) -> list[Row]:
    wanted = {cve.upper() for cve in _CVE.findall(condition)}
    if "CveId" not in condition or not wanted:
        raise BadQuery("Syntax error: 'where' is understood for CveId alone")
    return [row for row in rows if row["CveId"] in wanted]


def _summarize(text: str, rows: list[Row]) -> list[Row]:
    aggregates, _, by = text.partition(" by ")
    names = _names(by, rows) if by else []
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    parts = [part.strip() for part in re.split(r",\s*(?![^()]*\))", aggregates)]
    return [
        dict(zip(names, key, strict=True)) | dict(_aggregate(part, group) for part in parts)
        for key, group in groups.items()
    ]


def _aggregate(text: str, rows: Sequence[Row]) -> tuple[str, Any]:
    found = _AGGREGATE.match(text)
    if found is None:
        raise BadQuery(f"Syntax error near '{text[:40]}'")
    function, column = found[2].lower(), found[3]
    values = [_value(row, column) for row in rows] if column else list(rows)
    name = found[1] or f"{function}_{column}"
    match function:
        case "count":
            return name, len(rows)
        case "dcount":
            return name, len(set(values))
        case "make_set":
            return name, list(dict.fromkeys(values))[: _limit(found[4] or "1048576")]
        case "make_list":
            return name, values[: _limit(found[4] or "1048576")]
        case "any" | "take_any":
            return found[1] or column, values[0]
        case _:
            raise BadQuery(f"Unknown function: '{function[:30]}'")


def _sorted(text: str, rows: Iterable[Row]) -> list[Row]:
    ordered = list(rows)
    for part in reversed(text.split(",")):
        name, _, direction = part.strip().partition(" ")
        # KQL sorts descending unless told.
        ordered.sort(key=lambda row: _value(row, name), reverse=direction != "asc")
    return ordered


def _names(text: str, rows: Sequence[Row]) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if rows:
            _value(rows[0], name)
    return names


def _value(row: Row, name: str) -> Any:
    if name not in row:
        raise BadQuery(f"Failed to resolve column named '{name[:60]}'")
    return row[name]


def _limit(text: str) -> int:
    if not text.strip().isdecimal():
        raise BadQuery("Syntax error: a number is expected")
    return int(text)


def _type_of(value: Any) -> str:
    if isinstance(value, list):
        return "Object"
    return "Int64" if isinstance(value, int) else "String"
