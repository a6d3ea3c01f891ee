"""The HTTP door: lets callers in, answers for errors, and writes one line for each request.

The app behind it is imported and made with the first request that needs it, so that the platform
finds the functions fast, and even when a setting is wrong.
"""

import logging
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import azure.functions as func

from mdti.errors import CallerRefused, CallerUnknown, MdtiError
from mdti.http import error_answer

if TYPE_CHECKING:
    from mdti.routes import Routes

PRINCIPAL = "X-MS-CLIENT-PRINCIPAL-ID"
"""Set by the platform's Easy Auth, which removes what a caller put there."""

_log = logging.getLogger(__name__)


class Door:
    """One per function app; safe for threads.

    Whether the platform authenticates callers is read once, because the functions' level follows
    from it: an app that changes its mind must start anew.
    """

    def __init__(
        self, environ: Mapping[str, str], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._environ = environ
        self._clock = clock
        self._easy_auth = environ.get("WEBSITE_AUTH_ENABLED", "").strip().lower() == "true"
        self._lock = threading.Lock()
        self._routes: Routes | None = None

    @property
    def level(self) -> func.AuthLevel:
        """The level of every route: a function key, unless the platform knows its callers."""
        return func.AuthLevel.ANONYMOUS if self._easy_auth else func.AuthLevel.FUNCTION

    @property
    def routes(self) -> "Routes":
        """What the routes do, with the app behind them."""
        with self._lock:
            if self._routes is None:
                from mdti.app import App
                from mdti.routes import Routes

                self._routes = Routes(App(self._environ))
            return self._routes

    def answer(
        self,
        request: func.HttpRequest,
        context: func.Context,
        work: Callable[[], func.HttpResponse],
        *,
        check_caller: bool = True,
    ) -> func.HttpResponse:
        """Return what `work` answers, or the error that it, or the caller, ended in.

        With `check_caller` off anybody whom the platform let through may call.
        """
        started = self._clock()
        try:
            if check_caller:
                self._check(request)
            response = work()
        except MdtiError as error:
            response = error_answer(error)
        except Exception as error:
            self._report(error, context)
            response = error_answer(MdtiError("The app failed for a reason that its log names."))
        job = request.route_params.get("id") or _job(response)
        self._line(context, str(response.status_code), started, job=job)
        return response

    def work(self, context: func.Context, work: Callable[[], str]) -> None:
        """Do what a timer or a message asks for; `work` returns how it ended.

        Raises MdtiError, so that the platform tries again and shows the failure as one.
        """
        started = self._clock()
        outcome = "failed"
        try:
            outcome = work()
        except MdtiError:
            raise
        except Exception as error:
            self._report(error, context)
            raise MdtiError("The app failed for a reason that its log names.") from None
        finally:
            self._line(context, outcome, started)

    def close(self) -> None:
        """Give back threads and connections; the next request makes new ones."""
        with self._lock:
            routes, self._routes = self._routes, None
        if routes is not None:
            routes.app.close()

    def _check(self, request: func.HttpRequest) -> None:
        """Raise CallerRefused unless the caller is listed, where the platform knows callers."""
        if not self._easy_auth:
            return
        from mdti.settings import ALLOWED_CALLERS, Settings

        caller = request.headers.get(PRINCIPAL, "").strip().lower()
        if not caller:
            raise CallerUnknown(
                "The platform did not say who calls.",
                hint="Send a token for this app; Easy Auth reads it and names the caller.",
            )
        if caller not in Settings(self._environ).get(ALLOWED_CALLERS):
            raise CallerRefused(
                "This caller is not listed in MDTI_ALLOWED_CALLERS.",
                hint="Add the object id of the caller's identity to the app setting.",
            )

    def _line(
        self, context: func.Context, outcome: str, started: float, *, job: str | None = None
    ) -> None:
        _log.info(
            "%s %s in %.0f ms job=%s invocation=%s trace=%s",
            context.function_name,
            outcome,
            (self._clock() - started) * 1000,
            _plain(job) or "-",
            _plain(context.invocation_id),
            _plain(context.trace_context.trace_parent) or "-",
        )

    def _report(self, error: Exception, context: func.Context) -> None:
        # The message of an unforeseen error may hold anything, also a secret.
        frames = "".join(traceback.format_tb(error.__traceback__))
        _log.error(
            "%s failed: %s invocation=%s\n%s",
            context.function_name,
            type(error).__name__,
            _plain(context.invocation_id),
            frames,
        )


def _job(response: func.HttpResponse) -> str | None:
    location = response.headers.get("Location")
    return location.rpartition("/")[2] if location else None


def _plain(text: str | None) -> str:
    """Return text of a caller as at most 80 printable ASCII characters, without a line break."""
    safe = (text or "").encode("ascii", "backslashreplace").decode("ascii")
    return "".join(c if c.isprintable() else "?" for c in safe)[:80]
