"""What surrounds a command: proxies, warnings, a terminal without some characters, a reader that stops reading."""

import errno
import os
import re
import sys
import tomllib
import traceback
import warnings
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from importlib.util import find_spec
from io import TextIOWrapper
from pathlib import Path
from tempfile import TemporaryFile

from rich.console import Console

from networksecurity.exceptions import ConfigurationError, one_line, shortened

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_NETWORK_OF_IPV6 = re.compile(r".*:.*/\d+")
"""What no client uses, and httpx cannot read: it would raise an error for every request."""


def bypass_proxies(environment: MutableMapping[str, str]) -> None:
    """Keep what goes to this machine itself away from the proxies of an environment, and let every client read it.

    Examples
    --------
    >>> environment = {"HTTP_PROXY": "http://proxy:3128", "no_proxy": "intranet"}
    >>> bypass_proxies(environment)
    >>> environment["NO_PROXY"]
    'intranet,127.0.0.1,localhost,::1'
    """
    kept = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    names = [name for name in re.split(r"[\s,]+", kept) if name and not _NETWORK_OF_IPV6.fullmatch(name)]
    names = [name.strip("[]") if name.count(":") > 1 else name for name in names]
    is_proxied = any(name.lower() in ("http_proxy", "https_proxy", "all_proxy") for name in environment)
    if is_proxied and "*" not in names:
        names += [name for name in _LOOPBACK if name not in names]
    if kept or is_proxied:
        environment["NO_PROXY"] = environment["no_proxy"] = ",".join(names)


def refuse_proxies(environment: Mapping[str, str]) -> None:
    """Raise ConfigurationError for a proxy that no client can use: httpx would refuse it even for this machine.

    Examples
    --------
    >>> refuse_proxies({"ALL_PROXY": "gopher://proxy:70"})
    Traceback (most recent call last):
        ...
    networksecurity.exceptions.ConfigurationError: ALL_PROXY: there are no proxies of the kind gopher://, ...
    """
    for name, address in environment.items():
        scheme, separator, _ = address.lower().partition("://")
        if name.lower() not in ("http_proxy", "https_proxy", "all_proxy") or not separator:
            continue
        remedy = f"name another, or unset {name} for this command"
        if scheme in ("socks5", "socks5h"):
            if find_spec("socksio") is None:
                raise ConfigurationError(
                    f"{name} is a SOCKS proxy, which takes a package: pip install 'httpx[socks]', {remedy}"
                )
        elif scheme not in ("http", "https"):
            raise ConfigurationError(
                f"{name}: there are no proxies of the kind {shortened(scheme, 20)}://, but http://, https:// and "
                f"socks5://: {remedy}"
            )


def complete_streams() -> None:
    """Open what stands for a standard stream that is closed, and let no character end a command.

    Without it, the next file that is opened would take the place of a closed stream. `?` stands for a character that a
    stream cannot show, and a mark for bytes that are no text.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115 (it stays open)
        if isinstance(stream := getattr(sys, name), TextIOWrapper):
            stream.reconfigure(errors="replace")


def refuse_lost_folder() -> None:
    """Raise ConfigurationError if the current folder was removed: nothing could be looked up in it."""
    try:
        os.getcwd()  # noqa: PTH109 (pathlib asks the same)
    except FileNotFoundError as exc:
        raise ConfigurationError("the current folder was removed: change to another one (cd)") from exc


def refuse_folders(environment: Mapping[str, str], *names: str) -> None:
    """Raise ConfigurationError for a variable that names a folder that cannot be written, or cannot be made.

    Examples
    --------
    >>> refuse_folders({"PREFECT_HOME": "/dev/null/home"}, "PREFECT_HOME")
    Traceback (most recent call last):
        ...
    networksecurity.exceptions.ConfigurationError: PREFECT_HOME: /dev/null/home cannot be written: Not a directory
    """
    for name in names:
        if folder := environment.get(name):
            path = Path(folder).expanduser().absolute()
            try:
                TemporaryFile(dir=next(of for of in (path, *path.parents) if of.exists())).close()
            except OSError as exc:
                raise ConfigurationError(f"{name}: {path} cannot be written: {exc.strerror}") from exc


def refuse_profiles(environment: Mapping[str, str]) -> None:
    """Raise ConfigurationError if Prefect's profiles, which it reads when it is imported, cannot be read."""
    home = environment.get("PREFECT_HOME") or "~/.prefect"
    path = Path(environment.get("PREFECT_PROFILES_PATH") or f"{home}/profiles.toml").expanduser()
    try:
        tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    except (OSError, ValueError) as exc:  # of TOML and of UTF-8, too
        reason = getattr(exc, "strerror", None) or one_line(exc)
        raise ConfigurationError(f"Prefect's profiles in {path} cannot be read ({reason}): correct the file") from exc


def let_warnings_pass() -> None:
    """Let a warning of a library be a line at most, also where PYTHONWARNINGS or -W makes each an error."""
    if any(option.startswith("e") for option in sys.warnoptions):
        os.environ.pop("PYTHONWARNINGS", None)  # for processes of ours
        sys.warnoptions.clear()
        warnings.resetwarnings()
        for kind in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", kind)  # as by default


class ReportConsole(Console):
    """A console that leaves it to `while_somebody_reads` what a reader means that stops reading; rich's own exits."""

    def on_broken_pipe(self) -> None:
        """Raise the error again."""
        raise BrokenPipeError


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


@contextmanager
def while_somebody_reads() -> Iterator[None]:
    """End the output without an error when its reader has seen enough, as `head` does.

    Raises
    ------
    ConfigurationError
        The output goes to a disk that is full, or fails.
    """
    try:
        yield
        sys.stdout.flush()
    except OSError as exc:
        is_read = isinstance(exc, BrokenPipeError)
        if not is_read and (exc.filename is not None or exc.errno not in _NO_ROOM):
            raise
        # Python flushes once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not is_read:
            raise ConfigurationError(f"the output cannot be written: {exc.strerror}") from exc


def report_error(reason: object) -> None:
    """Print why a command failed, on one line, whatever it quotes."""
    print("error:", re.sub(r"[\r\n]+", " ", str(reason)), file=sys.stderr)


def report_bug(exc: Exception) -> None:
    """Print a traceback, and as its last line what to do with it."""
    traceback.print_exception(exc)
    print(
        "this is a bug of networksecurity: please report it where you have it from, with the lines above, the command, "
        "and what `networksecurity doctor` prints, which hides passwords",
        file=sys.stderr,
    )
