"""Person names (PN): all groups, alphabetic, ideographic and phonetic, with all their components."""

from __future__ import annotations

__all__ = ["shown_name"]


def shown_name(text: str) -> str:
    """A name for people.

    Parameters
    ----------
    text : str
        As in the file: ``Yamada^Tarou=山田^太郎=やまだ^たろう``. Several names are separated by backslashes.

    Returns
    -------
    str
        ``Yamada, Tarou (山田 太郎; やまだ たろう)``; several names are separated by semicolons.
    """
    return "; ".join(shown for name in text.split("\\") if (shown := _one(name)))


def _one(text: str) -> str:
    groups = text.split("=")
    first, *others = (_group(group, ideographic=n > 0) for n, group in enumerate(groups))
    others = [group for group in others if group]
    if not first:
        return "; ".join(others)
    return f"{first} ({'; '.join(others)})" if others else first


def _group(text: str, *, ideographic: bool) -> str:
    parts = [part.strip() for part in text.split("^")]
    family, first_name, middle, prefix, suffix, *more = (*parts, "", "", "", "", "")[: max(5, len(parts))]
    names = " ".join(part for part in (first_name, middle) if part)
    if ideographic:
        words = " ".join(part for part in (family, names) if part)
    else:
        words = ", ".join(part for part in (family, names) if part)
    if prefix:
        words = f"{prefix} {words}" if words else prefix
    rest = [part for part in (suffix, *more) if part]
    return ", ".join([words, *rest] if words else rest)
