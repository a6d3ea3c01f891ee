from collections.abc import Iterator
from typing import Any

import pytest

from tests.arm.template import load
from tests.playbooks.definitions import LOGICAPPS
from tests.playbooks.deployed import workflow_of
from tests.playbooks.engine import Engine
from tests.playbooks.feed_scene import JOB, FeedScene, report, shown
from tests.playbooks.history import Run
from tests.playbooks.place import REQUIRED
from tests.playbooks.stub import Answer
from tests.playbooks.wire import Clock
from tools.feed_playbooks import FEED_PLAYBOOKS

FEEDS = [playbook.feed for playbook in FEED_PLAYBOOKS]
REFUSED = {
    "code": "unauthorized",
    "message": "The token is refused.",
    "details": {"hint": "Check ANYRUN_TOKEN."},
}
both_modes = pytest.mark.parametrize("mode", ["auto", "until"])
every_feed = pytest.mark.parametrize("feed", FEEDS)


@pytest.fixture
def scene(engine: Engine) -> Iterator[FeedScene]:
    one = FeedScene(engine)
    yield one
    one.stub.close()


def asked(scene: FeedScene) -> list[Any]:
    return [body for route, _, body in scene.stub.received if route.startswith("POST")]


def workflow(feed: str, **parameters: Any) -> Any:
    return workflow_of(load(LOGICAPPS / feed / "azuredeploy.json"), REQUIRED | parameters)


@both_modes
@every_feed
def test_a_complete_run_succeeds_and_shows_its_report(
    scene: FeedScene, feed: str, mode: str
) -> None:
    scene.feed = feed
    scene.in_background((200, {}, report(feed=feed)))
    run = scene.play(PollMode=mode)
    assert (run.status, run.seconds) == ("Succeeded", 10)
    assert [(one.method, one.status) for one in run.sent] == [
        ("POST", 202),
        ("GET", 202),
        ("GET", 200),
    ]
    assert shown(run, "Report") == report(feed=feed)


@both_modes
def test_a_run_is_asked_for_as_a_job_in_the_name_of_the_playbooks_run(
    scene: FeedScene, mode: str
) -> None:
    scene.in_background((200, {}, report()))
    scene.play(PollMode=mode, run_name="the-run")
    _, headers, _ = scene.stub.received[0]
    assert (headers["Prefer"], headers["Idempotency-Key"]) == ("respond-async", "the-run")


def test_what_a_run_is_asked_for_is_what_was_deployed(scene: FeedScene) -> None:
    scene.answers((200, {}, report()))
    scene.play()
    scene.play(feedFetchDepth=7, DryRun=True, Full=True)
    assert asked(scene) == [
        {"depthDays": 30, "dryRun": False, "full": False},
        {"depthDays": 7, "dryRun": True, "full": True},
    ]


def test_a_source_that_is_not_read_by_date_is_asked_without_a_depth(scene: FeedScene) -> None:
    scene.feed = "opencti-to-defender"
    scene.answers((200, {}, report()))
    scene.play()
    assert asked(scene) == [{"dryRun": False, "full": False}]


def test_the_score_is_what_was_deployed(scene: FeedScene) -> None:
    scene.feed = "mdti-to-anomali"
    scene.answers((200, {}, report()))
    scene.play()
    scene.play(Scoring=90)
    assert [body["minScore"] for body in asked(scene)] == [75, 90]


@both_modes
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"complete": False, "pending": 40}, "not all was done yet (40 pending)"),
        ({"complete": False, "error": REFUSED}, "The token is refused. Check ANYRUN_TOKEN."),
        ({"error": REFUSED}, "The token is refused. Check ANYRUN_TOKEN."),
        ({"complete": None}, "not all was done"),
    ],
    ids=["incomplete", "incomplete with an error", "an error", "unsaid"],
)
def test_a_run_that_is_not_complete_fails_and_shows_its_report(
    scene: FeedScene, mode: str, changes: dict[str, Any], said: str
) -> None:
    scene.in_background((200, {}, report(**changes)))
    run = scene.play(PollMode=mode)
    assert (run.status, run.error["code"]) == ("Failed", "FeedRunIncomplete")
    assert run.error["message"].startswith(f"anyrun-to-defender: {said}")
    assert shown(run, "Report") == report(**changes)


@both_modes
def test_a_run_whose_rows_await_approval_succeeds_and_shows_how_many(
    scene: FeedScene, mode: str
) -> None:
    scene.feed = "mdti-to-anomali"
    scene.in_background((200, {}, report(awaitingApproval=40)))
    run = scene.play(PollMode=mode)
    assert run.status == "Succeeded"
    assert shown(run, "Awaiting_approval") == 40


@both_modes
def test_a_job_that_failed_fails_the_run_with_its_reason(scene: FeedScene, mode: str) -> None:
    error = {"error": {"code": "setting", "message": "ANYRUN_TOKEN is not set."}}
    scene.in_background((422, {}, error))
    run = scene.play(PollMode=mode)
    assert (run.status, run.error["code"]) == ("Failed", "FeedRunFailed")
    assert run.error["message"].endswith("HTTP 422, ANYRUN_TOKEN is not set.")


@both_modes
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((503, {}, {"error": {"message": "The store is down."}}), "HTTP 503, The store is down."),
        ((401, {}, None), "HTTP 401, HTTP 401"),
        ((403, {}, "<html>no</html>"), "HTTP 403, HTTP 403"),
        ((404, {}, {"error": {"message": "There is no such feed."}}), "There is no such feed."),
        ((200, {}, "<html>Sign in</html>"), "HTTP 200, no answer that can be read"),
    ],
    ids=["503", "401", "403 with HTML", "404", "200 with HTML"],
)
def test_an_app_that_refuses_fails_the_run_and_is_quoted(
    scene: FeedScene, mode: str, answer: Answer, said: str
) -> None:
    scene.answers(answer)
    run = scene.play(PollMode=mode)
    assert (run.status, run.error["code"]) == ("Failed", "FeedRunFailed")
    assert run.error["message"].endswith(said)


@both_modes
def test_an_app_that_does_not_answer_is_tried_five_times_and_fails_the_run(
    scene: FeedScene, mode: str
) -> None:
    scene.function = "http://127.0.0.1:9"
    run = scene.play(PollMode=mode)
    assert (run.status, len(run.sent)) == ("Failed", 5)
    assert "HTTP 0, 127.0.0.1:9 did not answer" in run.error["message"]


@both_modes
def test_a_run_that_never_ends_fails_within_the_hour(scene: FeedScene, mode: str) -> None:
    scene.in_background()
    run = scene.play(PollMode=mode)
    assert (run.status, run.error["code"]) == ("Failed", "FeedRunFailed")
    assert 2_900 <= run.seconds <= 3_600


@both_modes
def test_a_second_run_while_one_is_under_way_waits_for_the_same_job(
    scene: FeedScene, mode: str
) -> None:
    scene.in_background((200, {}, report()))
    others: list[Run] = []

    def meanwhile(_: float) -> None:
        if not others:
            others.append(scene.play(PollMode=mode, run_name="second"))

    run = scene.play(PollMode=mode, run_name="first", clock=Clock(listeners=[meanwhile]))
    keys = [headers.get("Idempotency-Key") for _, headers, _ in scene.stub.received]
    assert [key for key in keys if key] == ["first", "second"]
    assert [one.path for one in (*run.sent, *others[0].sent) if one.method == "GET"] == [JOB] * 3
    assert shown(run, "Report") == shown(others[0], "Report") == report()


def test_polling_in_a_loop_sends_the_identity_nowhere_else(scene: FeedScene) -> None:
    scene.answers((202, {"Location": f"http://collector.example{JOB}"}, {}))
    scene.stub.script[f"GET {JOB}"] = [(200, {}, report())]
    run = scene.play(PollMode="until")
    assert (run.status, len(scene.stub.received)) == ("Succeeded", 2)


@both_modes
def test_what_is_sent_is_kept_out_of_the_run_history(scene: FeedScene, mode: str) -> None:
    scene.in_background((200, {}, report()))
    run = scene.play(PollMode=mode)
    calls = [one for one in run.records if one.name in {"Run_feed", "Start_feed_run", "Poll"}]
    assert [one.inputs for one in calls] == [None] * len(calls)


@every_feed
def test_one_run_at_a_time_at_the_interval_that_was_deployed(feed: str) -> None:
    (trigger,) = workflow(feed, intervalRecurrence=6).definition["triggers"].values()
    assert trigger["recurrence"] == {"frequency": "Hour", "interval": 6}
    assert trigger["runtimeConfiguration"] == {"concurrency": {"runs": 1}}


@every_feed
def test_a_playbook_rests_until_it_is_wanted(feed: str) -> None:
    assert workflow(feed).resource["properties"]["state"] == "Disabled"
    on = workflow(feed, PlaybookState="Enabled")
    assert on.resource["properties"]["state"] == "Enabled"


def test_the_defaults_are_those_of_the_documents() -> None:
    defaults = {
        feed: {
            name: one["defaultValue"]
            for name, one in load(LOGICAPPS / feed / "azuredeploy.json")["parameters"].items()
            if name in {"intervalRecurrence", "feedFetchDepth", "Scoring"}
        }
        for feed in FEEDS
    }
    assert defaults == {
        "mdti-to-anomali": {"intervalRecurrence": 1, "Scoring": 75},
        "threatconnect-to-sentinel": {"intervalRecurrence": 1, "feedFetchDepth": 1},
        "opencti-to-defender": {"intervalRecurrence": 1},
        "anyrun-to-defender": {"intervalRecurrence": 2, "feedFetchDepth": 30},
    }
