"""Anomali ThreatStream: observables, import with and without approval, and what becomes of them.

    GET    /api/v2/intelligence/                a page of observables, see `observables`
    PATCH  /api/v2/intelligence/{id}/           change one          DELETE  remove one
    PATCH  /api/v1/intelligence/                import without approval: 202, and nothing more
    POST   /api/v1/intelligence/import/         import with approval (form): 202 and a session
    GET    /api/v1/importsession/{id}/          how far a session is
    PATCH  /api/v1/importsession/{id}/approve_all/    approve it
    POST   /api/v1/intelligence/{id}/tag/       add tags, also to what others own
    DELETE /api/v1/intelligence/{id}/tag/{tag}/ remove one by its id

Contract: opencti-anyrun-anomali-threatconnect 3. As there, a 202 proves nothing: names that do not
resolve are dropped, an unknown itype makes a false positive, confidence is recomputed.
"""

import hmac
import json
import math
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal
from urllib.parse import parse_qs

from mdti.sandbox.observables import (
    ITYPES,
    BadFilter,
    Observables,
    Row,
    kind_of,
    page,
)
from mdti.sandbox.window import Window
from mdti.sandbox.wire import Reply, Request, json_reply

USERNAME = "feeds@example.com"
ORGANISATION = 67
CALLS_PER_MINUTE = 6_000
_KEYS = ("srcip", "domain", "url", "email", "md5")
_CHANGEABLE = frozenset({"itype", "status", "tlp", "severity", "confidence", "expiration_ts"})


@dataclass(slots=True, kw_only=True)
class ThreatStreamOptions:
    """What the documents leave to the organisation; may change while the sandbox runs.

    `approval` is what becomes of an import session: approved at once, kept at `done` for a person,
    or ended in `errors`. `unresolved` are names that do not resolve, `benign` values that are known
    to be harmless: both are dropped in silence. `may_import` and `may_approve` are the rights to
    import with and without approval. `visible_after` is how many reads pass before an import shows.
    `may_tag` is the right to tag, `untaggable` are values whose observables take no tags, and
    `may_untag` is whether there is a way to remove one at all.
    """

    approval: Literal["automatic", "manual", "errors"] = "automatic"
    may_import: bool = True
    may_approve: bool = True
    unresolved: set[str] = field(default_factory=set)
    benign: set[str] = field(default_factory=set)
    visible_after: int = 0
    may_tag: bool = True
    may_untag: bool = True
    untaggable: set[str] = field(default_factory=set)
    retry_after: bool = True


@dataclass(slots=True)
class Session:
    """One import session; `status` is one of ThreatStream's seven words."""

    id: int
    status: str
    form: Mapping[str, str]
    values: list[str]
    rejected: int = 0

    def document(self) -> dict[str, Any]:
        """Return the session as its resource shows it."""
        return {
            "id": self.id,
            "status": self.status,
            "numIndicators": len(self.values),
            "numRejected": self.rejected,
            "num_private": len(self.values) if self.form.get("classification") == "private" else 0,
            "num_public": len(self.values) if self.form.get("classification") != "private" else 0,
            "resource_uri": f"/api/v1/importsession/{self.id}/",
        }


class _Refused(Exception):
    """An HTTP status and a message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ThreatStream:
    """One organisation's ThreatStream.

    `observables` holds every row; `sessions` every import session by its id.
    """

    name = "threatstream"

    def __init__(
        self,
        *,
        options: ThreatStreamOptions | None = None,
        clock: Callable[[], float] = time.time,
        api_key: str | None = None,
    ) -> None:
        self.options = options or ThreatStreamOptions()
        self.observables = Observables(clock=clock, organisation=ORGANISATION, owner=USERNAME)
        self.sessions: dict[int, Session] = {}
        self.limit = Window(CALLS_PER_MINUTE, 60, clock=clock)
        self.api_key = api_key or secrets.token_hex(20)
        self._lock = threading.RLock()
        self._late: list[tuple[int, Callable[[], object]]] = []

    def settings(self, base_url: str) -> Mapping[str, str]:
        """Return the settings that point the app at this organisation, and let it tag there."""
        return {
            "THREATSTREAM_URL": base_url,
            "THREATSTREAM_USERNAME": USERNAME,
            "THREATSTREAM_API_KEY": self.api_key,
            "THREATSTREAM_ENRICH": "true",
        }

    def handle(self, request: Request) -> Reply:
        """Answer one request."""
        verdict = self._judge(request.headers.get("authorization", ""))
        if verdict != "valid":
            return Reply(status=401, content_type="text/html; charset=utf-8", verdict=verdict)
        wait = self.limit.take()
        if wait is not None:
            seconds = str(math.ceil(wait))
            headers = (("Retry-After", seconds),) if self.options.retry_after else ()
            return json_reply(
                {"error": "Too many requests."}, status=429, headers=headers, verdict=verdict
            )
        try:
            with self._lock:
                return self._answer(request, verdict)
        except _Refused as refused:
            return json_reply({"error": str(refused)}, status=refused.status, verdict=verdict)
        except (BadFilter, KeyError, TypeError, ValueError, AttributeError) as error:
            return json_reply({"error": f"unreadable: {error}"}, status=400, verdict=verdict)

    def approve(self, session: int) -> None:
        """Approve an import session, as a person does: its observables are imported."""
        with self._lock:
            found = self.sessions[session]
            if found.status in {"approved", "deleted", "errors"}:
                return
            found.status = "approved"
            self._import_form(found)

    def reject(self, session: int) -> None:
        """Reject an import session, as a person does."""
        with self._lock:
            self.sessions[session].status = "deleted"

    def _judge(self, header: str) -> str:
        if not header:
            return "missing"
        expected = f"apikey {USERNAME}:{self.api_key}"
        return "valid" if hmac.compare_digest(header.encode(), expected.encode()) else "wrong"

    def _answer(self, request: Request, verdict: str) -> Reply:
        segments = [segment for segment in request.segments if segment]
        match request.method, segments:
            case "GET", ["api", "v2", "intelligence"]:
                self._surface()
                return json_reply(page(self.observables.rows(), request), verdict=verdict)
            case "PATCH", ["api", "v2", "intelligence", number]:
                return json_reply(self._change(number, request.json()), verdict=verdict)
            case "DELETE", ["api", "v2", "intelligence", number]:
                self.observables.delete(self._editable(number)["id"])
                return Reply(status=204, verdict=verdict)
            case "PATCH", ["api", "v1", "intelligence"]:
                return self._import_directly(request.json(), verdict)
            case "POST", ["api", "v1", "intelligence", "import"]:
                return self._open_session(request, verdict)
            case "POST", ["api", "v1", "intelligence", number, "tag"]:
                row = self._taggable(number)
                self._later(
                    partial(self.observables.change, row["id"], tags=request.json()["tags"])
                )
                return json_reply({"success": True}, status=201, verdict=verdict)
            case "DELETE", ["api", "v1", "intelligence", number, "tag", tag]:
                self._untag(self._taggable(number), tag)
                return Reply(status=204, verdict=verdict)
            case "GET", ["api", "v1", "importsession", number]:
                return json_reply(self._session(number).document(), verdict=verdict)
            case "PATCH", ["api", "v1", "importsession", number, "approve_all"]:
                self._need_approve()
                self.approve(self._session(number).id)
                return json_reply(self._session(number).document(), verdict=verdict)
            case _:
                raise _Refused(404, "Not found.")

    def _change(self, number: str, wanted: Mapping[str, Any]) -> Row:
        row = self._editable(number)
        known = {name: value for name, value in wanted.items() if name in _CHANGEABLE}
        return self.observables.change(row["id"], **known)

    def _untag(self, row: Row, tag: str) -> None:
        if not self.options.may_untag:
            raise _Refused(405, "Method not allowed.")
        if not self.observables.untag(row["id"], tag):
            raise _Refused(404, "Not found.")

    def _taggable(self, number: str) -> Row:
        row = self._known(number)
        if not self.options.may_tag:
            raise _Refused(403, "Tagging is not permitted.")
        if row["value"] in self.options.untaggable:
            raise _Refused(403 if not row["is_editable"] else 400, "This takes no tags.")
        return row

    def _known(self, number: str) -> Row:
        row = self.observables.get(int(number))
        if row is None:
            raise _Refused(404, "Not found.")
        return row

    def _editable(self, number: str) -> Row:
        row = self._known(number)
        if not row["is_editable"]:
            raise _Refused(403, "This observable belongs to another organisation.")
        return row

    def _need_approve(self) -> None:
        if not self.options.may_approve:
            raise _Refused(403, "Approve Intel permission is required.")

    def _session(self, number: str) -> Session:
        session = self.sessions.get(int(number))
        if session is None:
            raise _Refused(404, "Not found.")
        if session.status == "processing":
            session.status = "errors" if self.options.approval == "errors" else "done"
            if self.options.approval == "automatic":
                self.approve(session.id)
        return session

    def _import_directly(self, body: Mapping[str, Any], verdict: str) -> Reply:
        self._need_approve()
        meta = body.get("meta") or {}
        for item in body["objects"]:
            self._later(partial(self._take, item, meta))
        return Reply(status=202, content_type="text/plain", verdict=verdict)

    def _take(self, item: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
        name = next((key for key in _KEYS if item.get(key)), None)
        if name is None:
            return
        value = str(item[name])
        if value in self.options.benign:
            return
        resolves = not any(host in value for host in self.options.unresolved)
        if name in {"domain", "url"} and not resolves and not meta.get("allow_unresolved"):
            return
        said = {**meta, **item}
        said["tags"] = [*(meta.get("tags") or []), *(item.get("tags") or [])]
        said.pop("tlp", None)  # neither sample nor list of fields has one here
        broken = said.get("itype") not in ITYPES
        broken |= name in {"email", "md5"} and not isinstance(said.get("confidence"), int)
        self._store(value, said, status="falsepos" if broken else "active")

    def _store(self, value: str, said: Mapping[str, Any], *, status: str) -> None:
        confidence = int(said.get("confidence", 50))
        kind = kind_of(value)
        weight = int(said.get("source_confidence_weight", 0))
        if kind not in {"md5", "email"} and weight != 100:
            confidence = (confidence * weight + 40 * (100 - weight)) // 100
        self.observables.put(
            value,
            itype=str(said.get("itype") or "suspicious_domain"),
            confidence=confidence,
            reported=int(said.get("confidence", 50)),
            severity=str(said.get("severity") or "low"),
            public=said.get("classification", "public") != "private",
            tlp=said.get("tlp"),
            tags=list(said.get("tags") or []),
            expires=said.get("expiration_ts"),
            status=status,
            session=said.get("import_session_id"),
        )

    def _open_session(self, request: Request, verdict: str) -> Reply:
        if not self.options.may_import:
            raise _Refused(403, "Importing is not permitted.")
        form = {name: values[-1] for name, values in parse_qs(request.body.decode("utf-8")).items()}
        if not form.get("confidence", "").isdecimal() or not form.get("datatext"):
            raise _Refused(400, "datatext and confidence are required.")
        if not isinstance(json.loads(form.get("tags", "[]")), list):
            raise _Refused(400, "tags must be a list.")
        given = [line.strip() for line in form["datatext"].splitlines() if line.strip()]
        values = [value for value in given if value not in self.options.benign]
        number = 3_369 + len(self.sessions)
        rejected = len(given) - len(values)
        self.sessions[number] = Session(number, "processing", form, values, rejected)
        job = f"9f6c3c1e-0000-4000-8000-{number:012d}"
        document = {"success": True, "import_session_id": str(number), "job_id": job}
        return json_reply(document, status=202, verdict=verdict)

    def _import_form(self, session: Session) -> None:
        form = session.form
        for value in session.values:
            kind = kind_of(value)
            itype = form.get(f"{kind}_mapping") or form.get("ip_mapping" if kind == "ipv6" else "")
            said: dict[str, Any] = {
                **form,
                "itype": itype,
                "tags": json.loads(form.get("tags", "[]")),
                "import_session_id": session.id,
            }
            if said.get("expiration_ts") == "null":
                said["expiration_ts"] = "9999-12-31T00:00:00"
            self._later(partial(self._store, value, said, status="active"))

    def _later(self, work: Callable[[], object]) -> None:
        """Do something now, or after as many reads as the options say."""
        if self.options.visible_after <= 0:
            work()
            return
        self._late.append((self.options.visible_after, work))

    def _surface(self) -> None:
        due = [work for left, work in self._late if left <= 0]
        self._late = [(left - 1, work) for left, work in self._late if left > 0]
        for work in due:
            work()
