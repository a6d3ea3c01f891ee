"""The vendors of the feeds, with a few indicators each; all of one invented world.

Five of the story are in every feed, as their vendors would write them; in ThreatStream a partner
has them. Sentinel and Defender hold what was written to them, and nothing at first.
"""

from typing import TYPE_CHECKING

from mdti.sandbox.defender import Defender
from mdti.sandbox.loganalytics import LogAnalytics
from mdti.sandbox.observables import kind_of
from mdti.sandbox.opencti import OpenCti
from mdti.sandbox.sentinelupload import SentinelUpload
from mdti.sandbox.taxii import Taxii
from mdti.sandbox.threatconnect import ThreatConnect
from mdti.sandbox.threatstream import ThreatStream
from mdti.sandbox.wire import Vendor

if TYPE_CHECKING:
    from mdti.sandbox.host import Sandbox

DOMAINS = ("invoice-inkwell.example", "quillpost.example", "velvet-drop.example")
ADDRESS = "198.51.100.23"
PARTNER = 99
"""Another organisation of ThreatStream, which shares what it has."""
HASH = "8f1c5a0e7b9d3f2a6c4e1d0b8a7f6e5d4c3b2a1908f7e6d5c4b3a29181706f5e"


def vendors(sandbox: "Sandbox") -> tuple[Vendor, ...]:
    """Return every vendor of the feeds, seeded, for `Sandbox(vendors=...)`."""
    clock = sandbox.tokens.clock
    streams = OpenCti(clock=clock, heartbeat=0.2)
    taxii, anyrun = Taxii(clock=clock), Taxii(anyrun=True, clock=clock)
    for pattern in _patterns():
        streams.put(pattern)
        taxii.put(pattern, confidence=80)
        anyrun.put(pattern, confidence=100)
    connect, workspace = ThreatConnect(clock=clock), LogAnalytics(sandbox.tokens, clock=clock)
    for domain in DOMAINS:
        connect.put("Host", domain)
        workspace.put(("domain-name:value", domain))
    connect.put("Address", ADDRESS)
    workspace.put(("ipv4-addr:value", ADDRESS))
    connect.put("File", "", sha256=HASH)
    workspace.put(("file:hashes.'SHA-256'", HASH))
    threatstream = ThreatStream(clock=clock)
    for value in (*DOMAINS, ADDRESS, HASH):
        itype = f"mal_{kind_of(value)}"
        threatstream.observables.put(value, itype=itype, confidence=70, organisation=PARTNER)
    return (
        streams,
        taxii,
        anyrun,
        connect,
        workspace,
        Defender(sandbox.tokens),
        SentinelUpload(sandbox.tokens),
        threatstream,
    )


def _patterns() -> tuple[str, ...]:
    return (
        *(f"[domain-name:value = '{domain}']" for domain in DOMAINS),
        f"[ipv4-addr:value = '{ADDRESS}']",
        f"[file:hashes.'SHA-256' = '{HASH}']",
    )
