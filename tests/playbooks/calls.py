"""The actions that call out, `Http` and `ApiConnection`: from evaluated inputs to outputs."""

from collections.abc import Mapping
from typing import Any

from tests.playbooks.history import Action, Failure, Unsupported
from tests.playbooks.wire import Call, Retry, TimedOut, Unreachable, Wire, seconds_of


def perform(
    wire: Wire,
    name: str,
    action: Action,
    inputs: Mapping[str, Any],
    url: str,
    authentication: Mapping[str, Any],
) -> dict[str, Any]:
    """Send what an action says and return its outputs; raise `Failure` as Logic Apps fail it."""
    options = action.get("operationOptions", "")
    if options not in {"", "DisableAsyncPattern"}:
        raise Unsupported(f"{name}: operationOptions {options!r}")
    timeout = action.get("limit", {}).get("timeout")
    call = Call(
        action=name,
        method=inputs["method"],
        url=url,
        headers=inputs.get("headers", {}),
        queries=inputs.get("queries", {}),
        body=inputs.get("body"),
        authentication=authentication,
    )
    try:
        outputs = wire.call(
            call,
            retry=Retry.of(inputs.get("retryPolicy")),
            limit=None if timeout is None else seconds_of(timeout),
            follow=not options,
        )
    except TimedOut:
        message = f"{name} had no answer within {timeout}"
        raise Failure("ActionTimedOut", message, status="TimedOut") from None
    except Unreachable as error:
        raise Failure("BadGateway", str(error)) from error
    if outputs["statusCode"] >= 300:
        raise Failure("ActionFailed", f"HTTP {outputs['statusCode']}", outputs)
    return outputs
