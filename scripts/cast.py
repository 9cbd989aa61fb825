"""Makes docs/images/train.svg: a training on a terminal, as it went, from what it really printed.

Usage: python scripts/cast.py [--file docs/images/train.svg] [-- OPTION ...]
The options are those of `networksecurity train`; without any it is `make train`.
"""

import argparse
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
import time
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

PROJECT = Path(__file__).resolve().parents[1]
WIDTH, HEIGHT = 80, 34
N_WRAPPED = 5
"""Lines more than the terminal has, for addresses that are longer than one."""
N_FRAMES, SECONDS, LAST = 16, 12.0, 6.0
"""How many pictures, over how many seconds, and how long the last one stays."""
CONTROL = re.compile(r"\x1b\[[\d;?]*[A-Za-z]|\r|\n")
STYLE = """<style>{styles} .{unique_id}-matrix {{ font: {char_height}px monospace; line-height: {line_height}px;
white-space: pre }}</style><defs>{lines}</defs>{backgrounds}<g class="{unique_id}-matrix">{matrix}</g>"""


class Screen:
    """The lines of a terminal, as far as rich moves on it: up a line, to its begin, and erasing it."""

    def __init__(self) -> None:
        self._lines, self._row = [""], 0

    def feed(self, text: str) -> None:
        for part in re.split(f"({CONTROL.pattern})", text):
            if part == "\n":
                self._row += 1
                self._lines.extend([""] * (self._row + 1 - len(self._lines)))
            elif part.endswith("A") and part.startswith("\x1b["):
                self._row = max(self._row - int(part[2:-1] or 1), 0)
            elif part.endswith("K") and part.startswith("\x1b["):
                self._lines[self._row] = ""
            elif part != "\r" and (not part.startswith("\x1b[") or part.endswith("m")):
                self._lines[self._row] += part

    def shown(self) -> str:
        return "\n".join(self._lines).rstrip()


def recorded(options: list[str], folder: Path) -> list[tuple[float, str]]:
    """Run a training on a terminal of its own; return what was on it, and after how many seconds."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    environment = {
        **os.environ,
        "PYTHONPATH": str(PROJECT),
        "TERM": "xterm-256color",
        "PREFECT_HOME": str(folder / "prefect"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "NETWORKSECURITY_STORAGE": str(folder / "storage"),
    }
    command = [sys.executable, str(PROJECT / "flows" / "train.py"), *options]
    screen, seen, begun = Screen(), [], time.monotonic()
    with subprocess.Popen(command, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs):
        os.close(theirs)
        while True:
            try:
                read = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            screen.feed(read.decode("utf-8", "replace"))
            seen.append((time.monotonic() - begun, screen.shown()))
    os.close(ours)
    return seen


def as_frames(seen: list[tuple[float, str]]) -> list[str]:
    """Return what was on the terminal at equal distances of time, without what shows nothing new."""
    end, frames = seen[-1][0], []
    for moment in (end * (step + 1) / N_FRAMES for step in range(N_FRAMES)):
        shown = next((text for at, text in reversed(seen) if at <= moment), "")
        if not frames or shown != frames[-1]:
            frames.append(shown)
    return frames


def svg(frames: list[str], command: str) -> str:
    """Return a picture that shows one frame after the other, for ever; nothing in it is loaded."""
    parts, rules, whole = [], [], SECONDS + LAST
    for number, frame in enumerate(frames):
        console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True, legacy_windows=False)
        shown = "\n".join(f"\x1b[0m$ {command}\n{frame}".splitlines()[-HEIGHT:])
        console.print(Text.from_ansi(shown), highlight=False)
        inside = console.export_svg(code_format=STYLE, unique_id=f"f{number}")
        begin = number * SECONDS / len(frames) / whole * 100
        until = (number + 1) * SECONDS / len(frames) / whole * 100 if number + 1 < len(frames) else 100
        rules.append(
            f"@keyframes k{number} {{ 0% {{ opacity: 0 }} {begin:.2f}%, {until:.2f}% {{ opacity: 1 }} "
            f"{min(until + 0.01, 100):.2f}%, 100% {{ opacity: {int(until == 100)} }} }}"
            f" #p{number} {{ animation: k{number} {whole:g}s step-end infinite }}"
        )
        parts.append(f'<g id="p{number}" transform="translate(12 10)">{inside}</g>')
    width, height = WIDTH * 12.2 + 24, (HEIGHT + N_WRAPPED) * 24.4 + 24
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img">'
        f"<style>{' '.join(rules)}</style>"
        f'<rect width="100%" height="100%" rx="8" fill="#292929"/>{"".join(parts)}</svg>\n'
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path, default=PROJECT / "docs" / "images" / "train.svg")
    parser.add_argument("options", nargs="*")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="networksecurity-") as name:
        seen = recorded(given.options, Path(name))
        frames = [frame.replace(name, ".").replace(str(PROJECT), ".") for frame in as_frames(seen)]
    command = " ".join(["networksecurity train", *given.options])
    given.file.write_text(svg(frames, command), encoding="utf-8")
    print(f"{given.file}: {len(frames)} frames of {seen[-1][0]:.0f} s, {given.file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
