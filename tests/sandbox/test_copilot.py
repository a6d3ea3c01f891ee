import http.client
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from mdti.sandbox.copilot import HOSTILE, Copilot
from mdti.sandbox.host import Sandbox

Ask = Callable[..., tuple[int, dict[str, str], Any]]


@pytest.fixture
def copilot() -> Copilot:
    return Copilot()


@pytest.fixture
def ask(copilot: Copilot) -> Iterator[Ask]:
    with Sandbox(vendors=lambda sandbox: (copilot,)) as sandbox:

        def send(
            body: object, method: str = "POST", url: str = ""
        ) -> tuple[int, dict[str, str], Any]:
            parts = urlsplit(url or f"{sandbox.vendor_url('copilot')}/process-prompt")
            connection = http.client.HTTPConnection(parts.netloc, timeout=10)
            try:
                connection.request(method, parts.path, json.dumps(body))
                response = connection.getresponse()
                return response.status, dict(response.getheaders()), json.loads(response.read())
            finally:
                connection.close()

        yield send


def test_prompts_of_one_session_stay_together(copilot: Copilot, ask: Ask) -> None:
    first = ask({"PromptContent": "Who?"})[2]
    second = ask({"PromptContent": "Why?", "SessionId": first["sessionId"]})[2]
    assert second["sessionId"] == first["sessionId"]
    assert "Why?" in second["EvaluationResultContent"]
    assert [one.session for one in copilot.asked] == [None, first["sessionId"]]


def test_the_spelling_of_an_answer_varies(copilot: Copilot, ask: Ask) -> None:
    copilot.lower_case = True
    assert "evaluationResultContent" in ask({"PromptContent": "Who?"})[2]


@pytest.mark.parametrize("body", [{}, {"PromptContent": ""}, {"PromptContent": "x", "Guess": 1}, 1])
def test_a_prompt_it_cannot_read_is_refused(ask: Ask, body: object) -> None:
    assert ask(body)[0] == 400
    assert ask(body, "GET")[0] == 404


def test_it_can_be_unauthorised_or_down(copilot: Copilot, ask: Ask) -> None:
    copilot.mood = "unauthorised"
    status, _, body = ask({"PromptContent": "Who?"})
    assert status == 401
    assert "not authenticated" in body["error"]["message"]
    copilot.mood = "down"
    assert ask({"PromptContent": "Who?"})[0] == 503


def test_it_can_fail_a_few_times_only(copilot: Copilot, ask: Ask) -> None:
    copilot.failures = 2
    assert [ask({"PromptContent": "Who?"})[0] for _ in range(3)] == [503, 503, 200]


def test_a_slow_answer_is_waited_for_at_its_location(copilot: Copilot, ask: Ask) -> None:
    copilot.mood, copilot.polls = "slow", 2
    status, headers, _ = ask({"PromptContent": "Who?"})
    assert (status, headers["Retry-After"]) == (202, "20")
    looks = [ask(None, "GET", headers["Location"])[0] for _ in range(2)]
    assert looks == [202, 200]
    assert ask(None, "GET", headers["Location"] + "x")[0] == 404


def test_it_can_be_hostile_or_say_nothing(copilot: Copilot, ask: Ask) -> None:
    copilot.mood = "hostile"
    assert HOSTILE in ask({"PromptContent": "Who?"})[2]["EvaluationResultContent"]
    copilot.mood = "empty"
    assert ask({"PromptContent": "Who?"})[2]["EvaluationResultContent"] == ""
