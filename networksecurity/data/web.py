"""Files of rows on web servers: downloaded whole, then read like any other file."""

import logging
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from networksecurity.data.files import ENDINGS, File, kind_of
from networksecurity.data.raw import Batches, Digest, Rows
from networksecurity.exceptions import ConfigurationError, DataSourceError, SourceUnavailableError, one_line
from networksecurity.settings import without_credentials

if TYPE_CHECKING:
    from httpx import Response

_CONTENT_TYPES = {
    "text/csv": ".csv",
    "application/vnd.apache.parquet": ".parquet",
    "application/zip": ".zip",
    "application/x-zip-compressed": ".zip",
}


@dataclass(frozen=True)
class Url:
    """A file on a web server."""

    address: str = field(repr=False)
    """It may hold user, password and token."""
    timeout: float
    """Seconds to wait for the server to answer."""
    columns: tuple[str, ...] | None = None
    """As of `File`."""

    @property
    def shown(self) -> str:
        """The address without credentials and query."""
        return without_credentials(self.address)

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
            It is no address of a web server.
        DataSourceError
            There is no such page, it may not be read, or nothing tells what kind of file it is.
        SourceUnavailableError
            The server could not be reached or was lost.
        """
        import httpx

        started = time.monotonic()
        path = folder / "download"
        try:
            with (
                _httpx_logs_without_credentials(),
                httpx.stream("GET", self.address, follow_redirects=True, timeout=self.timeout) as response,
            ):
                kind = self._check(response, started)
                with path.open("wb") as file:
                    for chunk in response.iter_bytes():
                        file.write(chunk)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            # Without the cause: its text may quote a piece of a password that was not percent-escaped.
            raise ConfigurationError(
                f"{self.shown} is not, or leads to something that is not, an http(s) URL"
            ) from None
        except httpx.TooManyRedirects as exc:
            raise DataSourceError(f"{self.shown} redirects without end") from exc
        except httpx.RequestError as exc:
            raise SourceUnavailableError(
                f"{self.shown} could not be fetched, given up after {time.monotonic() - started:.1f} s "
                f"({type(exc).__name__}: {one_line(exc)}): check the address and the network; "
                f"NETWORKSECURITY_HTTP_TIMEOUT is {self.timeout:g} s"
            ) from exc
        return File(path, kind, self.shown, columns=self.columns).fetch(folder)

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
