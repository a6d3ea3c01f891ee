"""Each feed by its playbook: the function app, and the feed's two vendors of the sandbox."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mdti.sandbox.defender import AUDIENCE, Defender
from mdti.sandbox.host import Sandbox
from mdti.sandbox.loganalytics import LogAnalytics
from mdti.sandbox.opencti import OpenCti
from mdti.sandbox.sentinelupload import SentinelUpload
from mdti.sandbox.taxii import Taxii
from mdti.sandbox.threatconnect import ThreatConnect
from mdti.sandbox.threatstream import ThreatStream
from mdti.sandbox.wire import Reply, Request, Vendor
from mdti.serve import Server
from tests.playbooks.engine import Engine
from tests.playbooks.feed_scene import play_feed, shown
from tests.playbooks.function import CALLER_HEADERS, function_app
from tests.playbooks.history import Run
from tests.playbooks.wire import Clock

RUN_SECONDS = 60.0
RESOURCE_MANAGER = "https://management.azure.com"
LOGS = "https://api.loganalytics.azure.com"
URLS = ["https://one.example/a", "https://three.example/c", "https://two.example/b"]


@dataclass
class Flow:
    """A feed's vendors, and how to put into the one and look into the other."""

    vendors: Sequence[Vendor]
    add: Callable[[str], Any]
    remove: Callable[[Any], None]
    present: Callable[[], list[str]]
    settings: Mapping[str, str] = field(default_factory=dict)


def mdti_to_anomali(sandbox: Sandbox) -> Flow:
    source, destination = LogAnalytics(sandbox.tokens), ThreatStream()
    sandbox.identity.grant(LOGS)
    return Flow(
        vendors=[source, destination],
        add=lambda url: source.put(("url:value", url)),
        remove=source.withdraw,
        present=lambda: [
            row["value"] for row in destination.observables.rows() if row["status"] == "active"
        ],
        settings={"THREATSTREAM_APPROVAL": "direct"},
    )


def threatconnect_to_sentinel(sandbox: Sandbox) -> Flow:
    source, destination = ThreatConnect(), SentinelUpload(sandbox.tokens)
    sandbox.identity.grant(RESOURCE_MANAGER)
    return Flow(
        vendors=[source, destination],
        add=lambda url: source.put("URL", url),
        remove=source.delete,
        present=lambda: list(destination.active()),
    )


def opencti_to_defender(sandbox: Sandbox) -> Flow:
    source, destination = OpenCti(heartbeat=0.01), Defender(sandbox.tokens)
    sandbox.identity.grant(AUDIENCE, "Ti.ReadWrite")
    return Flow(
        vendors=[source, destination],
        add=lambda url: source.put(f"[url:value = '{url}']"),
        remove=source.delete,
        present=lambda: [row["indicatorValue"] for row in destination.indicators.rows()],
    )


def anyrun_to_defender(sandbox: Sandbox) -> Flow:
    source, destination = Taxii(anyrun=True), Defender(sandbox.tokens)
    sandbox.identity.grant(AUDIENCE, "Ti.ReadWrite")
    return Flow(
        vendors=[source, destination],
        add=lambda url: source.put(f"[url:value = '{url}']"),
        remove=source.revoke,
        present=lambda: [row["indicatorValue"] for row in destination.indicators.rows()],
    )


FLOWS: Mapping[str, Callable[[Sandbox], Flow]] = {
    "mdti-to-anomali": mdti_to_anomali,
    "threatconnect-to-sentinel": threatconnect_to_sentinel,
    "opencti-to-defender": opencti_to_defender,
    "anyrun-to-defender": anyrun_to_defender,
}
both_modes = pytest.mark.parametrize("mode", ["auto", "until"])
every_feed = pytest.mark.parametrize("feed", FLOWS)


class Gate:
    """A vendor that answers nobody until the gate is opened."""

    def __init__(self, vendor: Vendor) -> None:
        self._vendor = vendor
        self.name = vendor.name
        self.open = threading.Event()

    def settings(self, base_url: str) -> Mapping[str, str]:
        return self._vendor.settings(base_url)

    def handle(self, request: Request) -> Reply:
        assert self.open.wait(RUN_SECONDS)
        return self._vendor.handle(request)


class Stage:
    """The playbook of one feed before the function app."""

    def __init__(self, engine: Engine, feed: str, flow: Flow, server: Server) -> None:
        self._engine = engine
        self._feed = feed
        self.flow = flow
        self.server = server

    def play(self, **options: Any) -> Run:
        # Virtual time would be over before the run's real work is done.
        clock = Clock(listeners=[lambda _: self.server.wait_until_idle(RUN_SECONDS)])
        return play_feed(
            self._engine,
            self._feed,
            function=self.server.url,
            caller_headers=CALLER_HEADERS,
            **{"clock": clock} | options,
        )

    def present(self) -> list[str]:
        return sorted(self.flow.present())


Start = Callable[..., Stage]


@pytest.fixture
def start(engine: Engine, tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def begin(feed: str, *, gate: list[Gate] | None = None, **settings: str) -> Stage:
            flows: list[Flow] = []

            def vendors(sandbox: Sandbox) -> Sequence[Vendor]:
                flow = FLOWS[feed](sandbox)
                flows.append(flow)
                if gate is None:
                    return flow.vendors
                gate.append(Gate(flow.vendors[0]))
                return [gate[0], *flow.vendors[1:]]

            sandbox = stack.enter_context(Sandbox(vendors=vendors))
            (flow,) = flows
            state = {"MDTI_STATE_DIR": str(tmp_path)}
            app = function_app({**sandbox.environment(), **state, **flow.settings, **settings})
            return Stage(engine, feed, flow, stack.enter_context(app))

        yield begin


@both_modes
@every_feed
def test_a_feed_carries_what_is_there_and_shows_its_report(
    start: Start, feed: str, mode: str
) -> None:
    stage = start(feed)
    for url in URLS:
        stage.flow.add(url)
    run = stage.play(PollMode=mode)
    assert run.status == "Succeeded", run.error
    assert [one.status for one in run.sent][:2] == [202, 200]
    assert stage.present() == URLS
    report = shown(run, "Report")
    assert (report["feed"], report["accepted"], report["complete"]) == (feed, 3, True)


@every_feed
def test_a_second_run_takes_back_what_is_gone(start: Start, feed: str) -> None:
    stage = start(feed)
    kept, gone = (stage.flow.add(url) for url in URLS[:2])
    stage.play(run_name="first")
    stage.flow.remove(gone)
    run = stage.play(run_name="second")
    assert (run.status, shown(run, "Report")["removed"]) == ("Succeeded", 1)
    assert (stage.present(), bool(kept)) == (URLS[:1], True)


@every_feed
def test_a_dry_run_reports_and_leaves_the_destination_alone(start: Start, feed: str) -> None:
    stage = start(feed)
    stage.flow.add(URLS[0])
    run = stage.play(DryRun=True)
    assert (run.status, stage.present()) == ("Succeeded", [])
    assert shown(run, "Report")["accepted"] == 1


def test_rows_that_somebody_has_to_approve_leave_the_run_green_and_are_counted(
    start: Start,
) -> None:
    stage = start("mdti-to-anomali", THREATSTREAM_APPROVAL="import")
    stream = next(one for one in stage.flow.vendors if isinstance(one, ThreatStream))
    stream.options.approval = "manual"
    stage.flow.add(URLS[0])
    for name in ("first", "second"):
        run = stage.play(run_name=name)
        assert (run.status, shown(run, "Awaiting_approval")) == ("Succeeded", 1)
        assert stage.present() == []
    (session,) = stream.sessions.values()
    assert session.form["notes"] == "MDTI Actor Lookup: feed mdti-to-anomali"
    stream.approve(session.id)
    run = stage.play(run_name="third")
    assert (run.status, shown(run, "Awaiting_approval")) == ("Succeeded", 0)
    assert (shown(run, "Report")["accepted"], stage.present()) == (1, URLS[:1])


@both_modes
@pytest.mark.parametrize(
    ("feed", "setting"),
    [
        ("mdti-to-anomali", "THREATSTREAM_API_KEY"),
        ("threatconnect-to-sentinel", "THREATCONNECT_SECRET_KEY"),
        ("opencti-to-defender", "OPENCTI_TOKEN"),
        ("anyrun-to-defender", "ANYRUN_TOKEN"),
    ],
)
@pytest.mark.parametrize("value", ["", "wrong"])
def test_a_key_that_is_missing_or_wrong_fails_the_run_and_is_named(
    start: Start, feed: str, setting: str, value: str, mode: str
) -> None:
    stage = start(feed, **{setting: value})
    stage.flow.add(URLS[0])
    run = stage.play(PollMode=mode)
    assert (run.status, run.error["code"]) == ("Failed", "FeedRunFailed")
    assert [one.status for one in run.sent][:2] == [202, 422]
    assert "HTTP 422, " in run.error["message"]
    assert setting in run.error["message"]


@both_modes
def test_a_second_run_while_one_is_under_way_joins_it(start: Start, mode: str) -> None:
    gate: list[Gate] = []
    stage = start("anyrun-to-defender", gate=gate)
    stage.flow.add(URLS[0])
    others: list[Run] = []

    def finish(_: float) -> None:
        gate[0].open.set()
        stage.server.wait_until_idle(RUN_SECONDS)

    def meanwhile(_: float) -> None:
        if not others:
            clock = Clock(listeners=[finish])
            others.append(stage.play(PollMode=mode, run_name="second", clock=clock))

    run = stage.play(PollMode=mode, run_name="first", clock=Clock(listeners=[meanwhile]))
    (other,) = others
    assert [run.status, other.status] == ["Succeeded", "Succeeded"]
    assert run.sent[-1].path == other.sent[-1].path
    assert shown(run, "Report") == shown(other, "Report")


def test_a_caller_that_the_app_does_not_know_fails_the_run(start: Start) -> None:
    stage = start("anyrun-to-defender", MDTI_ALLOWED_CALLERS="5a7d0b0e-0000-4000-8000-00000000a009")
    run = stage.play()
    assert (run.status, [one.status for one in run.sent]) == ("Failed", [403])
    assert "MDTI_ALLOWED_CALLERS" in run.error["message"]
