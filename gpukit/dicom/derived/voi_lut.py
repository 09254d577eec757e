"""The VOI LUT module of a derived image (PS3.3 C.11.2): how its values are shown, as the picture of it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpukit.dicom.derived.stored_values import Stored
from gpukit.dicom.image.voi_lut import own_voi
from gpukit.ops.windowing import Window, as_voi
from gpukit.units import ValueUnit
from gpukit.volume import Voi, Volume

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["put_window"]

#: Units whose values are counted in whole numbers, for which LINEAR was made.
_COUNTED = {ValueUnit.HU, ValueUnit.NONE}
_MOST_ENTRIES = 1 << 16


def put_window(image: Dataset, volume: Volume, k: int, stored: Stored, window: Window | None) -> str:
    """Write how slice k is shown: by the window that was asked for, else by its own.

    Parameters
    ----------
    image : Dataset
        Changed. Holds the new image's pixel description.
    volume : Volume
    k : int
    stored : Stored
        Of slice k.
    window : Voi, (float, float) or None
        Asked for.

    Returns
    -------
    str
        A remark where the image cannot say how it is shown, else empty.
    """
    if window is not None:
        return _put(image, _in_whole_numbers(as_voi(window), volume.unit), stored)
    own = own_voi(volume, k)
    return "" if own is None else _put(image, own, stored)


def _in_whole_numbers(voi: Voi, unit: str) -> Voi:
    """The same window as LINEAR, the function that all readers know, where values are whole numbers."""
    if voi.function != "LINEAR_EXACT" or unit not in _COUNTED:
        return voi
    # PS3.3 C.11.2.1.2.1: LINEAR goes from c - 0.5 - (w - 1) / 2 to c - 0.5 + (w - 1) / 2
    return Voi(voi.center + 0.5, voi.width + 1.0)


def _put(image: Dataset, voi: Voi, stored: Stored) -> str:
    from gpukit.dicom.derived.derivation import decimals

    if voi.function == "LUT":
        return _put_table(image, voi, stored)
    width = max(voi.width, 1.0) if voi.function == "LINEAR" else voi.width
    if width <= 0:  # a threshold, which only LINEAR can say
        voi, width = Voi(voi.center + 0.5, 1.0), 1.0
    image.WindowCenter, image.WindowWidth = decimals((voi.center, width))
    if voi.function != "LINEAR":
        image.VOILUTFunction = voi.function
    return ""


def _put_table(image: Dataset, voi: Voi, stored: Stored) -> str:
    """The table, where its values are those that the new image's rescaling gives; a fitted slope has no table."""
    from pydicom import Dataset

    if (stored.slope, stored.intercept, voi.step) != ("1", "0", 1.0) or voi.first != round(voi.first):
        return "the VOI LUT of the source does not suit these values and was left out"
    first, signed = int(voi.first), stored.array.dtype.kind == "i"
    if not (-(1 << 15) <= first < 1 << 15 if signed else 0 <= first < 1 << 16) or len(voi.lut) > _MOST_ENTRIES:
        return "the VOI LUT of the source does not suit these values and was left out"
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if signed else "US", [len(voi.lut) % _MOST_ENTRIES, first, 16])
    item.add_new("LUTData", "US", [round(value * 65535.0) for value in voi.lut])
    image.VOILUTSequence = [item]
    return ""
