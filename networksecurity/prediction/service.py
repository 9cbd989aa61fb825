"""The champion over HTTP: predictions for one or many rows, the model behind them, and a page to try it on.

The only module that imports FastAPI. A request is answered by one version from start to end; a new champion
is loaded beside the old one and takes its place once it can answer. Nothing of a request is kept: the log has one line
of JSON per request, without values of rows, queries or tokens.
"""

import binascii
import logging
import math
import re
import secrets
import time
from asyncio import get_running_loop
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from hashlib import sha256
from importlib import resources
from typing import Any, Literal

import pandas as pd
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from fastapi.security import HTTPBearer
from pydantic import SecretStr, ValidationError
from pydantic_core import to_json
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from threadpoolctl import threadpool_limits

from networksecurity import __version__
from networksecurity.data import mongodb
from networksecurity.data.addresses.names import URL
from networksecurity.data.contracts import get_contract
from networksecurity.exceptions import (
    ConfigurationError,
    DataSourceError,
    DataValidationError,
    SourceUnavailableError,
    shortened,
)
from networksecurity.prediction import rows
from networksecurity.prediction.model_in_use import Checked, LoadedVersion, ModelInUse
from networksecurity.prediction.openapi import (
    REFUSALS,
    ModelDescription,
    ModelName,
    Predictions,
    Problem,
    Readiness,
    Report,
    Reported,
    describe,
    report_body,
    request_body,
)
from networksecurity.settings import Settings
from networksecurity.training.search import available_cores

_log = logging.getLogger(__name__)

_DRAINED = 10
"""How many times the limit we drain from an oversized body; a client that is still sending cannot read the 413."""
_AT_ONCE = 2048
"""Bytes of a body that the thread of the event loop may answer itself: some rows."""
_LATER = {"Retry-After": "30"}
_FIGURES = ("f1_score", "precision", "recall_score", "false_positive_rate", "roc_auc")

# --- The application --------------------------------------------------------------------------------------------------


def create_app(settings: Settings, checked: Checked | None = None) -> FastAPI:
    """Return the service as an ASGI application; `app.state.model_in_use` is refreshed while it runs.

    `checked`, if given, hears after each check for a new champion why there is no model, or None.
    """
    in_use, contract = ModelInUse(settings, checked), get_contract(settings.serve_contract)
    # The pool is the budget: in each of its threads, BLAS and OpenMP have one.
    pool = ThreadPoolExecutor(available_cores(settings.cores), "predict", initializer=threadpool_limits, initargs=(1,))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with pool, in_use.refreshed():
            yield

    app = FastAPI(
        title="networksecurity",
        version=__version__,
        description=describe(contract),
        lifespan=lifespan,
        docs_url=None,  # Swagger's and Redoc's pages load scripts from other hosts: our page shows the document
        redoc_url=None,
    )
    app.add_exception_handler(RequestValidationError, _refuse_query)
    app.state.model_in_use = in_use
    page = resources.files("networksecurity.prediction").joinpath("page.html").read_text(encoding="utf-8")
    app.add_middleware(_Envelope, policy=_content_security_policy(page), token=settings.serve_token)
    guards = [Depends(HTTPBearer(auto_error=False))] if settings.serve_token else []  # the envelope asks for it

    def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
        return {status: {"model": Problem, "description": REFUSALS[status]} for status in statuses}

    guarded = refusals(401) if guards else {}
    answered: dict[int | str, dict[str, Any]] = {200: {"model": Predictions, "description": "an answer to each row"}}
    endpoints = _Endpoints(settings, in_use, pool, page)
    app.post(
        "/predict",
        dependencies=guards,
        response_class=Response,
        responses=answered | guarded | refusals(409, 413, 415, 422, 503),
    )(endpoints.predict)
    app.post(
        "/feedback",
        status_code=201,
        dependencies=guards,
        include_in_schema=settings.mongodb_uri is not None,
        responses=guarded | refusals(413, 415, 422, 503),
    )(endpoints.feedback)
    app.get("/model", dependencies=guards, responses=guarded | refusals(503))(endpoints.model)
    app.get("/health")(endpoints.health)
    app.get("/ready", dependencies=guards, responses=guarded | refusals(503))(endpoints.ready)
    app.get("/", include_in_schema=False)(endpoints.index)
    app.get("/docs", include_in_schema=False)(endpoints.docs)
    # Into the finished document: while building it FastAPI would drop the nulls of the examples.
    app.openapi()["paths"]["/predict"]["post"]["requestBody"] = request_body(settings.serve_max_rows, contract)
    if settings.mongodb_uri:
        app.openapi()["paths"]["/feedback"]["post"]["requestBody"] = report_body(contract)
    return app


class _Endpoints:
    """What is answered under each path; a docstring is the description in the OpenAPI document."""

    def __init__(self, settings: Settings, in_use: ModelInUse, pool: ThreadPoolExecutor, page: str) -> None:
        self._settings = settings
        self._contract = get_contract(settings.serve_contract)
        self._in_use = in_use
        self._pool = pool
        self._page = page

    async def predict(self, request: Request, explain: bool = False) -> Response:
        """Say how probable it is that a website is a phishing one.

        One row, `{"rows": [row, …]}`, or a CSV. A row with a bad value is answered with reasons, the others with
        predictions. Features may have any of the names that circulate for them. With `explain`, in the query or beside
        `rows` or the features of one row, each prediction comes with its explanation.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in rows.READERS or request.headers.get("content-encoding", "identity") != "identity":
            raise HTTPException(415, f"send {' or '.join(rows.READERS)}, not compressed")
        loaded = self._loaded()
        try:
            body = await _read(request, self._settings.serve_max_bytes)
        except ClientDisconnect:
            return Response(status_code=400)  # to nobody
        try:
            if not explain and _is_quick(loaded, body):
                content, log = self._answer(loaded, kind, body, explain)
            else:
                content, log = await get_running_loop().run_in_executor(
                    self._pool, self._answer, loaded, kind, body, explain
                )
        except DataValidationError as exc:
            raise HTTPException(413 if isinstance(exc, rows.TooManyRowsError) else 422, str(exc)) from None
        request.scope["log"] |= log
        return Response(content, media_type="application/json")

    def _answer(self, loaded: LoadedVersion, kind: str, body: bytes, explain: bool) -> tuple[bytes, dict[str, Any]]:
        """Return the answer, and what the log says about it."""
        question = rows.READERS[kind](body, self._settings.serve_max_rows)
        explain = explain or question.explain
        if explain and loaded.explainer is None:
            raise HTTPException(409, f"{REFUSALS[409]}; ask without `explain`, or train again")
        predictions = rows.predict(
            loaded.model,
            question.rows,
            loaded.explainer if explain else None,
            self._contract,
            self._in_use.overrides,
            datetime.now(UTC),
            loaded.known,
        )
        n_rejected = sum(1 for prediction in predictions if prediction["reasons"])
        content = {
            "model": _name(loaded).model_dump(),
            "n_rows": len(predictions),
            "n_rejected": n_rejected,
            "predictions": predictions,
        }
        log = {"rows": len(predictions), "rejected": n_rejected, "version": loaded.version.version}
        return to_json(content, inf_nan_mode="null"), log

    async def feedback(self, request: Request) -> Reported:
        """Take a report that a row has another label; it changes nothing until a person accepts it."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise HTTPException(415, "send application/json")
        try:
            body = await _read(request, self._settings.serve_max_bytes)
            report = Report.model_validate_json(body)
            name = await get_running_loop().run_in_executor(self._pool, self._store, report)
        except ClientDisconnect:
            raise HTTPException(400, "the request ended early") from None
        except ValidationError as exc:
            first = exc.errors(include_input=False, include_url=False)[0]
            raise HTTPException(
                422, shortened(f"{'.'.join(map(str, first['loc']))}: {first['msg']}".lstrip(": "))
            ) from None
        except DataValidationError as exc:
            raise HTTPException(422, str(exc)) from None
        except ConfigurationError as exc:
            raise HTTPException(503, f"there is no place for feedback: {exc}", _LATER) from None
        except (DataSourceError, SourceUnavailableError) as exc:
            _log.warning("feedback was not stored: %s", exc)
            said = "the place for feedback cannot be used at the moment: see the log"
            raise HTTPException(503, said, _LATER) from None
        return Reported(id=name)

    def _store(self, report: Report) -> str:
        row = pd.DataFrame([{URL: report.url} if report.row is None else report.row], dtype=object)
        with mongodb.open(mongodb.parse_target("mongodb", self._settings, self._contract)) as opened:
            (name,) = opened.add_feedback(row, label=report.label, by=report.by, comment=report.comment)
        return name

    async def model(self) -> ModelDescription:
        """Return the model in use, with its card."""
        loaded = self._loaded()
        return ModelDescription(
            **_name(loaded).model_dump(),
            threshold=loaded.model.threshold,
            band=list(band) if (band := loaded.model.rule.band) else None,
            loaded_at=loaded.loaded_at,
            figures={name: float(of) for name in _FIGURES if (of := loaded.version.tags.get(name))},
            native_up_to=loaded.model.up_to,
            native=loaded.model.why,
            overrides=len(self._in_use.overrides.by_key),
            explains=loaded.explainer is not None,
            card=loaded.card,
        )

    async def health(self) -> dict[Literal["status"], Literal["alive"]]:
        """Say that the process answers, with or without a model."""
        return {"status": "alive"}

    async def ready(self) -> Readiness:
        """Say whether there is a model to predict with."""
        return Readiness(model=_name(self._loaded()), problem=self._in_use.problem)

    async def index(self) -> HTMLResponse:
        """Return the page."""
        return HTMLResponse(self._page)

    async def docs(self) -> RedirectResponse:
        """Show the part of the page with the API."""
        return RedirectResponse("/#api")

    def _loaded(self) -> LoadedVersion:
        loaded = self._in_use.current
        if loaded is None:
            after = {"Retry-After": str(math.ceil(self._settings.serve_refresh))}
            raise HTTPException(503, f"there is no model yet: {self._in_use.problem}", after)
        return loaded


def _is_quick(loaded: LoadedVersion, body: bytes) -> bool:
    """Return whether a body is answered before a thread would have begun: some rows, natively, without explanation."""
    # An escape may hide a word.
    return len(body) <= _AT_ONCE and loaded.model.up_to > 0 and b"explain" not in body and b"\\" not in body


def _name(loaded: LoadedVersion) -> ModelName:
    return ModelName(name=loaded.version.name, version=loaded.version.version)


async def _refuse_query(_: Request, exc: Exception) -> JSONResponse:
    """Answer to a query that is not as described in one line, as to everything else."""
    assert isinstance(exc, RequestValidationError)
    said = (f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in exc.errors())
    return JSONResponse({"detail": shortened("; ".join(said))}, 422)


async def _read(request: Request, max_bytes: int) -> bytes:
    """Return the body, keeping no more of it than `max_bytes`, even if its headers declare less."""
    declared = request.headers.get("content-length", "")
    most_read = _DRAINED * max_bytes
    body, n_bytes = bytearray(), 0
    if not (declared.isdecimal() and int(declared) > most_read):
        async for chunk in request.stream():
            n_bytes += len(chunk)
            if n_bytes <= max_bytes:
                body += chunk
            elif n_bytes > most_read:
                break
        if n_bytes <= max_bytes:
            return bytes(body)
    raise HTTPException(
        413,
        f"the body has more than {max_bytes:,} bytes (NETWORKSECURITY_SERVE_MAX_BYTES): send it in parts",
        {"Connection": "close"},
    )


def _content_security_policy(page: str) -> str:
    """Allow the page its own script and style, by their hashes, and requests to its own origin; nothing else."""

    def hashes(tag: str) -> str:
        parts = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        return " ".join(f"'sha256-{b64encode(sha256(part.encode()).digest()).decode()}'" for part in parts)

    return (
        f"default-src 'none'; script-src {hashes('script')}; style-src {hashes('style')}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


_UNAUTHORIZED = JSONResponse({"detail": REFUSALS[401]}, 401, {"WWW-Authenticate": "Bearer"})
# A line of its own: Chromium reads one scheme a line, and asks for a password only if it is this one.
_UNAUTHORIZED.headers.append("WWW-Authenticate", 'Basic realm="networksecurity: the token as password"')


class _Envelope:
    """What every answer gets: headers that bind the browser, and a line in the log.

    If there is a token, who does not send it gets nothing but a 401 and `/health`. A browser sends it as a password.
    """

    def __init__(self, app: ASGIApp, policy: str, token: SecretStr | None) -> None:
        self._app = app
        self._token = token.get_secret_value().encode() if token else None
        headers = {
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": "no-store",
        }
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        scope["log"] = {}
        status = 500

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message["headers"], *self._headers]}
            await send(message)

        app = self._app if scope["path"] == "/health" or self._may_pass(scope["headers"]) else _UNAUTHORIZED
        try:
            await app(scope, receive, send_with_headers)
        finally:
            line = {
                "method": scope["method"],
                "path": scope["path"],
                "status": status,
                "seconds": round(time.perf_counter() - started, 6),
                "client": (scope.get("client") or [None])[0],
                **scope["log"],
            }
            _log.info("%(method)s %(path)s %(status)s", line, extra={"request": line})

    def _may_pass(self, headers: list[tuple[bytes, bytes]]) -> bool:
        if self._token is None:
            return True
        given = next((value for name, value in headers if name == b"authorization"), b"")
        scheme, _, credentials = given.partition(b" ")
        if scheme.lower() == b"basic":
            try:
                credentials = b64decode(credentials).partition(b":")[2]
            except binascii.Error:
                return False
        elif scheme.lower() != b"bearer":
            return False
        return secrets.compare_digest(credentials, self._token)
