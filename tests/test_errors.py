"""Errors: one code each, a status that means it, and no more than is said."""

import inspect

import pytest

from mdti import errors
from mdti.errors import ApiError, InputError, MdtiError, SettingError

EVERY = [
    error
    for _, error in inspect.getmembers(errors, inspect.isclass)
    if issubclass(error, MdtiError)
]


@pytest.mark.parametrize("error", EVERY)
def test_every_error_is_told_in_json_with_its_code(error: type[MdtiError]) -> None:
    told = error("What happened.").to_json()
    assert told == {"error": {"code": error.code, "message": "What happened.", "details": {}}}
    assert str(error("What happened.")) == "What happened."


@pytest.mark.parametrize("error", EVERY)
def test_every_error_is_drawn_in_the_tree(error: type[MdtiError]) -> None:
    assert f"{error.__name__} " in str(errors.__doc__)


@pytest.mark.parametrize("error", EVERY)
def test_every_status_is_one_that_the_contract_names(error: type[MdtiError]) -> None:
    named = {400, 401, 403, 404, 409, 410, 413, 422, 429, 500, 502, 503}
    assert error.http_status in named


def test_a_hint_says_what_to_do_about_it() -> None:
    told = SettingError("X must be a number.", hint="Set X.").to_json()
    assert told["error"]["details"] == {"hint": "Set X."}


def test_an_api_error_tells_what_its_support_would_ask_for_and_nothing_else() -> None:
    error = ApiError(
        "Graph failed.", hint="Wait.", api="graph.microsoft.com", status=500, reason="general",
        request_id="r-1", retry_after=5.0,
    )  # fmt: skip
    assert error.to_json()["error"]["details"] == {
        "hint": "Wait.",
        "api": "graph.microsoft.com",
        "status": 500,
        "requestId": "r-1",
    }
    assert (error.reason, error.retry_after) == ("general", 5.0)


def test_errors_are_caught_by_meaning() -> None:
    assert issubclass(errors.TooManyItems, InputError)
    assert issubclass(errors.CallerUnknown, errors.CallerRefused)
    assert issubclass(errors.Expired, errors.NotFound)
    assert issubclass(errors.ConsentMissing, errors.Forbidden)
    assert issubclass(errors.LicenceMissing, errors.ServerFault)
    assert issubclass(errors.LeaseLost, errors.StoreError)
