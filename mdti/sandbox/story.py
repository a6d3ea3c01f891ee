"""The invented world of the sandbox, told in plain words; every name in it is made up.

Lantern Foods (`www.lanternfoods.example`) runs a Sentinel workspace. Somebody opened a mail, and
a machine began to talk to strangers. Four actors and one tool live out there.

*Paper Drizzle* spies; older reports call it DEV-9301. Its intel profile names
`invoice-inkwell.example` and `quillpost.example`. Both sit on a server it leases for itself,
`198.51.100.23`, and so does `telemetry-cache.example`, of which nobody ever wrote a word: only
the shared server, at the same time, gives it away. It also uses IPv6 (`ferry-notes.example` on
`2001:db8:23::17` beside `quillpost.example`), a dynamic-DNS name (`mdti_ferry.duckdns.org`; the
provider hands out no underscores, so nobody can own it) and `courier-desk.example`, which a watch
list ties to "DEV-9301".

*Velvet Squall* extorts. `squall-gate.example` was its gate on `203.0.113.77`. That lease ended
210 days ago; since 60 days the address serves `orchard-bakery.example`, an honest shop that must
not inherit the blame. The gate itself was seized and points to a public sinkhole, like
`old-ransom-note.example` of somebody else. `velvet-drop.example` expired and is parked next to
`lost-kitten.example`. `squall-pay.example` hides among 400 sites on the bulk hoster
`198.18.10.10`, where `corner-books.example` lives too. `vault-key.example` on `198.51.100.77` is in
use today.

*Marble Thunderhead* rents cheap shared hosting: `pay-orchard.example` sits with forty small shops
such as `village-florist.example` on `203.0.113.50`. An article connects `parcel-notice.example`
to it.

*Copper Mist* likes CNAMEs: `updates.parcel-hub.example` and `www.tin-relay.example` lead to
`edge.copper-relay.example` and so to `198.51.100.91`.

Some things are meant to be unclear. `lighthouse-broker.example` shares the small server
`203.0.113.120` with `marble-stage.example` and `mist-stage.example`, of two different actors.
A rule about `twin-harbour.example` names two actors at once. `free-prize-wheel.example` is
malicious and nobody's. `lamp-panel.example` belongs to LampLoader, which is a tool, not an actor.
`quill-mirror.example` of Paper Drizzle stands behind the same CDN address as
`www.lanternfoods.example`. `drizzle-mirror.example` shares `198.51.100.60` with thirty names of the
wildcard zone `plume-pages.example`. `carousel-night.example` turns through sixty addresses.
`weather-today.example` is just benign, and nobody has ever seen `never-seen.example`.
"""

import random
from datetime import datetime

from mdti.sandbox.cast import Cast, publish
from mdti.sandbox.world import ACTOR_RULE, WATCH_LIST_RULE, World

# Real members of public lists, because only those lists make them what they are. Nobody calls them.
CDN_ADDRESS = "104.16.32.10"  # Cloudflare
SINKHOLE_ADDRESS = "143.215.130.33"
PARKING_ADDRESS = "185.53.178.50"

_FIRST = ("amber", "birch", "cedar", "clover", "ember", "fern", "hazel", "indigo", "juniper")
_SECOND = ("atelier", "bakery", "books", "cycles", "garden", "kitchen", "lodge", "studio", "tea")


def build(now: datetime, *, seed: int = 7) -> World:
    """Return the world as it is at `now`; the seed chooses the names of the extras."""
    world = World(now)
    cast = publish(world)
    extras = random.Random(seed)
    _lantern_foods(world)
    _paper_drizzle(world, cast)
    _velvet_squall(world, cast, extras)
    _marble_thunderhead(world, cast, extras)
    _copper_mist(world, cast)
    _unclear(world, cast)
    return world


def _lantern_foods(world: World) -> None:
    world.resolution("www.lanternfoods.example", CDN_ADDRESS, 700, 0)
    world.resolution("mail.lanternfoods.example", "203.0.113.10", 900, 0)
    world.host("www.lanternfoods.example", owner="Lantern Foods")
    world.resolution("weather-today.example", "203.0.113.15", 900, 0)
    world.reputation("weather-today.example", 8)


def _paper_drizzle(world: World, cast: Cast) -> None:
    server = "198.51.100.23"
    world.resolution("invoice-inkwell.example", server, 45, 2)
    world.resolution("quillpost.example", server, 120, 1)
    world.resolution("telemetry-cache.example", server, 20, 0)
    world.host(server, owner="Pelican Hosting", country="XN")
    # Records that a reader must skip: other types, and an answer nobody outside can own.
    world.resolution("telemetry-cache.example", "ns1.quiet-registrar.example", 20, 0, "NS")
    world.resolution("telemetry-cache.example", "mx.quiet-registrar.example", 20, 0, "MX")
    world.resolution("courier-desk.example", "10.9.8.7", 300, 290)
    world.rule("invoice-inkwell.example", ACTOR_RULE, cast.drizzle.title)
    world.rule(
        "invoice-inkwell.example",
        "Registrar",
        "Registrar frequently associated with suspicious behavior",
        severity="medium",
    )
    world.indicator(cast.drizzle, "invoice-inkwell.example", first=44)
    world.indicator(cast.drizzle, "quillpost.example", first=118, last=1)
    world.reputation("quillpost.example", 92)

    world.resolution("quillpost.example", "2001:db8:23::17", 90, 1)
    world.resolution("ferry-notes.example", "2001:db8:23::17", 30, 0)
    world.resolution("mdti_ferry.duckdns.org", server, 15, 3)
    world.resolution("mdti_bakery.duckdns.org", "203.0.113.201", 200, 0)

    world.resolution("courier-desk.example", "198.51.100.26", 60, None, collected=4)
    description = "This indicator relates to an emerging threat actor DEV-9301"
    world.rule("courier-desk.example", WATCH_LIST_RULE, description)

    world.resolution("quill-mirror.example", CDN_ADDRESS, 80, 3)
    world.indicator(cast.drizzle, "quill-mirror.example", first=78)
    for number in range(30):
        world.resolution(f"p{number:02}.plume-pages.example", "198.51.100.60", 75, number)
    world.resolution("drizzle-mirror.example", "198.51.100.60", 70, 5)
    world.indicator(cast.drizzle, "drizzle-mirror.example", first=70, last=5)


def _velvet_squall(world: World, cast: Cast, extras: random.Random) -> None:
    world.resolution("squall-gate.example", "203.0.113.77", 400, 210)
    world.resolution("orchard-bakery.example", "203.0.113.77", 60, 0)
    world.indicator(cast.squall, "squall-gate.example", first=395, last=210)
    world.rule("squall-gate.example", ACTOR_RULE, cast.squall.title)

    world.resolution("squall-gate.example", SINKHOLE_ADDRESS, 205, 1)
    world.resolution("old-ransom-note.example", SINKHOLE_ADDRESS, 300, 1)
    world.indicator(cast.marble, "old-ransom-note.example", first=500, last=301)

    world.resolution("velvet-drop.example", "198.51.100.140", 300, 150)
    world.resolution("velvet-drop.example", PARKING_ADDRESS, 140, 0)
    world.resolution("lost-kitten.example", PARKING_ADDRESS, 200, 0)
    world.indicator(cast.squall, "velvet-drop.example", first=298, last=150)

    for name in (*_invented(extras, 398), "squall-pay.example", "corner-books.example"):
        world.resolution(name, "198.18.10.10", extras.randint(30, 900), extras.randint(0, 20))
    world.indicator(cast.squall, "squall-pay.example", first=100)

    world.resolution("vault-key.example", "198.51.100.77", 35, 0)
    world.rule("vault-key.example", ACTOR_RULE, cast.squall.title)
    world.indicator(cast.squall, "vault-key.example", first=33)
    world.indicator(cast.squall, "198.51.100.77", first=33)


def _marble_thunderhead(world: World, cast: Cast, extras: random.Random) -> None:
    shops = (*_invented(extras, 39), "village-florist.example", "pay-orchard.example")
    for name in shops:
        world.resolution(name, "203.0.113.50", extras.randint(100, 900), extras.randint(0, 10))
    world.indicator(cast.marble, "pay-orchard.example", first=90)
    world.resolution("parcel-notice.example", "198.51.100.150", 25, 0)
    world.article_rule("parcel-notice.example", cast.parcels)
    world.indicator(cast.parcels, "parcel-notice.example", source="osint")


def _copper_mist(world: World, cast: Cast) -> None:
    for name in ("updates.parcel-hub.example", "www.tin-relay.example"):
        world.resolution(name, "edge.copper-relay.example", 40, 1)
    world.resolution("edge.copper-relay.example", "198.51.100.91", 50, 0)
    world.indicator(cast.mist, "edge.copper-relay.example", first=48)
    world.indicator(cast.mist, "198.51.100.91", first=48)


def _unclear(world: World, cast: Cast) -> None:
    world.resolution("lighthouse-broker.example", "203.0.113.120", 50, 1)
    world.resolution("marble-stage.example", "203.0.113.120", 70, 2)
    world.resolution("mist-stage.example", "203.0.113.120", 65, 1)
    world.indicator(cast.marble, "marble-stage.example", first=68, last=2)
    world.indicator(cast.mist, "mist-stage.example", first=64, last=1)

    world.resolution("twin-harbour.example", "198.51.100.160", 30, 0)
    both = f"{cast.squall.title}, {cast.mist.title}"
    world.rule("twin-harbour.example", ACTOR_RULE, both)

    world.resolution("free-prize-wheel.example", "198.51.100.170", 12, 0)
    world.reputation("free-prize-wheel.example", 92)
    world.rule("free-prize-wheel.example", "Tagged as Malicious", "Seen in credential phishing")
    world.resolution("lamp-panel.example", "198.51.100.180", 90, 0)
    world.indicator(cast.lamp, "lamp-panel.example", first=85)
    for number in range(60):
        world.resolution("carousel-night.example", f"198.18.40.{number + 1}", 60 - number, 0)


def _invented(extras: random.Random, amount: int) -> list[str]:
    """Return distinct registrable names of honest small sites."""
    names: dict[str, None] = {}
    while len(names) < amount:
        words = f"{extras.choice(_FIRST)}-{extras.choice(_SECOND)}"
        names[f"{words}-{extras.randint(100, 99999)}.example"] = None
    return list(names)
