"""The error family: drawn as it is, one line each, and caught by the builtin that a caller would expect."""

from __future__ import annotations

import re

import pytest

from gpukit import errors
from gpukit.errors import FormatError, GpukitError

CLASSES = [getattr(errors, name) for name in errors.__all__]


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = re.findall(r"(\w+Error)(?: \((\w+)\))?  ", (errors.__doc__ or "") + "  ")
    names = {name for name, _ in drawn} | {"GpukitError"}
    assert names == set(errors.__all__)
    for name, builtin in drawn:
        if builtin:
            assert issubclass(getattr(errors, name), getattr(__import__("builtins"), builtin))


@pytest.mark.parametrize("kind", CLASSES)
def test_message_is_one_line_with_file_attribute_and_what_to_do(kind: type[GpukitError]) -> None:
    error = kind("the rows\ndo not fit", file="a/b.dcm", attribute="Rows", fix="copy the file again")
    assert str(error) == "a/b.dcm: the rows do not fit [Rows]. Copy the file again"
    assert (error.file, error.attribute, error.fix) == ("a/b.dcm", "Rows", "copy the file again")


def test_message_without_a_place_is_the_fault_alone() -> None:
    assert str(FormatError("not DICOM")) == "not DICOM"


@pytest.mark.parametrize("kind", CLASSES)
def test_one_except_catches_them_all(kind: type[GpukitError]) -> None:
    with pytest.raises(GpukitError):
        raise kind("x")
