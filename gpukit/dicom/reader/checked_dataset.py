"""Headers of pydicom whose attributes cannot surprise: one that makes no sense is an error that names it and the file.

pydicom converts a value when it is asked for, and raises many kinds of exceptions over damaged ones: for a value
representation that no standard knows, a length that is no multiple, a number that is none. Every reader of gpukit would
have to expect them at each access.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from gpukit.errors import FormatError, GpukitError

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["check_access"]

_FILE = "_gpukit_file"


def check_access(dataset: Dataset, file: str) -> Dataset:
    """The data set itself, from now on with checked access to its attributes and to those of its items.

    Parameters
    ----------
    dataset : pydicom.Dataset
        Of a file or of an item.
    file : str
        What errors name.
    """
    kind: Any = type(dataset)
    dataset.__class__ = _checked(kind)
    dataset.__dict__[_FILE] = file
    return dataset


@functools.cache
def _checked(kind: Any) -> Any:
    """A class like `kind` whose element access raises only KeyError and FormatError."""
    if getattr(kind, "_gpukit_is_checked", False):
        return kind

    def access(self: Any, key: Any) -> Any:
        try:
            element = kind.__getitem__(self, key)
        except (GpukitError, KeyError, MemoryError):
            raise
        except Exception as error:  # pydicom raises many kinds on damage
            unknown = isinstance(error, NotImplementedError)
            reason = "its value representation is unknown" if unknown else type(error).__name__
            raise FormatError(
                f"an attribute makes no sense ({reason})", file=self.__dict__.get(_FILE), attribute=_name(key)
            ) from error
        if getattr(element, "VR", "") == "SQ" and element.value:
            for item in element.value:
                if not getattr(type(item), "_gpukit_is_checked", False):
                    check_access(item, self.__dict__.get(_FILE, ""))
        return element

    def reduce(self: Any, protocol: Any) -> Any:  # in another process it is one of pydicom's own class
        _, (_, *arguments), *rest = kind.__reduce_ex__(self, protocol)
        return _restore, (kind, *arguments), *rest

    names = {"__getitem__": access, "__reduce_ex__": reduce, "_gpukit_is_checked": True, "__module__": __name__}
    return type(kind.__name__, (kind,), names)


def _restore(kind: type, *arguments: Any) -> Any:
    return kind.__new__(kind, *arguments)


def _name(key: Any) -> str | None:
    """Keyword or tag, for messages."""
    from pydicom.datadict import keyword_for_tag
    from pydicom.tag import Tag

    try:
        tag = Tag(key)
    except (OverflowError, TypeError, ValueError):
        return None
    return keyword_for_tag(tag) or str(tag)
