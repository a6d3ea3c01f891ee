"""Speaks to Microsoft's worker library as the Functions host does; the standard library alone."""

import asyncio
import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any


class Message(SimpleNamespace):
    """A message of the host's protocol: fields, of which at most one is set in a choice."""

    def WhichOneof(self, _: str) -> str | None:  # noqa: N802
        return next((name for name, value in vars(self).items() if value is not None), None)


class Protocol:
    """Makes messages of any kind, as the generated module of the worker does."""

    class BindingInfo(Message):
        undefined = 0
        out = 1
        inout = 2

    class StatusResult(Message):
        Failure = 0
        Success = 1

    def __getattr__(self, name: str) -> type[Message]:
        return type(name, (Message,), {})


class Worker:
    """Speaks to the worker library as the Functions host does."""

    def __init__(self, directory: Path) -> None:
        self._library = importlib.import_module("azure_functions_runtime")
        started = self._ask(
            "worker_init_request",
            Message(capabilities={}, function_app_directory=str(directory)),
        )
        assert started.result.status == Protocol.StatusResult.Success, started.result
        found = self._ask("functions_metadata_request", Message()).function_metadata_results
        self.functions = {function.name: function for function in found}

    def call(self, name: str, metadata: Mapping[str, str] | None = None, **inputs: Message) -> Any:
        request = Message(
            invocation_id="1f2e3d4c",
            function_id=self.functions[name].function_id,
            input_data=[Message(name=key, data=value) for key, value in inputs.items()],
            trigger_metadata={key: Message(string=v) for key, v in (metadata or {}).items()},
            trace_context=Message(trace_parent="00-aa-bb-01", trace_state="", attributes={}),
            retry_context=Message(retry_count=0, max_retry_count=0, exception=None),
        )
        for given in request.input_data:
            given.WhichOneof = lambda _: "data"
        answer = self._ask("invocation_request", request)
        assert answer.result.status == Protocol.StatusResult.Success, answer.result
        return answer

    def http(
        self,
        name: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        body: object = None,
    ) -> tuple[Any, Any]:
        """Call an HTTP function; return its HTTP answer and the whole answer of the worker."""
        http = Message(
            method=method,
            url=f"https://app.example/{name}",
            headers=headers or {},
            query=query or {},
            params=params or {},
            body=Message(bytes=json.dumps(body).encode() if body else b""),
        )
        answer = self.call(name, req=Message(http=http))
        return answer.return_value.http, answer

    def _ask(self, event: str, request: Message) -> Any:
        envelope = Message(
            request=Message(**{event: request}),
            properties={"host": "127.0.0.1", "protos": Protocol()},
        )
        return asyncio.run(getattr(self._library, event)(envelope))
