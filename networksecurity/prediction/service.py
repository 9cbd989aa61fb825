"""The champion over HTTP: predictions of one or many rows, what model they come from, and a page to try it on.

The only module that meets FastAPI and uvicorn. A request is answered by one version from its start to its end; a new
champion is loaded beside the old one, and takes its place when it can answer. Nothing of what is asked is kept: the log
has one line of JSON per request, without values of rows, queries or tokens.
"""

import csv
import io
import json
import logging
import math
import re
import secrets
import signal
import socket
import sys
import time
import traceback
from asyncio import get_running_loop
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from importlib import resources
from threading import Event, Lock, Thread
from typing import Annotated, Any, Literal

import pandas as pd
import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel
from pydantic_core import from_json, to_json
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from threadpoolctl import threadpool_limits

from networksecurity import __version__
from networksecurity.champion import registry
from networksecurity.champion.registry import RegisteredVersion
from networksecurity.data.schema import FEATURES, LABEL, SCORE, Validation, canonical_name
from networksecurity.exceptions import ConfigurationError, NetworkSecurityException, TransientError
from networksecurity.prediction import scoring
from networksecurity.settings import Settings
from networksecurity.tracking import server as tracking_server
from networksecurity.training.candidates import decision_threshold
from networksecurity.training.search import available_cores

_log = logging.getLogger(__name__)

_MOST_CONNECTIONS = 100
"""At once; others are told 503. Each may hold one body in memory."""
_PATIENCE = 10
"""Times the largest body that is read of one that is too large: a client that still writes cannot read why."""
_LAST_WORDS = 30
"""Seconds that requests in flight have to be finished when the service is told to end."""

_SIGNS = {
    "having_IP_Address": "IP address instead of a host name",
    "URL_Length": "length of the address",
    "Shortining_Service": "address of a shortening service",
    "having_At_Symbol": "@ in the address",
    "double_slash_redirecting": "// in the path",
    "Prefix_Suffix": "hyphen in the domain",
    "having_Sub_Domain": "number of subdomains",
    "SSLfinal_State": "HTTPS, issuer and age of the certificate",
    "Domain_registeration_length": "how long the domain is registered for",
    "Favicon": "icon from another domain",
    "port": "open or unusual ports",
    "HTTPS_token": "the word https in the domain",
    "Request_URL": "images and media from other domains",
    "URL_of_Anchor": "links that lead elsewhere or nowhere",
    "Links_in_tags": "meta, script and link tags to other domains",
    "SFH": "where forms are sent to",
    "Submitting_to_email": "forms that are sent by e-mail",
    "Abnormal_URL": "host name that is not in the WHOIS record",
    "Redirect": "number of redirects",
    "on_mouseover": "status bar changed on mouseover",
    "RightClick": "right click disabled",
    "popUpWidnow": "pop-up windows that ask for text",
    "Iframe": "invisible frames",
    "age_of_domain": "age of the domain",
    "DNSRecord": "DNS record",
    "web_traffic": "rank by traffic",
    "Page_Rank": "PageRank",
    "Google_Index": "indexed by Google",
    "Links_pointing_to_page": "links from elsewhere to the page",
    "Statistical_report": "host among those most reported for phishing",
}

# Made up, with one value that is not known.
_EXAMPLE = {name: max(domain) if i % 4 else min(domain) for i, (name, domain) in enumerate(FEATURES.items())} | {
    "Page_Rank": None
}

# --- What is asked, and what is answered ------------------------------------------------------------------------------

_ROW = {
    "type": "object",
    "description": "The 30 features, null where a value is not known; whatever else is in it is given back as `keys`.",
    "properties": {name: {"description": _SIGNS[name], "enum": [*domain, None]} for name, domain in FEATURES.items()},
    "required": list(FEATURES),
    "not": {"required": ["rows"]},
}


def _documented_body(max_rows: int) -> dict[str, Any]:
    rows = {"type": "array", "items": _ROW, "minItems": 1, "maxItems": max_rows}
    many = {"type": "object", "properties": {"rows": rows}, "required": ["rows"], "additionalProperties": False}
    table = "\n".join(
        ",".join(cells) for cells in ([*FEATURES], ["" if of is None else str(of) for of in _EXAMPLE.values()])
    )
    examples = {
        "one row": {"value": {**_EXAMPLE, "url": "https://example.org/"}},
        "many rows, one of them not valid": {"value": {"rows": [_EXAMPLE, {**_EXAMPLE, "SFH": 7, "id": 2}]}},
    }
    return {
        "required": True,
        "content": {
            "application/json": {"schema": {"oneOf": [_ROW, many]}, "examples": examples},
            "text/csv": {
                "schema": {
                    "type": "string",
                    "description": "UTF-8, commas, the names in the first line; in any order, with others beside them",
                },
                "examples": {"a table": {"value": f"{table}\n"}},
            },
        },
    }


class Problem(BaseModel):
    """Why a request was not answered."""

    detail: str


class ModelName(BaseModel):
    """The version behind an answer."""

    name: str
    version: str


class Prediction(BaseModel):
    """The answer to one row: either a probability and a label, or reasons."""

    phishing_probability: float | None
    """In [0, 1]; null where the row is not valid."""
    label: Literal["phishing", "legitimate"] | None
    reasons: list[str]
    """Why the row is not valid; empty where it is."""
    keys: dict[str, Any]
    """What else was in the row."""


class Predictions(BaseModel):
    """The answers to all rows, in their order, by one version of the model."""

    model: ModelName
    n_rows: int
    n_rejected: int
    predictions: list[Prediction]


class Readiness(BaseModel):
    """That there is a model, and what keeps the service from looking for a newer one."""

    status: Literal["ready"] = "ready"
    model: ModelName
    problem: str | None


class ModelInUse(ModelName):
    """The model that answers."""

    threshold: float
    """The probability of phishing from which the label is phishing."""
    loaded_at: datetime
    figures: dict[str, float]
    """On the test rows of its training."""
    card: str | None
    """The model card, in Markdown."""


# --- The model --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Served:
    """A version that is loaded."""

    version: RegisteredVersion
    model: Any
    card: str | None
    loaded_at: datetime

    @property
    def name(self) -> ModelName:
        """What an answer says of where it comes from."""
        return ModelName(name=self.version.name, version=self.version.version)


class Champion:
    """The version that has the alias `champion`, loaded, and looked for again and again.

    Where the tracking server is down, the alias gone or a new version damaged, the old one stays.

    Attributes
    ----------
    current : Served or None
        Replaced as a whole; who has taken it keeps it.
    problem : str or None
        What the last look ran into.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = Lock()
        self.current: Served | None = None
        self.problem: str | None = "the champion is being loaded"
        self._failed = False

    def refresh(self) -> None:
        """Look which version is the champion, and load it where it is another than before."""
        with self._lock:
            try:
                problem = self._refresh()
            except NetworkSecurityException as exc:
                problem = str(exc)
            except Exception as exc:  # noqa: BLE001 (a look that fails must not be the last one, nor cost the model)
                _log.exception("the champion cannot be looked for")
                problem = f"the champion cannot be looked for ({type(exc).__name__}): see the log"
            if problem is None and self._failed:
                _log.info("the champion can be looked for again")
            elif problem is not None and problem != self.problem:
                kept = f"version {self.current.version.version} goes on" if self.current else "there is no model"
                _log.warning("%s (%s)", problem, kept)
            self.problem, self._failed = problem, problem is not None

    def _refresh(self) -> str | None:
        name = self._settings.mlflow_registered_model_name
        server = tracking_server.connect(self._settings)
        version = registry.find_version(server, name, registry.CHAMPION)
        if version is None:
            return (
                f"no version of {name} is the champion at {server.address}: train one, or promote one with "
                "`networksecurity champion promote VERSION`"
            )
        now = self.current and self.current.version
        if now is None or (now.version, now.source) != (version.version, version.source):
            model = registry.load_model(server, version)
            _predict(model, [dict.fromkeys(FEATURES)])  # what cannot answer does not take over
            self.current = Served(version, model, registry.load_card(server, version), datetime.now(UTC))
            _log.info("version %s of %s is in use", version.version, name)
        return None

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Refresh, in a thread, at once and then every `serve_refresh` seconds."""
        ended = Event()

        def watch() -> None:
            self.refresh()
            while not ended.wait(self._settings.serve_refresh):
                self.refresh()

        thread = Thread(target=watch, name="champion", daemon=True)  # a server that is silent holds up no end
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(timeout=1)


# --- Rows -------------------------------------------------------------------------------------------------------------


def _read_json(body: bytes, max_rows: int) -> list[dict[str, Any]]:
    try:
        content = from_json(body)
    except ValueError as exc:
        raise HTTPException(422, f"the body is not JSON: {exc}") from None
    if not isinstance(content, dict):
        raise HTTPException(422, 'the body is neither one row, {feature: value, …}, nor {"rows": [row, …]}')
    if "rows" not in content:
        return [content]
    rows = content["rows"]
    if len(content) > 1 or not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise HTTPException(422, "`rows` is not a list of rows, {feature: value, …}, or does not stand alone")
    if len(rows) > max_rows:
        raise _too_many(max_rows)
    return rows


def _read_csv(body: bytes, max_rows: int) -> list[dict[str, Any]]:
    try:
        lines = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
        header = [name.strip() for name in next(lines, [])]
        if len(set(header)) < len(header):
            raise HTTPException(422, "the CSV has two columns of the same name")
        rows = []
        for cells in lines:
            if not cells:  # an empty line
                continue
            if len(cells) != len(header):
                raise HTTPException(
                    422, f"line {lines.line_num} of the CSV has {len(cells)} cells, its first line {len(header)}"
                )
            if len(rows) == max_rows:
                raise _too_many(max_rows)
            rows.append(dict(zip(header, cells, strict=True)))
    except (UnicodeDecodeError, csv.Error) as exc:
        raise HTTPException(422, f"the body is not CSV in UTF-8 ({type(exc).__name__})") from None
    return rows


_READERS: dict[str, Callable[[bytes, int], list[dict[str, Any]]]] = {
    "application/json": _read_json,
    "text/csv": _read_csv,
}


def _too_many(max_rows: int) -> HTTPException:
    return HTTPException(413, f"more than {max_rows:,} rows (NETWORKSECURITY_SERVE_MAX_ROWS): send them in parts")


def _predict(model: Any, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a `Prediction`, as plain values, for each row; it depends on that row and nothing else."""
    if not rows:
        raise HTTPException(422, "there are no rows")
    spellings: dict[tuple[str, ...], dict[str, str]] = {}
    of_row = []
    for number, row in enumerate(rows, 1):
        keys = tuple(row)
        if keys not in spellings:
            spellings[keys] = _spelling(keys, number)
        of_row.append(spellings[keys])
    cells = {name: [row[spelling[name]] for row, spelling in zip(rows, of_row, strict=True)] for name in FEATURES}
    accepted, rejected = Validation(with_target=False).add(pd.DataFrame(cells))
    predictions: list[dict[str, Any]] = [
        {
            SCORE: None,
            LABEL: None,
            "reasons": [],
            "keys": {key: value for key, value in row.items() if key not in spelling.values()}
            if len(row) > len(FEATURES)
            else {},
        }
        for row, spelling in zip(rows, of_row, strict=True)
    ]
    scored = scoring.score(model, accepted)
    for i, y_score, label in zip(scored.index, scored[SCORE], scored[LABEL], strict=True):
        predictions[i] |= {SCORE: y_score, LABEL: label}
    for i, reasons in zip(rejected.index, rejected["reasons"], strict=True):
        predictions[i]["reasons"] = reasons.split("; ")
    return predictions


def _spelling(keys: tuple[str, ...], number: int) -> dict[str, str]:
    """Return, for each feature, the key it has in a row; `number` counts rows from 1."""
    spelling: dict[str, str] = {}
    for key in keys:
        name = canonical_name(key)
        if name in spelling:
            raise HTTPException(422, f"row {number} has {name} twice")
        if name in FEATURES:
            spelling[name] = key
    if missing := [name for name in FEATURES if name not in spelling]:
        raise HTTPException(
            422, f"row {number} lacks {', '.join(missing)}: all 30 features are needed, null where a value is not known"
        )
    return spelling


# --- The service ------------------------------------------------------------------------------------------------------


def create_app(settings: Settings) -> FastAPI:
    """Return the service as an ASGI application; its champion, `app.state.champion`, is watched while it runs."""
    champion = Champion(settings)
    cores = available_cores(settings.cores)
    # The pool is the budget: in each of its threads, BLAS and OpenMP have one.
    pool = ThreadPoolExecutor(cores, "predict", initializer=threadpool_limits, initargs=(1,))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with pool, champion.watched():
            yield

    app = FastAPI(
        title="networksecurity",
        version=__version__,
        description=(
            "Tells phishing websites from legitimate ones by 30 features: -1 speaks for phishing, 1 for a legitimate "
            "site, 0 is in between (`Redirect` is 0 or 1), null is not known."
        ),
        lifespan=lifespan,
        docs_url=None,  # Swagger's and Redoc's pages load themselves from elsewhere: ours shows the document
        redoc_url=None,
    )
    app.state.champion = champion
    page = resources.files("networksecurity.prediction").joinpath("page.html").read_text(encoding="utf-8")
    app.add_middleware(_Envelope, policy=_content_security_policy(page))
    guards = [Depends(_guard(settings.serve_token.get_secret_value()))] if settings.serve_token else []

    def in_use(problem: str | None = None) -> Served:
        served = champion.current
        if served is None:
            after = str(math.ceil(settings.serve_refresh))
            raise HTTPException(503, f"there is no model yet: {problem or champion.problem}", {"Retry-After": after})
        return served

    def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
        guarded = (401,) if guards else ()
        return {status: {"model": Problem, "description": _REFUSALS[status]} for status in (*guarded, *statuses)}

    @app.post(
        "/predict",
        dependencies=guards,
        response_class=Response,
        responses={200: {"model": Predictions, "description": "an answer to each row"}, **refusals(413, 415, 422, 503)},
    )
    async def predict(request: Request) -> Response:
        """Say how probable it is that a website is a phishing one.

        One row, `{"rows": [row, …]}`, or a CSV. A row with a bad value is answered with reasons, the others with
        predictions. Features may have any of the names that circulate for them.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in _READERS or request.headers.get("content-encoding", "identity") != "identity":
            raise HTTPException(415, f"send {' or '.join(_READERS)}, not compressed")
        served = in_use()
        try:
            body = await _read(request, settings.serve_max_bytes)
        except ClientDisconnect:
            return Response(status_code=400)  # to nobody

        def answer() -> tuple[bytes, int, int]:
            predictions = _predict(served.model, _READERS[kind](body, settings.serve_max_rows))
            n_rejected = sum(1 for prediction in predictions if prediction["reasons"])
            content = {
                "model": served.name.model_dump(),
                "n_rows": len(predictions),
                "n_rejected": n_rejected,
                "predictions": predictions,
            }
            return to_json(content, inf_nan_mode="null"), len(predictions), n_rejected

        content, n_rows, n_rejected = await get_running_loop().run_in_executor(pool, answer)
        request.scope["log"] |= {"rows": n_rows, "rejected": n_rejected, "version": served.version.version}
        return Response(content, media_type="application/json")

    @app.get("/model", dependencies=guards, responses=refusals(503))
    async def model() -> ModelInUse:
        """Return the model that answers, with its card."""
        served = in_use()
        return ModelInUse(
            **served.name.model_dump(),
            threshold=decision_threshold(served.model),
            loaded_at=served.loaded_at,
            figures={name: float(of) for name in _FIGURES if (of := served.version.tags.get(name))},
            card=served.card,
        )

    @app.get("/health")
    async def health() -> dict[Literal["status"], Literal["alive"]]:
        """Say that the process answers, with or without a model."""
        return {"status": "alive"}

    @app.get("/ready", responses=refusals(503) if not guards else {503: refusals(503)[503]})
    async def ready() -> Readiness:
        """Say whether there is a model to predict with."""
        # A problem names the tracking server: not to everyone, where a token keeps others out.
        problem = "see the log" if guards and champion.problem else champion.problem
        return Readiness(model=in_use(problem).name, problem=problem)

    @app.get("/", include_in_schema=False)
    async def index() -> HTMLResponse:
        return HTMLResponse(page)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> RedirectResponse:
        return RedirectResponse("/#api")

    # Into the finished document: on its way there FastAPI would drop the nulls of the examples.
    app.openapi()["paths"]["/predict"]["post"]["requestBody"] = _documented_body(settings.serve_max_rows)
    return app


_FIGURES = ("f1_score", "precision", "recall_score", "false_positive_rate", "roc_auc")
_REFUSALS = {
    401: "the token is missing or wrong",
    413: "the body is too large, or has too many rows",
    415: "the body is neither JSON nor CSV",
    422: "the body is not as described, or a row lacks a feature",
    503: "there is no model yet",
}


def _guard(token: str) -> Callable[..., None]:
    expected = token.encode()

    def check(given: Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))]) -> None:
        if given is None or not secrets.compare_digest(given.credentials.encode(), expected):
            raise HTTPException(401, "the token is missing or wrong", {"WWW-Authenticate": "Bearer"})

    return check


async def _read(request: Request, max_bytes: int) -> bytes:
    """Return the body, and keep no more of it than `max_bytes`, whatever its headers say."""
    declared = request.headers.get("content-length", "")
    most_read = _PATIENCE * max_bytes
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
    """Allow the page its own script and style, by their hashes, and requests to where it comes from; nothing else."""

    def hashes(tag: str) -> str:
        parts = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        return " ".join(f"'sha256-{b64encode(sha256(part.encode()).digest()).decode()}'" for part in parts)

    return (
        f"default-src 'none'; script-src {hashes('script')}; style-src {hashes('style')}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


class _Envelope:
    """What every answer has: headers that bind the browser, and a line in the log."""

    def __init__(self, app: ASGIApp, policy: str) -> None:
        self._app = app
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

        try:
            await self._app(scope, receive, send_with_headers)
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


# --- The process ------------------------------------------------------------------------------------------------------


class JsonLines(logging.Formatter):
    """One line of JSON per record; of an exception its kind and where it was raised, for its text may hold values."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": at, "level": record.levelname}
        line |= getattr(record, "request", None) or {"message": record.getMessage().strip()}
        if record.exc_info and record.exc_info[1] is not None:
            frames = traceback.extract_tb(record.exc_info[2])
            line["error"] = type(record.exc_info[1]).__name__
            line["traceback"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        return json.dumps(line)


def serve(settings: Settings, host: str, port: int) -> None:
    """Serve the champion until SIGTERM, or Ctrl-C, which is raised; requests in flight are finished first.

    Raises
    ------
    ConfigurationError
        The port cannot be had, or a setting of the tracking server is wrong.
    TrackingError
        The tracking server refuses: one that is down, or has no champion yet, is waited for.
    """
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as exc:
        reason = (exc.strerror or str(exc)).partition(" (")[0]
        raise ConfigurationError(f"{host} port {port} cannot be had ({reason}): name another, --host, --port") from None
    with listener:
        # Connections inherit it. asyncio sets it only for sockets that it has made itself, and without it the body of
        # an answer waits 40 ms for the client to acknowledge the headers.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonLines())
        logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
        logging.getLogger("networksecurity").setLevel(logging.INFO)
        logging.getLogger("urllib3").setLevel(logging.ERROR)  # each try to reach a server that is down
        with suppress(TransientError):  # said again by the watch, which waits for it
            tracking_server.connect(settings)
        if settings.serve_token is None and host not in {"127.0.0.1", "::1", "localhost"}:
            _log.warning("whoever reaches %s may ask: set NETWORKSECURITY_SERVE_TOKEN", host)
        config = uvicorn.Config(
            create_app(settings),
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_graceful_shutdown=_LAST_WORDS,
        )
        # uvicorn finishes what is in flight, and then lets a signal do what it would have done without it.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        shown = f"[{host}]" if ":" in host else host
        print(f"Serving on http://{shown}:{listener.getsockname()[1]}, until Ctrl-C", flush=True)
        uvicorn.Server(config).run(sockets=[listener])
