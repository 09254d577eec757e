"""Display shutters (PS3.3 C.7.6.11 and C.7.6.15): what of an image is covered, and with which grey."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpukit.dicom.image.frame import Frame
from gpukit.dicom.image.overlay_planes import OverlayPlane
from gpukit.display.frame_values import mentions
from gpukit.errors import GpukitError

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["Shutter", "frame_shutter", "shutter_of"]

_MOST_VERTICES = 100_000


class Shutter:
    """Covered pixels of a frame, and their grey from 0 to 255."""

    def __init__(self, covered: NDArray[np.bool_], grey: int = 0) -> None:
        self.covered = covered
        self.grey = grey


def frame_shutter(frame: Frame) -> Shutter | None:
    """The shutter that an image has in its own header, for one frame; None without one."""
    if not mentions(frame.header, (0x0018, 0x1600)):
        return None
    try:
        dataset = frame.header.dataset()
    except GpukitError:
        return None
    for item in (*_groups(dataset, frame.index), dataset):
        if item.get("ShutterShape"):
            return shutter_of(item, frame.rows, frame.columns)
    return None


def _groups(dataset: Dataset, index: int) -> list[Any]:
    own, shared = dataset.get("PerFrameFunctionalGroupsSequence"), dataset.get("SharedFunctionalGroupsSequence")
    results = []
    for groups in (own[index : index + 1] if own else (), shared[:1] if shared else ()):
        items = groups[0].get("FrameDisplayShutterSequence") if groups else None
        results += list(items or ())
    return results


def shutter_of(item: Any, rows: int, columns: int, overlays: tuple[OverlayPlane, ...] = ()) -> Shutter | None:
    """The shutter that attributes describe; shapes leave visible what all of them leave visible.

    Parameters
    ----------
    item : Dataset
        An image, a functional group or a presentation state.
    rows, columns : int
        Of the image.
    overlays : tuple of OverlayPlane
        Among them the one of a BITMAP shutter.
    """
    shapes = item.get("ShutterShape")
    if not shapes:
        return None
    names = [str(s).upper() for s in ([shapes] if isinstance(shapes, str) else shapes)]
    y, x = np.ogrid[1 : rows + 1, 1 : columns + 1]
    visible = np.ones((rows, columns), bool)
    if "RECTANGULAR" in names:
        edges = [item.get(f"Shutter{name}Edge") for name in
                 ("LeftVertical", "RightVertical", "UpperHorizontal", "LowerHorizontal")]  # fmt: skip
        if all(edge is not None for edge in edges):
            left, right, upper, lower = (int(edge) for edge in edges)
            visible &= (x >= left) & (x <= right) & (y >= upper) & (y <= lower)
    if "CIRCULAR" in names and item.get("CenterOfCircularShutter") is not None:
        row, column = (int(v) for v in item.CenterOfCircularShutter)
        radius = float(item.get("RadiusOfCircularShutter") or 0)
        visible &= (y - row) ** 2 + (x - column) ** 2 <= radius**2
    if "POLYGONAL" in names:
        vertices = [int(v) for v in item.get("VerticesOfThePolygonalShutter") or ()]
        if 6 <= len(vertices) <= _MOST_VERTICES:
            visible &= _polygon(np.array(vertices[: len(vertices) // 2 * 2]).reshape(-1, 2), rows, columns)
    covered = ~visible
    if "BITMAP" in names:
        group = int(item.get("ShutterOverlayGroup") or 0)
        for overlay in overlays:
            if overlay.group == group:
                covered |= overlay.on_image(rows, columns)
    value = item.get("ShutterPresentationValue")
    return Shutter(covered, 0 if value is None else round(int(value) * 255 / 65535))


def _polygon(vertices: NDArray[np.int64], rows: int, columns: int) -> NDArray[np.bool_]:
    """Pixels whose centres lie in a polygon of (row, column) from 1, by crossings along each row."""
    inside = np.zeros((rows, columns), bool)
    x = np.arange(1, columns + 1, dtype=np.float64)
    following = np.roll(vertices, -1, axis=0)
    for row in range(max(1, int(vertices[:, 0].min())), min(rows, int(vertices[:, 0].max())) + 1):
        low, high = np.minimum(vertices[:, 0], following[:, 0]), np.maximum(vertices[:, 0], following[:, 0])
        cut = (low <= row) & (row < high)
        if row == high.max():  # the lowest edge belongs to the polygon
            cut = (low < row) & (row <= high)
        a, b = vertices[cut].astype(float), following[cut].astype(float)
        crossings = np.sort(a[:, 1] + (row - a[:, 0]) * (b[:, 1] - a[:, 1]) / (b[:, 0] - a[:, 0]))
        for left, right in zip(crossings[0::2], crossings[1::2], strict=False):
            inside[row - 1] |= (x >= left) & (x <= right)
    return inside
