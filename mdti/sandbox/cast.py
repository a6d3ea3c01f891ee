"""The cast of the story: intel profiles, an article each, the CVEs they use, our machines.

Actors carry weather names that no real taxonomy uses, countries are of the codes that ISO 3166
leaves to users, and CVE numbers lie in a year far away.
"""

import hashlib
from dataclasses import dataclass

from mdti.sandbox.world import Article, Profile, World

LOADER_SHA256 = hashlib.sha256(b"an invented loader of Paper Drizzle").hexdigest()
"""Hash of no file at all; the profile of Paper Drizzle names it."""

_GATEWAY_CVE = "CVE-2099-10417"
_MAIL_CVE = "CVE-2099-20931"
_BACKUP_CVE = "CVE-2099-30077"


@dataclass(frozen=True, slots=True)
class Cast:
    """The profiles and articles of the story."""

    drizzle: Profile
    squall: Profile
    marble: Profile
    mist: Profile
    lamp: Profile
    parcels: Article


def publish(world: World) -> Cast:
    """Publish every profile, article and CVE in the world and return them by role."""
    _vulnerabilities(world)
    drizzle = _drizzle(world)
    return Cast(
        drizzle,
        _squall(world),
        _marble(world),
        _mist(world),
        _lamp(world),
        _articles(world, drizzle),
    )


def _drizzle(world: World) -> Profile:
    profile = world.profile(
        "Paper Drizzle",
        aliases=("DEV-9301", "Storm-9301", "INKCAP"),
        origins=(("XA", "Freedonia"),),
        targets=("Food & Agriculture: Wholesale", "Government Agencies & Services: Trade"),
        first_active=2100,
        summary="Paper Drizzle steals price lists and contracts from food wholesalers.",
        description=(
            "## Snapshot\r\nPaper Drizzle is an espionage group that reads the mail of buyers and "
            "trade officials.\r\n\r\n## Activity\r\nIt sends invoices that carry **LampLoader**, "
            "waits for weeks, and copies mailboxes at night. It leases small servers, keeps them "
            "for about four months and puts every name of one operation on the same server."
        ),
        tradecraft=(
            f"### Initial access\r\nPhishing with invoices; {_MAIL_CVE} in unpatched mail "
            "gateways.\r\n### Command and control\r\nHTTPS to leased servers and dynamic DNS."
        ),
    )
    world.indicator(profile, LOADER_SHA256, kind="sha256", first=44)
    return profile


def _squall(world: World) -> Profile:
    return world.profile(
        "Velvet Squall",
        aliases=("Storm-9417",),
        origins=(("XB", "Ruritania"),),
        targets=("Food & Agriculture", "Health Care"),
        first_active=900,
        summary="Velvet Squall breaks into backup servers and sells the way back in.",
        description=(
            "## Snapshot\r\nVelvet Squall extorts mid-sized companies. It deletes backups first "
            "and talks later."
        ),
        tradecraft=f"### Initial access\r\n{_GATEWAY_CVE} and {_BACKUP_CVE}, within days.",
    )


def _marble(world: World) -> Profile:
    return world.profile(
        "Marble Thunderhead",
        aliases=("GRANITECLOUD", "UNC0000"),
        origins=(("XC", "Grand Fenwick"),),
        targets=("Transport & Logistics",),
        first_active=1400,
        summary="Marble Thunderhead collects card data with false parcel notices.",
        description="## Snapshot\r\nMarble Thunderhead rents the cheapest hosting it can find.",
        tradecraft="### Initial access\r\nText messages about parcels that nobody ordered.",
    )


def _mist(world: World) -> Profile:
    return world.profile(
        "Copper Mist",
        aliases=("DEV-9188",),
        origins=(("XA", "Freedonia"),),
        targets=("Information Technology",),
        first_active=700,
        summary="Copper Mist poisons software updates.",
        description="## Snapshot\r\nCopper Mist stands between vendors and their customers.",
        tradecraft=f"### Initial access\r\nUpdates by CNAME; {_GATEWAY_CVE}.",
    )


def _lamp(world: World) -> Profile:
    return world.profile(
        "LampLoader",
        kind="tool",
        origins=(),
        first_active=800,
        summary="A loader that several groups buy.",
        description="## Snapshot\r\nLampLoader is sold, so it proves nothing about who uses it.",
    )


def _articles(world: World, drizzle: Profile) -> Article:
    invoices = world.article(
        "Invoices in the inkwell: mail theft at food wholesalers",
        tags=(drizzle.title, "LampLoader", "Phishing"),
        summary="How a quiet group reads the mail of buyers.",
        body=f"#### Description\r\nThe group uses {_MAIL_CVE} and leased servers.",
        created=38,
    )
    world.indicator(invoices, "invoice-inkwell.example", source="public")
    world.indicator(invoices, LOADER_SHA256, kind="sha256", source="public")
    world.article(
        "OSINT: the week in backup servers",
        tags=("OSINT", "Ransomware"),
        summary="A digest of public reports.",
        body=f"#### Description\r\n{_BACKUP_CVE} is being exploited.",
        created=9,
    )
    return world.article(
        "Activity snapshot: false parcel notices",
        tags=("OSINT", "Marble Thunderhead", "Phishing"),
        summary="False parcel notices lead to card data.",
        body="#### Description\r\nThe notices use cheap shared hosting.",
        created=21,
    )


def _vulnerabilities(world: World) -> None:
    world.vulnerability(
        _GATEWAY_CVE,
        description="Command injection in an invented VPN gateway.",
        vendor="northgate",
        software="vpn_gateway",
        machines=("vpn-01.corp.lanternfoods.example",),
        published=150,
    )
    world.vulnerability(
        _MAIL_CVE,
        score=8.8,
        severity="high",
        description="Deserialisation in an invented mail gateway.",
        vendor="postlight",
        software="mail_gateway",
        machines=(
            "mail-gw-01.corp.lanternfoods.example",
            "mail-gw-02.corp.lanternfoods.example",
            "srv-trade-04.corp.lanternfoods.example",
        ),
        published=130,
    )
    world.vulnerability(
        _BACKUP_CVE,
        description="Missing authentication in an invented backup server.",
        vendor="keepwell",
        software="backup_server",
        published=60,
    )
