"""What the command line understands, and the text it is given to work on."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from mdti import __version__
from mdti.errors import InputError

TOGETHER = 5
"""IOCs looked up in one go, which may ask 300 questions; the costliest IOCs need about 50."""

REPORT_FORMATS = ("text", "json", "markdown", "html", "csv", "stix", "mermaid")
LIST_FORMATS = ("text", "json")
REPORT = Path("report.html")

_EPILOG = """\
exit codes: 0 done, 1 error, 2 wrong usage, 3 done but something could not be looked at

Settings are environment variables. Without any, the app asks Microsoft Graph as whoever is signed
in with `az login`. To try a command without an account, add --sandbox: it then asks an invented
world on this machine, and forgets its state when it ends."""


def command_line() -> argparse.ArgumentParser:
    """Return the parser of all commands; `command` is the name of the one that was given."""
    parser = argparse.ArgumentParser(
        prog="mdti",
        description="From a Sentinel incident, an IP, a domain or a URL to the threat actors"
        " behind it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"mdti {__version__}")
    parser.set_defaults(color="auto", output=None)
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)

    def command(name: str, about: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")

    _add_lookup(command("lookup", "look IPs, domains and URLs up"))
    incident = command("incident", "write the brief for a Sentinel incident")
    incident.add_argument("file", metavar="FILE", help="the trigger's body as JSON; - reads stdin")
    _add_common(incident, REPORT_FORMATS)
    actors = command("actors", "list the intel profiles, or show one")
    actors.add_argument("name", nargs="?", metavar="NAME", help="a title or an alias")
    _add_common(actors, LIST_FORMATS)
    _add_common(command("status", "try everything the app needs, say what to do"), LIST_FORMATS)
    _add_feed(command("feed", "list the feeds of indicators, or run one"))
    command("sandbox", "serve the sandbox until Ctrl-C, say how to point the app at it")
    _add_serve(command("serve", "serve the function app on localhost until Ctrl-C"))
    _add_demo(command("demo", "play one incident through on the sandbox"))
    return parser


def iocs(options: argparse.Namespace) -> Iterator[str]:
    """Yield the IOCs of `lookup`: arguments first, then files and standard input, line by line."""
    yield from (ioc for ioc in options.iocs if ioc != "-")
    for name in (*options.file, *(ioc for ioc in options.iocs if ioc == "-")):
        lines = (line.strip() for line in read(name).splitlines())
        yield from (line for line in lines if line and not line.startswith("#"))


def read(name: str) -> str:
    """Return the text of a file, of standard input for `-`; raise `InputError` without one."""
    try:
        raw = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise InputError(f"{name} could not be read: {error.strerror}.") from error
    return raw.decode("utf-8-sig", "replace")


def _add_lookup(lookup: argparse.ArgumentParser) -> None:
    lookup.epilog = "IOCs that are not public hosts are left out, each with the reason on stderr."
    lookup.add_argument("iocs", nargs="*", metavar="IOC", help="defanged or not; - reads stdin")
    about = "read IOCs, one a line; # begins a comment, - is stdin"
    lookup.add_argument("--file", action="append", default=[], help=about)
    for name, about in (
        ("depth", "resolutions to follow outward, 0 to 3"),
        ("lookback-days", "oldest resolution of the IOC itself to follow; 0: any"),
        ("max-hosts", "most hosts to reach"),
        ("timeout", f"seconds for every {TOGETHER} IOCs; then the answer is what there is"),
    ):
        lookup.add_argument(f"--{name}", type=int, metavar="N", help=about)
    about = "look at the world as of this time, ISO 8601, UTC unless it says otherwise"
    lookup.add_argument("--at", type=_moment, metavar="TIME", help=about)
    _add_common(lookup, REPORT_FORMATS)


def _add_feed(feed: argparse.ArgumentParser) -> None:
    actions = feed.add_subparsers(
        metavar="ACTION", dest="action", required=True, help="what to do with feeds"
    )
    listing = actions.add_parser("list", help="list the feeds and how their last runs ended")
    _add_common(listing, LIST_FORMATS)
    about = "run a feed until nothing is left to do for now"
    run = actions.add_parser("run", help=about, description=f"{about[0].upper()}{about[1:]}.")
    run.add_argument("name", metavar="NAME", help="<source>-to-<destination>, as `feed list` says")
    for name, about in (
        ("dry-run", "count what would be done, and change nothing"),
        ("full", "read everything anew"),
        ("follow", "go on until Ctrl-C: run, wait, run again"),
    ):
        run.add_argument(f"--{name}", action="store_true", help=about)
    about = "how many days back the source begins"
    run.add_argument("--depth-days", type=int, metavar="N", help=about)
    about = "lowest reputation of a host that is sent, 0 to 100; the setting unless given"
    run.add_argument("--min-score", type=int, metavar="N", help=about)
    _add_common(run, LIST_FORMATS)


def _add_serve(serve: argparse.ArgumentParser) -> None:
    about = "the port, 7071 as in Core Tools unless given; 0: any free one"
    serve.add_argument("--port", type=int, default=7071, metavar="N", help=about)
    _add_sandbox(serve)


def _add_demo(demo: argparse.ArgumentParser) -> None:
    about = f"where the HTML report goes, else {REPORT}; replaces the file"
    demo.add_argument("--output", dest="report", type=Path, default=REPORT, help=about)
    _add_colour(demo)


def _add_common(command: argparse.ArgumentParser, formats: Sequence[str]) -> None:
    about = "how the result is written; text unless given"
    command.add_argument("--format", choices=formats, default="text", help=about)
    about = "write the result there instead; replaces the file"
    command.add_argument("--output", type=Path, metavar="FILE", help=about)
    _add_colour(command)
    _add_sandbox(command)


def _add_sandbox(command: argparse.ArgumentParser) -> None:
    about = "ask a sandbox started beside it instead of Microsoft Graph"
    command.add_argument("--sandbox", action="store_true", help=about)


def _add_colour(command: argparse.ArgumentParser) -> None:
    about = "auto: on a terminal, unless NO_COLOR is set"
    command.add_argument("--color", choices=("auto", "always", "never"), default="auto", help=about)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        message = f"{text!a} is not a time such as 2026-03-07T13:00Z"
        raise argparse.ArgumentTypeError(message) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
