"""Numbers with the digits of the file: never rounded; only the decimal sign follows the language."""

from __future__ import annotations

import re

__all__ = ["DECIMAL_SIGNS", "shown_number"]

#: Languages that write a comma.
DECIMAL_SIGNS = {"es": ",", "fr": ",", "de": ","}
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_ZERO = re.compile(r"-(0*\.?0*)(?:[eE][+-]?\d+)?")


def shown_number(text: str, language: str = "en") -> str:
    """Digits of a decimal string in a language.

    Parameters
    ----------
    text : str
        As in the file, without padding.
    language : str
        ``en``, ``es``, ``fr``, ``de``.

    Returns
    -------
    str
        The same digits and exponent; a negative zero without its sign. What is not a number stays as it is.
    """
    if not _NUMBER.fullmatch(text):
        return text
    if _ZERO.fullmatch(text):
        text = text[1:]
    sign = DECIMAL_SIGNS.get(language, ".")
    return text.replace(".", sign) if sign != "." else text
