"""What a terminal can show: one exchange of questions with a limit in time, rules by environment, no stray reply."""

from __future__ import annotations

import contextlib
import os
import re
import select
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gpukit.viewer.layout import CELL

__all__ = ["Terminal", "asked", "by_environment", "choose_mode", "is_plausible_cell"]

#: Seconds that a terminal has to answer before the picture is made without.
ANSWER = 0.5
#: Seconds after the questions until late replies are waited for at the end.
LATE = 1.2
_QUERY_KITTY = "\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\"
_QUERY_REST = "\x1b[>q\x1b[16t\x1b[14t\x1b[c"
_REPLY = re.compile(
    r"\x1b_G(?P<kitty>[^\x1b]*)\x1b\\|\x1bP>\|(?P<version>[^\x1b]*)\x1b\\|\x1b\[6;(?P<cell>\d+;\d+)t"
    r"|\x1b\[4;(?P<window>\d+;\d+)t|\x1b\[\?(?P<attributes>[\d;]*)c"
)


@dataclass(frozen=True, kw_only=True)
class Terminal:
    """What is known of a terminal.

    Parameters
    ----------
    is_tty : bool
        Whether there is one at all.
    columns, lines : int
        Its cells.
    cell : (width, height)
        Pixels of a cell.
    name, version : str, tuple of int
        As it says itself (XTVERSION), in lower case.
    kitty, sixel, iterm2 : bool
        Which graphics it shows.
    tmux : bool
        Whether tmux or screen stands between.
    passthrough : bool
        Whether tmux hands graphics on.
    colors : str
        ``24bit``, ``256``, ``16``; ``none`` where the user wants none.
    utf8 : bool
        Whether it shows more than ASCII.
    local : bool
        On this machine, as far as known: shared memory can be used.
    keys : str
        What the user typed while the terminal was asked.
    line_modes : list or None
        Modes of the line before it was asked, as termios has them.
    """

    is_tty: bool = False
    columns: int = 80
    lines: int = 24
    cell: tuple[int, int] = CELL
    name: str = ""
    version: tuple[int, ...] = ()
    kitty: bool = False
    sixel: bool = False
    iterm2: bool = False
    tmux: bool = False
    passthrough: bool = False
    colors: str = "24bit"
    utf8: bool = True
    local: bool = False
    keys: str = ""
    line_modes: Any = None

    @property
    def has_placeholders(self) -> bool:
        """Whether pictures may be text that stands for them: kitty from 0.28, ghostty."""
        return (self.name == "kitty" and self.version >= (0, 28)) or self.name == "ghostty"


def is_plausible_cell(width: int, height: int) -> bool:
    """Whether a size of a cell can be true: some terminals say 0, 2 x 6, or the window's size."""
    return 4 <= width <= 64 and 8 <= height <= 128 and 1.0 <= height / width <= 3.5


def by_environment(environment: Mapping[str, str], *, is_tty: bool, encoding: str) -> Terminal:
    """What the environment says, without a question."""
    kind, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    deep = environment.get("COLORTERM", "").lower() in ("truecolor", "24bit")
    modern = program in ("iTerm.app", "WezTerm", "vscode", "ghostty") or "kitty" in kind or "direct" in kind
    colors = "24bit" if deep or modern else "256" if "256" in kind or kind in ("xterm", "tmux", "screen") else "16"
    if environment.get("NO_COLOR") or kind in ("dumb", ""):
        colors = "none"
    iterm = program in ("iTerm.app", "WezTerm") or environment.get("LC_TERMINAL") == "iTerm2"
    tmux = "TMUX" in environment or kind.startswith(("tmux", "screen"))
    return Terminal(
        is_tty=is_tty, colors=colors if is_tty else "24bit", iterm2=iterm and not tmux, tmux=tmux,
        name={"vscode": "vscode", "WezTerm": "wezterm", "iTerm.app": "iterm2", "ghostty": "ghostty"}.get(program, ""),
        utf8=encoding.lower().replace("-", "") == "utf8", local="SSH_CONNECTION" not in environment,
    )  # fmt: skip


@contextlib.contextmanager
def asked(*, ask: bool = True, fd_in: int = 0, fd_out: int = 1) -> Iterator[Terminal]:
    """The terminal of standard output, asked once; while the block runs, late replies cannot be echoed.

    Parameters
    ----------
    ask : bool
        Whether questions are needed; else only the environment and the size are looked at.
    """
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    if _forced_ascii():
        encoding = "ascii"
    is_tty = os.isatty(fd_out)
    terminal = by_environment(os.environ, is_tty=is_tty, encoding=encoding)
    if not is_tty:
        yield terminal
        return
    terminal = _sized(terminal, fd_out)
    if not ask or not os.isatty(fd_in) or terminal.colors == "none":
        yield terminal
        return
    try:
        import termios
        import tty
    except ImportError:  # Windows: nothing is asked, cells are shown
        yield terminal
        return
    before = termios.tcgetattr(fd_in)
    complete = False
    began = time.monotonic()
    try:
        tty.setcbreak(fd_in, termios.TCSANOW)
        terminal, complete = _exchange(replace(terminal, line_modes=before), fd_in, fd_out)
        yield terminal
    finally:
        if not complete:
            _drain(fd_in, began + LATE)
        # what was typed is for the shell; of a terminal that is still silent nothing is taken over
        termios.tcsetattr(fd_in, termios.TCSADRAIN if complete else termios.TCSAFLUSH, before)


def _forced_ascii() -> bool:
    """Whether the locale cannot show more than ASCII, whatever Python's UTF-8 mode says of standard output."""
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        if value := os.environ.get(name):
            return "utf" not in value.lower()
    return False


def _sized(terminal: Terminal, fd: int) -> Terminal:
    columns, lines = os.get_terminal_size(fd)
    terminal = replace(terminal, columns=columns or 80, lines=lines or 24)
    try:
        import fcntl
        import struct
        import termios

        _, _, width, height = struct.unpack("HHHH", fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))
    except (ImportError, OSError):
        return terminal
    cell = width // terminal.columns, height // terminal.lines
    return replace(terminal, cell=cell) if is_plausible_cell(*cell) else terminal


def _exchange(terminal: Terminal, fd_in: int, fd_out: int) -> tuple[Terminal, bool]:
    """Ask everything at once; the last question is one that all answer. Also says whether its answer came."""
    # Terminal.app and screen print the question of kitty's protocol
    plain = os.environ.get("TERM_PROGRAM") == "Apple_Terminal" or terminal.tmux
    os.write(fd_out, (_QUERY_REST if plain else _QUERY_KITTY + _QUERY_REST).encode())
    data, deadline = "", time.monotonic() + ANSWER
    while (remaining := deadline - time.monotonic()) > 0:
        if not select.select([fd_in], [], [], remaining)[0]:
            break
        data += os.read(fd_in, 4096).decode("latin-1")
        if re.search(r"\x1b\[\?[\d;]*c", data):
            break
    terminal = understood(terminal, data)
    complete = re.search(r"\x1b\[\?[\d;]*c", data) is not None
    return (_with_tmux(terminal) if terminal.tmux else terminal), complete


def understood(terminal: Terminal, data: str) -> Terminal:
    """The terminal with what its replies say; what is not a reply was typed by the user."""
    facts: dict[str, Any] = {}
    for match in _REPLY.finditer(data):
        if match["kitty"] is not None and match["kitty"].endswith(";OK"):
            facts["kitty"] = True
        elif match["version"] is not None:
            name = re.match(r"([A-Za-z]+[0-9]?)[ (/]*v?([\d.]*)", match["version"])
            if name:
                facts["name"] = name[1].lower()
                facts["version"] = tuple(int(part) for part in name[2].split(".") if part)
        elif match["attributes"] is not None:
            facts["sixel"] = "4" in match["attributes"].split(";")
        elif match["cell"] is not None or match["window"] is not None:
            height, width = (int(n) for n in (match["cell"] or match["window"]).split(";"))
            if match["window"] is not None:
                height, width = height // terminal.lines, width // terminal.columns
            if is_plausible_cell(width, height) and (match["cell"] is not None or "cell" not in facts):
                facts["cell"] = (width, height)
    if facts.get("name") == "iterm2":
        facts["iterm2"] = True
    return replace(terminal, keys=_REPLY.sub("", data), **facts)


def _with_tmux(terminal: Terminal) -> Terminal:
    """What lies behind tmux, by its own answers."""
    import subprocess

    def say(*words: str) -> str:
        try:
            process = subprocess.run(["tmux", *words], capture_output=True, text=True, timeout=1, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return process.stdout.strip()

    passthrough = say("show", "-gv", "allow-passthrough") in ("on", "all")
    outer = say("display-message", "-p", "#{client_termname}").lower()
    placed = "kitty" in outer or "ghostty" in outer
    return replace(terminal, passthrough=passthrough, kitty=placed and passthrough, name="tmux")


def _drain(fd: int, deadline: float) -> None:
    """Read what comes late until the last reply is there or the time is over; nothing of it reaches the shell."""
    data = b""
    while (remaining := deadline - time.monotonic()) > 0:
        try:
            if not select.select([fd], [], [], remaining)[0]:
                break
            piece = os.read(fd, 4096)
        except (OSError, InterruptedError):
            return
        if not piece:
            return
        data = (data + piece)[-4096:]
        if re.search(rb"\x1b\[\?[\d;]*c", data):
            return


def choose_mode(terminal: Terminal) -> tuple[str, str]:
    """The mode of ``auto``, and a line of advice where a better one is near (else empty)."""
    if not terminal.is_tty or terminal.colors == "none" or not terminal.utf8:
        return "ascii", ""
    if terminal.tmux:
        if terminal.kitty and terminal.passthrough:
            return "kitty", ""
        advice = "tmux hides graphics: `tmux set -g allow-passthrough on` in kitty 0.28 or ghostty shows them"
        return "ansi", advice
    if terminal.kitty and terminal.name in ("kitty", "ghostty", ""):
        return "kitty", ""
    if terminal.iterm2:
        return "iterm2", ""
    if terminal.sixel:
        return "sixel", ""
    return ("kitty", "") if terminal.kitty else ("ansi", "")
