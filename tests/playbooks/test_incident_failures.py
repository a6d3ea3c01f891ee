import uuid

import pytest

from mdti.sandbox.faults import Fault
from tests.playbooks.place import AUDIENCE
from tests.playbooks.scene import Scene, brief, in_background
from tests.playbooks.stub import Answer


def test_entities_that_cannot_be_read_are_a_failure_that_is_said(scene: Scene) -> None:
    scene.place.sandbox.faults.add(Fault(kind="error", route="POST /arm/*/entities", status=403))
    run = scene.play(entities=False)
    assert (run.status, len(scene.messages)) == ("Failed", 1)
    assert "Reading the entities of the incident: HTTP 403" in scene.messages[0]


@pytest.mark.parametrize("mode", ["auto", "until"])
def test_a_long_look_up_is_waited_for(scene: Scene, mode: str) -> None:
    in_background(scene, (200, {}, brief("Paper Drizzle")))
    run = scene.play(PollMode=mode)
    assert (run.status, run.seconds) == ("Succeeded", 10)
    assert scene.state == ("High", "Active", ["Paper Drizzle"])
    assert scene.place.asked_for[:3] == [AUDIENCE] * 3


@pytest.mark.parametrize("mode", ["auto", "until"])
def test_a_quick_look_up_is_not_waited_for(scene: Scene, mode: str) -> None:
    scene.answers((200, {}, brief("Paper Drizzle")))
    run = scene.play(PollMode=mode)
    assert (run.status, run.seconds, scene.state[0]) == ("Succeeded", 0, "High")


@pytest.mark.parametrize("mode", ["auto", "until"])
def test_a_job_that_failed_is_said_and_fails_the_run(scene: Scene, mode: str) -> None:
    error = {"error": {"code": "noLicence", "message": "The tenant has no <licence>."}}
    in_background(scene, (422, {}, error))
    run = scene.play(PollMode=mode)
    assert (run.status, len(scene.messages)) == ("Failed", 1)
    assert "HTTP 422, The tenant has no &lt;licence&gt;." in scene.messages[0]
    assert run.error["message"].endswith("The tenant has no <licence>.")


@pytest.mark.parametrize("mode", ["auto", "until"])
def test_a_job_that_never_ends_is_said_and_fails_the_run(scene: Scene, mode: str) -> None:
    in_background(scene)
    run = scene.play(PollMode=mode)
    assert (run.status, len(scene.messages)) == ("Failed", 1)
    assert run.seconds <= 2_100


def test_polling_in_a_loop_sends_the_identity_nowhere_else(scene: Scene) -> None:
    elsewhere = {"Location": "http://collector.example/api/v1/jobs/7", "Retry-After": "5"}
    scene.answers((202, elsewhere, {}))
    scene.stub.script["GET /api/v1/jobs/7"] = [(200, {}, brief())]
    run = scene.play(PollMode="until")
    assert (run.status, len(scene.stub.received)) == ("Succeeded", 2)


@pytest.mark.parametrize("mode", ["auto", "until"])
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((503, {}, {"error": {"message": "Graph is down."}}), "HTTP 503, Graph is down."),
        ((401, {}, None), "HTTP 401, "),
        ((403, {}, "<html>no</html>"), "HTTP 403, "),
        ((200, {}, "<html>Sign in</html>"), "HTTP 200, no answer that can be read"),
    ],
    ids=["503", "401", "403 with HTML", "200 with HTML"],
)
def test_a_function_that_fails_leaves_one_comment_and_a_failed_run(
    scene: Scene, mode: str, answer: Answer, said: str
) -> None:
    scene.answers(answer)
    for _ in range(2):
        run = scene.play(PollMode=mode)
        assert (run.status, run.error["code"]) == ("Failed", "LookUpFailed")
    assert len(scene.messages) == 1
    assert "could not look at this incident" in scene.messages[0]
    assert said in scene.messages[0]
    assert "MDTI_ALLOWED_CALLERS" in scene.messages[0]
    assert "<html>" not in scene.messages[0]
    assert scene.state == ("Medium", "New", [])


@pytest.mark.parametrize("mode", ["auto", "until"])
def test_a_function_that_does_not_answer_leaves_one_comment_and_a_failed_run(
    scene: Scene, mode: str
) -> None:
    scene.place.function = "http://127.0.0.1:9"
    run = scene.play(PollMode=mode)
    assert (run.status, len(scene.messages)) == ("Failed", 1)
    assert "HTTP 0, 127.0.0.1:9 did not answer" in scene.messages[0]


def test_a_comment_of_another_author_is_left_as_it_is(scene: Scene) -> None:
    scene.answers((200, {}, brief("Paper Drizzle")))
    scene.place.client_id = "a-former-identity"
    scene.play(UseCopilot=True)
    said = list(scene.messages)
    scene.place.client_id = "another-identity"
    run = scene.play(UseCopilot=True)
    assert (run.status, scene.messages) == ("Succeeded", said)


def test_an_identity_that_may_not_write_fails_the_run(scene: Scene) -> None:
    scene.place.arm.read_only.add(scene.place.client_id)
    scene.answers((200, {}, brief("Paper Drizzle")))
    assert scene.play().status == "Failed"


def test_an_identity_that_may_not_raise_says_so_after_the_brief(scene: Scene) -> None:
    scene.place.connector.read_only.add(scene.place.client_id)
    scene.answers((200, {}, brief("Paper Drizzle")))
    run = scene.play()
    assert (run.status, run.error["code"]) == ("Failed", "NotRaised")
    assert scene.messages[0] == "<p>Brief</p>"
    assert "does not have authorization" in scene.messages[-1]
    assert "Microsoft Sentinel Responder" in scene.messages[-1]


def test_an_incident_that_cannot_be_read_again_is_said_after_the_brief(scene: Scene) -> None:
    fault = Fault(kind="error", route="GET /arm/*/incidents/*", status=403)
    scene.place.sandbox.faults.add(fault)
    scene.answers((200, {}, brief("Paper Drizzle")))
    run = scene.play()
    assert (run.status, run.error["code"]) == ("Failed", "NotRaised")
    assert scene.messages[0] == "<p>Brief</p>"
    assert "could not raise this incident" in scene.messages[-1]


def test_a_full_incident_is_raised_all_the_same(scene: Scene) -> None:
    for number in range(100):
        scene.place.incidents.comment(
            scene.incident, str(uuid.uuid5(uuid.NAMESPACE_URL, str(number))), "m", author="Ada"
        )
    scene.answers((200, {}, brief("Paper Drizzle")))
    assert scene.play().status == "Failed"
    assert scene.state == ("High", "Active", ["Paper Drizzle"])
