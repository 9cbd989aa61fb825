"""Files of rows on web servers: downloaded whole, then read like any other file.

A server may send a request on to another place. It is not followed from https to http, nor from a public to a private
address, where only this machine may reach: the settings allow it.
"""

import ipaddress
import logging
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, fields
from email.message import Message
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import unquote, urlsplit

from networksecurity.data.files import ENDINGS, File, kind_of
from networksecurity.data.files.limits import Limits, too_much
from networksecurity.data.files.reading import Reading
from networksecurity.data.raw import Batches, Digest, Rows
from networksecurity.deadline import end_within
from networksecurity.exceptions import ConfigurationError, DataSourceError, SourceUnavailableError, one_line, shortened
from networksecurity.settings import Settings, without_credentials
from networksecurity.surroundings import refuse_proxies

if TYPE_CHECKING:
    from httpx import URL, Client, Response

_MOST_REDIRECTS = 20

_CONTENT_TYPES = {
    "text/csv": ".csv",
    "application/vnd.apache.parquet": ".parquet",
    "application/zip": ".zip",
    "application/x-zip-compressed": ".zip",
}


@dataclass(frozen=True, kw_only=True)
class Url(Reading):
    """A file on a web server, shown by its address without credentials and query."""

    address: str = field(repr=False)
    """It may hold user, password and token."""
    timeout: float
    """Seconds to wait for the server to answer."""
    time_limit: float
    """Seconds that the whole download may take."""
    most_bytes: int
    any_redirect: bool
    """Whether to follow redirects that are not safe."""

    @classmethod
    def of(cls, address: str, settings: Settings) -> Self:
        """Return the file at an address, under the limits of an installation."""
        return cls(
            address=address,
            shown=without_credentials(address),
            timeout=settings.http_timeout,
            time_limit=settings.http_time_limit,
            most_bytes=settings.max_download_bytes,
            limits=Limits.of(settings),
            any_redirect=settings.http_redirects == "any",
        )

    def read(self) -> Rows:
        """Download the file and return all rows; the errors are those of `fetch` and `File.read`."""
        with self._downloaded() as file:
            return file.read()

    @contextmanager
    def batches(
        self, batch_rows: int = 20_000, *, exact_others: bool = False, digest: Digest | None = None
    ) -> Iterator[Batches]:
        """Download the file and read its rows in batches, as `File.batches` does."""
        with (
            self._downloaded() as file,
            file.batches(batch_rows, exact_others=exact_others, digest=digest) as batches,
        ):
            yield batches

    @contextmanager
    def _downloaded(self) -> Iterator[File]:
        with tempfile.TemporaryDirectory(prefix="networksecurity-") as folder:
            yield self.fetch(Path(folder))

    def fetch(self, folder: Path) -> File:
        """Download the file into `folder`.

        Raises
        ------
        ConfigurationError
            It is no address of a web server, or a proxy is set that cannot be used.
        DataSourceError
            There is no such page, it may not be read, is too large, takes too long, is behind a redirect that is not
            safe, or nothing tells what kind of file it is.
        SourceUnavailableError
            The server could not be reached or was lost.
        """
        import httpx

        refuse_proxies(os.environ)
        started = time.monotonic()
        path = folder / "download"
        try:
            with _httpx_logs_without_credentials():
                # In its own thread: a server may send a byte now and then for ever, of the head of its answer, too.
                kind = end_within(self.time_limit, lambda: self._download(path, started))
        except TimeoutError as exc:
            raise too_much(f"{self.shown} takes longer than", self.time_limit, "seconds", "http_time_limit") from exc
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError):  # the last of a host that is no name
            # Without the cause: its text may quote a piece of a password that was not percent-escaped.
            raise ConfigurationError(
                f"{self.shown} is not, or leads to something that is not, an http(s) URL: correct it"
            ) from None
        except httpx.RequestError as exc:
            raise SourceUnavailableError(
                f"{self.shown} could not be fetched, given up after {time.monotonic() - started:.1f} s "
                f"({type(exc).__name__}: {one_line(exc)}): check the address and the network; "
                f"NETWORKSECURITY_HTTP_TIMEOUT is {self.timeout:g} s"
            ) from exc
        how = {of.name: getattr(self, of.name) for of in fields(Reading)}
        return File(path=path, kind=kind, **how).fetch(folder)

    def _download(self, path: Path, started: float) -> str:
        """Write the file to `path`, and return which kind it is of."""
        import httpx

        with httpx.Client(timeout=self.timeout) as client, closing(self._answer(client)) as response:
            kind = self._check(response, started)
            self._save(response, path, started)
            return kind

    def _answer(self, client: "Client") -> "Response":
        """Return the answer, whose body was not read yet, after all redirects."""
        request = client.build_request("GET", self.address)
        for _ in range(_MOST_REDIRECTS):
            response = client.send(request, stream=True)
            if response.next_request is None:
                return response
            response.close()
            self._check_redirect(request.url, response.next_request.url)
            request = response.next_request
        raise DataSourceError(f"{self.shown} redirects without end")

    def _check_redirect(self, of: "URL", to: "URL") -> None:
        if to.scheme not in ("http", "https"):
            raise DataSourceError(f"{self.shown} redirects to {shortened(to.scheme, 20)}:: name an address of http(s)")
        if self.any_redirect:
            return
        where = None
        if of.scheme == "https" and to.scheme == "http":
            where = "from https to http"
        elif of.host != to.host and _is_private(to.host) and not _is_private(of.host):
            where = "to a private address"
        if where:
            raise DataSourceError(
                f"{self.shown} redirects {where}, {shortened(without_credentials(str(to)), 100)}: if that is meant, "
                "give that address, or set NETWORKSECURITY_HTTP_REDIRECTS=any"
            )

    def _save(self, response: "Response", path: Path, started: float) -> None:
        too_large = too_much(f"{self.shown} has more than", self.most_bytes, "bytes", "max_download_bytes")
        announced = response.headers.get("content-length", "")
        if announced.isdecimal() and (len(announced) > 18 or int(announced) > self.most_bytes):
            raise too_large
        with path.open("wb") as file:
            for chunk in response.iter_bytes():
                if time.monotonic() - started > self.time_limit:
                    raise TimeoutError
                if file.tell() + len(chunk) > self.most_bytes:
                    raise too_large
                file.write(chunk)

    def _check(self, response: "Response", started: float) -> str:
        """Return which kind of file an answer holds; raise if it holds none."""
        status = f"{response.status_code} {response.reason_phrase}".strip()
        if response.status_code in (408, 425, 429) or response.is_server_error:
            raise SourceUnavailableError(
                f"{self.shown} answered {status} after {time.monotonic() - started:.1f} s: try again later"
            )
        if not response.is_success:
            raise DataSourceError(f"{self.shown} answered {status}: check the URL and that it may be read")
        disposition = Message()
        disposition["content-disposition"] = response.headers.get("content-disposition", "")
        content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        kind = (
            kind_of(unquote(urlsplit(self.address).path))
            or kind_of(unquote(response.url.path))
            or kind_of(disposition.get_filename(""))
            or _CONTENT_TYPES.get(content_type)
        )
        if kind is None:
            raise DataSourceError(
                f"{self.shown}: neither the URL nor the answer ({content_type or 'no content type'}) tells what it is: "
                f"its path must end in {ENDINGS}"
            )
        return kind


def _is_private(host: str) -> bool:
    """Return whether a host is on this machine or in its network, by all of its addresses."""
    try:
        found = {str(address[4][0]).partition("%")[0] for address in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):  # the request says so
        return False
    addresses = map(ipaddress.ip_address, found)
    return any(not (getattr(one, "ipv4_mapped", None) or one).is_global for one in addresses)


@contextmanager
def _httpx_logs_without_credentials() -> Iterator[None]:
    """Keep user, password and query out of the line that httpx logs, at level INFO, for each request.

    A filter of our own, because a level that is changed and restored would let two downloads at once disturb each
    other.
    """
    from httpx import URL

    def shorten(record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(without_credentials(str(arg)) if isinstance(arg, URL) else arg for arg in record.args)
        return True

    logger = logging.getLogger("httpx")
    logger.addFilter(shorten)
    try:
        yield
    finally:
        logger.removeFilter(shorten)
