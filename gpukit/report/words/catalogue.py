"""Translations: headings from gettext catalogues, codes by their value, never by their meaning."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from gpukit.dicom.modules.codes import Code
from gpukit.errors import FormatError, SelectionError

__all__ = ["LANGUAGES", "Catalogue", "catalogue", "choose_language"]

_FOLDER = Path(__file__).parent / "locales"
#: Languages that a document can be written in; each is a folder of ``locales`` but for English, the source.
LANGUAGES = ("en", *sorted(path.name for path in _FOLDER.iterdir() if path.is_dir() and path.name != "en"))


class Catalogue:
    """Words of one language.

    Parameters
    ----------
    language : str
        One of `LANGUAGES`.
    """

    def __init__(self, language: str) -> None:
        self.language = language
        self._messages: Mapping[str, str] = {}
        self._codes: Mapping[str, Mapping[str, str]] = {}
        if language != "en":
            self._messages = read_po(_FOLDER / language / "report.po")
            self._codes = json.loads((_FOLDER / language / "codes.json").read_text(encoding="utf-8"))

    def message(self, text: str, **arguments: object) -> str:
        """A heading or sentence of ours, with its arguments put in."""
        words = self._messages.get(text) or text
        return words.format(**arguments) if arguments else words

    def code(self, code: Code, language: str = "") -> tuple[str, str]:
        """Words of a code, and the language they are in (empty where it is this one, or not known).

        Parameters
        ----------
        code : Code
        language : str
            That the report's own meanings are in.
        """
        own = language.partition("-")[0].lower()
        if own == self.language or (not own and self.language == "en"):
            return code.meaning or code.value, ""
        translated = self._codes.get(code.scheme, {}).get(code.value)
        if translated:
            return translated, ""
        return code.meaning or code.value, own or "en"


@lru_cache(8)
def catalogue(language: str) -> Catalogue:
    """The catalogue of a language, read once.

    Raises
    ------
    SelectionError
        There is none.
    """
    if language not in LANGUAGES:
        raise SelectionError(
            f"there are no words for language {language[:20]!r}: choose one of {', '.join(LANGUAGES)}", attribute="lang"
        )
    return Catalogue(language)


def choose_language(language: str | None, report: str) -> str:
    """Language of a document: the one asked for, else the report's own, else the user's, else English."""
    if language:
        short = re.split(r"[-_.]", language)[0].lower()
        catalogue(short)
        return short
    for word in (report, os.environ.get("LC_ALL"), os.environ.get("LC_MESSAGES"), os.environ.get("LANG")):
        short = re.split(r"[-_.]", word or "")[0].lower()
        if short in LANGUAGES:
            return short
        if word and word == report:
            continue
    return "en"


_LINE = re.compile(r'\s*(msgid|msgstr)?\s*"((?:[^"\\]|\\.)*)"\s*$')


def read_po(path: Path) -> dict[str, str]:
    """Messages of a gettext catalogue (PO, singular messages, UTF-8).

    Raises
    ------
    FormatError
        A line is not one of a catalogue; names file and line.
    """
    messages: dict[str, str] = {}
    parts = {"msgid": "", "msgstr": ""}
    here = ""
    for number, line in enumerate([*path.read_text(encoding="utf-8").splitlines(), 'msgid ""'], 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.match(line)
        if match is None or not (match[1] or here):
            raise FormatError(f"line {number} is not one of a gettext catalogue", file=path)
        if match[1] == "msgid":
            if parts["msgid"] and parts["msgstr"]:
                messages[parts["msgid"]] = parts["msgstr"]
            parts = {"msgid": "", "msgstr": ""}
        here = match[1] or here
        parts[here] += re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t"}.get(m[1], m[1]), match[2])
    return messages
