"""Every error that gpukit raises, drawn as one tree.

::

    GpukitError
    ├── DeviceError (RuntimeError)            a device was named that cannot be used
    ├── DependencyError (ImportError)         an optional package is missing; says how to install it
    ├── InputError (ValueError)               something that the user gave is wrong
    │   ├── InputNotFoundError (FileNotFoundError)  no such file, or nothing usable in it
    │   ├── FormatError                       a file is damaged or is not what it claims to be
    │   │   └── DecodeError                   a frame's bytes cannot be turned into pixels
    │   ├── TooLargeError (MemoryError)       a header asks for more memory than is reasonable or there
    │   ├── GeometryError                     slices or grids that do not make a volume
    │   │   └── MissingSlicesError            gaps in a stack; names the neighbours by file
    │   ├── SelectionError (LookupError)      several series, phases or labels where one was expected
    │   └── UnitError                         a value without the unit that is needed
    ├── ModelError (ValueError)               a model, or its description, cannot be used
    └── OutputError (OSError)                 a result cannot be written
        └── OutputExistsError (FileExistsError)     the file is there and ``force`` was not given

Each class also inherits the builtin that a caller would expect to catch. A message is one line: what is wrong, in which
file, in which attribute, and what to do.
"""

from __future__ import annotations

from os import PathLike, fspath

__all__ = [
    "DecodeError",
    "DependencyError",
    "DeviceError",
    "FormatError",
    "GeometryError",
    "GpukitError",
    "InputError",
    "InputNotFoundError",
    "MissingSlicesError",
    "ModelError",
    "OutputError",
    "OutputExistsError",
    "SelectionError",
    "TooLargeError",
    "UnitError",
]


#: Characters of a message: hostile files hold names of any length.
_LONGEST_WHAT, _LONGEST_FILE = 1500, 1000


class GpukitError(Exception):
    """Base of all gpukit errors.

    Parameters
    ----------
    what : str
        What is wrong, in one clause, without a final full stop.
    file : str or PathLike, optional
        The file in which it is wrong.
    attribute : str, optional
        The DICOM keyword, JSON key or option in which it is wrong.
    fix : str, optional
        What the user can do about it, as a short imperative sentence.
    """

    def __init__(
        self,
        what: str,
        *,
        file: str | PathLike[str] | None = None,
        attribute: str | None = None,
        fix: str | None = None,
    ) -> None:
        self.what = what
        self.file = None if file is None else fspath(file)
        self.attribute = attribute
        self.fix = fix
        super().__init__(what)

    def __str__(self) -> str:
        """One line: what [attribute] [file]. What to do."""
        text = _shortened(self.what, _LONGEST_WHAT)
        if self.attribute:
            text += f" [{self.attribute}]"
        if self.file:
            text = f"{_shortened(self.file, _LONGEST_FILE)}: {text}"
        if self.fix:
            command = self.fix.startswith("pip ")  # stays as it must be typed
            text += f". {self.fix if command else self.fix[:1].upper() + self.fix[1:]}"
        text = text.replace("\n", " ")
        # A hostile name must not command a terminal, nor hold bytes that no encoding has.
        return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _shortened(text: str, most: int) -> str:
    """A text of at most `most` characters: its beginning and its end."""
    half = most // 2 - 2
    return text if len(text) <= most else f"{text[:half]} ... {text[-half:]}"


class DeviceError(GpukitError, RuntimeError):
    """A device was named that cannot be used here."""


class DependencyError(GpukitError, ImportError):
    """An optional package is missing."""


class InputError(GpukitError, ValueError):
    """Something that the user gave is wrong."""


class InputNotFoundError(InputError, FileNotFoundError):
    """No such file, or nothing usable in it."""


class FormatError(InputError):
    """A file is damaged or is not what it claims to be."""


class DecodeError(FormatError):
    """A frame's bytes cannot be turned into pixels."""


class TooLargeError(InputError, MemoryError):
    """A header asks for more memory than is reasonable or available."""


class GeometryError(InputError):
    """Slices or grids that do not make a volume."""


class MissingSlicesError(GeometryError):
    """A stack of slices has gaps."""


class SelectionError(InputError, LookupError):
    """Several series, phases or labels where one was expected, or none where one was named."""


class UnitError(InputError):
    """A value lacks the unit that is needed, or has another."""


class ModelError(GpukitError, ValueError):
    """A model or its description cannot be used."""


class OutputError(GpukitError, OSError):
    """A result cannot be written."""


class OutputExistsError(OutputError, FileExistsError):
    """The output exists and overwriting was not asked for."""
