"""The root command: a table of tools, help that imports none of them, and what happens to every error.

``gpukit --version`` and ``gpukit --help`` are answered from the table alone. A tool's module is imported when the tool
is called; ``dicom-TOOL`` reads its own name and goes the same way.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from dataclasses import dataclass
from pathlib import PurePath
from types import FrameType
from typing import TextIO

from gpukit.errors import OutputError
from gpukit.version import __version__
from gpukit_cli.streams import close_stdout, prepare_streams, write_stderr, write_stdout

__all__ = ["TOOLS", "Tool", "main"]

PROGRAM = "gpukit"
DEBUG_OPTION = "--debug"
EXTERNAL_OPTION = "--external-data"

#: Exit codes.
FINE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


@dataclass(frozen=True)
class Tool:
    """One entry of the root command.

    Parameters
    ----------
    name : str
        What a user writes.
    module : str
        Module with the typer application `app`, imported when the tool is called.
    line : str
        What it does, for the help.
    standalone : bool
        Whether ``dicom-NAME`` is a command of its own.
    """

    name: str
    module: str
    line: str
    standalone: bool = False


TOOLS = (
    Tool(
        "3d",
        "gpukit_cli.commands.three_d",
        "Planes, projections, pictures and exports of volumes.",
        standalone=True,
    ),
    Tool(
        "ai",
        "gpukit_cli.commands.ai",
        "Run networks on images: segment, classify, detect, enhance.",
        standalone=True,
    ),
    Tool("measure", "gpukit_cli.commands.measure", "Clinical measurements, each with its unit.", standalone=True),
    Tool(
        "report",
        "gpukit_cli.commands.report",
        "Structured reports as pdf, html, markdown, json, text.",
        standalone=True,
    ),
    Tool("viewer", "gpukit_cli.commands.viewer", "Look at images in the terminal, over ssh too.", standalone=True),
    Tool("series", "gpukit_cli.commands.series", "List the series in files, directories, globs, a DICOMDIR or a zip."),
    Tool("devices", "gpukit_cli.commands.devices", "Show which devices can be used, and why others can't."),
    Tool("demo", "gpukit_cli.commands.demo", "Segment a real head and write a DICOM segmentation."),
)


def main(arguments: list[str] | None = None, *, program: str | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : list of str or None
        Without the program's name; None takes the process's.
    program : str or None
        The name under which it was called; None takes the process's. ``dicom-TOOL`` selects the tool.

    Returns
    -------
    int
        0 fine, 1 some input failed, 2 usage, 129 hung up (SIGHUP), 130 interrupted, 143 terminated.
    """
    prepare_streams()
    words = list(sys.argv[1:] if arguments is None else arguments)
    words, debug = _take(words, DEBUG_OPTION)
    words, external = _take(words, EXTERNAL_OPTION)
    if external:  # also for the processes that this one starts
        os.environ["GPUKIT_EXTERNAL_DATA"] = "1"
    own_name = PurePath(sys.argv[0] if program is None else program).name.removesuffix(".exe")
    tool = next((t for t in TOOLS if t.standalone and own_name == f"dicom-{t.name}"), None)
    if tool is not None:
        return run_tool(tool, words, shown_as=own_name, debug=debug)
    first = words[0] if words else "--help"
    if first in ("--help", "-h"):
        return _print_quietly(root_help())
    if first in ("--version", "-V"):
        return _print_quietly(f"{PROGRAM} {__version__}\n")
    tool = next((t for t in TOOLS if t.name == first), None)
    if tool is None:
        return _unknown(first)
    return run_tool(tool, words[1:], shown_as=f"{PROGRAM} {tool.name}", debug=debug)


def root_help() -> str:
    """Help of the root command, from the table."""
    width = max(len(tool.name) for tool in TOOLS) + 2
    tools = "".join(f"  {tool.name:<{width}}{tool.line}\n" for tool in TOOLS)
    return (
        f"Usage: {PROGRAM} COMMAND [ARGS]...\n\n"
        "  Medical imaging on whatever device the machine has.\n\n"
        "Options:\n"
        "  --version  Show the version and exit.\n"
        "  --help     Show this message and exit.\n"
        "  --debug    Show the traceback of an error; may stand anywhere on the line.\n"
        "  --external-data  Let headers of NRRD and MetaImage files name data files outside their folder; likewise.\n\n"
        f"Commands:\n{tools}\n"
        f"`{PROGRAM} COMMAND --help` says more. GPUKIT_DEVICE names the device where --device does not.\n"
    )


def run_tool(tool: Tool, words: list[str], *, shown_as: str, debug: bool) -> int:
    """Import a tool, run it, and turn whatever it raises into a few lines and an exit code."""
    from gpukit_cli.failures import report

    previous = {number: signal.signal(number, _terminated) for number in _ending()} if _in_main_thread() else {}
    warnings.showwarning = _warning_in_one_line
    try:
        from importlib import import_module

        from typer.main import get_command

        command = get_command(import_module(tool.module).app)
        _mention_debug(command)
        result = command.main(args=words, prog_name=shown_as, standalone_mode=False)
        write_stdout("", always=False)
        return result if isinstance(result, int) else FINE
    except BaseException as error:
        return report(error, debug=debug)
    finally:
        for number, action in previous.items():
            signal.signal(number, action)


def _take(words: list[str], option: str) -> tuple[list[str], bool]:
    """The words without an option that may stand anywhere, and whether it was there; what follows ``--`` stays."""
    end = words.index("--") if "--" in words else len(words)
    head = [word for word in words[:end] if word != option]
    return head + words[end:], len(head) < end


def _mention_debug(command: object) -> None:
    """Say in the help of every command that it takes ``--debug``."""
    epilog = getattr(command, "epilog", None)
    line = "Every command also takes --debug, which shows the traceback of an error."
    command.epilog = f"{epilog} {line}" if epilog else line  # type: ignore[attr-defined]
    for child in getattr(command, "commands", {}).values():
        _mention_debug(child)


def _unknown(word: str) -> int:
    from difflib import get_close_matches

    kind = "option" if word.startswith("-") else "command"
    near = get_close_matches(word, [tool.name for tool in TOOLS])
    hint = f" Did you mean {near[0]!r}?" if near else f" `{PROGRAM} --help` lists them."
    write_stderr(f"Error: no such {kind} {word!r}.{hint}\n")
    return USAGE


def _print_quietly(text: str) -> int:
    """Print to standard output; a reader that went away (``| head``) is no error."""
    try:
        write_stdout(text)
    except BrokenPipeError:
        close_stdout()
        return FAILED
    except OutputError as error:
        write_stderr(f"Error: {error}\n")
        return FAILED
    return FINE


def _in_main_thread() -> bool:
    import threading

    return threading.current_thread() is threading.main_thread()


def _warning_in_one_line(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning as users need it: what it says, not which line of whose code said it.

    Those of pydicom and highdicom quote the values they find odd, such as names and dates of birth, and are left out.
    """
    quoting = {"pydicom", "highdicom"} & set(PurePath(filename).parts)
    if not quoting and not issubclass(category, (DeprecationWarning, FutureWarning)):
        write_stderr(f"Warning: {' '.join(str(message).split())}\n")


def _ending() -> list[signal.Signals]:
    """Signals that ask a program to end: SIGTERM, and SIGHUP unless nohup or the like has it ignored."""
    hangup = getattr(signal, "SIGHUP", None)  # not on Windows
    return [signal.SIGTERM, *([hangup] if hangup and signal.getsignal(hangup) == signal.SIG_DFL else [])]


def _terminated(number: int, frame: FrameType | None) -> None:
    """SIGTERM and SIGHUP unwind the stack, so that temporary files are removed as on Ctrl-C."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
