"""Which machines of ours have a vulnerability that an actor is known to use.

The CVEs come from the actor's intel profile and the articles linked to it; the machines from one
bounded advanced hunting query over the tenant's own vulnerability data. Optional: without the
permission the brief stands without it.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from mdti.client import MdtiClient
from mdti.errors import ConsentMissing, MdtiError
from mdti.incident_models import Exposure
from mdti.models import Gap
from mdti.net.deadline import Deadline

MAX_CVES = 50
MAX_EXAMPLES = 3
_CVE = re.compile(r"\bCVE-\d{4}-\d{4,7}\b", re.IGNORECASE)
_DEVICE = re.compile(r"[A-Za-z0-9._-]{1,255}")


def cves_in(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the CVE ids in `texts`, each once, newest first, at most `MAX_CVES`."""
    found = {match.upper() for text in texts for match in _CVE.findall(text)}
    newest = sorted(found, key=lambda cve: tuple(map(int, cve.split("-")[1:])), reverse=True)
    return tuple(newest[:MAX_CVES])


def exposure_query(cves: Sequence[str]) -> str:
    """Return the hunting query that counts the machines with any of `cves`."""
    quoted = ", ".join(f'"{cve}"' for cve in cves if _CVE.fullmatch(cve))
    return (
        "DeviceTvmSoftwareVulnerabilities\n"
        f"| where CveId in ({quoted})\n"
        "| summarize Machines = dcount(DeviceId), "
        f"Examples = make_set(DeviceName, {MAX_EXAMPLES}) by CveId\n"
        "| top 50 by Machines desc"
    )


def find_exposure(
    client: MdtiClient, cves_by_actor: Mapping[str, Sequence[str]], *, deadline: Deadline
) -> tuple[tuple[Exposure, ...], Gap | None]:
    """Return the exposed machines by actor and CVE, and the gap if they could not be counted.

    A missing permission is no gap: the app works without it, and `/api/v1/status` says what to
    grant.
    """
    cves = sorted({cve for listed in cves_by_actor.values() for cve in listed})
    if not cves:
        return (), None
    try:
        rows = client.hunt(exposure_query(cves), deadline=deadline)
    except ConsentMissing:
        return (), None
    except MdtiError as error:
        return (), Gap("exposure", error.message)
    counted = {cve: (machines, examples) for cve, machines, examples in map(_row, rows)}
    found = [
        Exposure(actor, cve, *counted[cve])
        for actor, listed in sorted(cves_by_actor.items())
        for cve in listed
        if counted.get(cve, (0, ()))[0] > 0
    ]
    return tuple(found), None


def _row(row: Mapping[str, Any]) -> tuple[str, int, tuple[str, ...]]:
    """Return CVE, number of machines and examples; names of columns come in any case."""
    folded = {str(name).lower(): value for name, value in row.items()}
    machines, examples = folded.get("machines"), folded.get("examples")
    names = examples if isinstance(examples, list) else []
    shown = [name for name in names if isinstance(name, str) and _DEVICE.fullmatch(name)]
    return (
        str(folded.get("cveid", "")).upper(),
        machines if isinstance(machines, int) else 0,
        tuple(shown[:MAX_EXAMPLES]),
    )
