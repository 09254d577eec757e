"""What made an image or a label map, as far as file formats have a place for it: program, algorithm and labels.

DICOM objects have attributes for this; NIfTI gets a comment in its header, MetaImage and NRRD a field, PNG its text
chunks. Nothing of the source's header is in it, so none of the patient.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.device import move
from gpukit.segmentation import Segmentation
from gpukit.volume import Volume

__all__ = ["KEY", "made_by", "png_texts", "stated", "stated_json", "stored_array"]

#: Name of the field, in formats whose fields have names.
KEY = "gpukit"


def stated(thing: Volume | Segmentation) -> dict[str, Any] | None:
    """Program, algorithm (``name``, ``version``, ``digest`` of the weights) and labels; None where there are none.

    Parameters
    ----------
    thing : Volume or Segmentation
        What is written.

    Returns
    -------
    dict or None
        Ready for JSON.
    """
    from gpukit.version import __version__

    labels = thing.labels if isinstance(thing, Segmentation) else ()
    if not thing.algorithm and not labels:
        return None
    content: dict[str, Any] = {"software": f"gpukit {__version__}"}
    if thing.algorithm:
        content["algorithm"] = {key: str(value) for key, value in thing.algorithm.items()}
    if isinstance(thing, Segmentation) and thing.planes is not None:
        content["overlapping"] = True
    if labels:
        content["labels"] = [{"value": one.value, "name": one.name} for one in labels]
    return content


def stored_array(thing: Volume | Segmentation) -> tuple[NDArray[Any], str]:
    """Return voxels of a volume or a label map in main memory, and their axes.

    Labels that overlap become volumes of 0 and 1 along a first axis ``t``, one for each label, in their order.
    """
    if isinstance(thing, Segmentation) and thing.planes is not None:
        masks = [np.asarray(move(thing.mask(label), "cpu")).astype(np.uint8) for label in thing.labels]
        return np.stack(masks), "tkji"
    return np.asarray(thing.to("cpu").array), thing.axes if isinstance(thing, Volume) else "kji"


def stated_json(thing: Volume | Segmentation, *, labels: bool = True) -> str | None:
    """As `stated`, as one line of JSON in ASCII; without `labels` it is short, for readers that bound a line."""
    content = stated(thing)
    if content is None:
        return None
    return json.dumps(content if labels else {k: v for k, v in content.items() if k != "labels"}, separators=(",", ":"))


def made_by(algorithm: Mapping[str, str]) -> str:
    """Name, version and digest for people."""
    name, version, digest = (str(algorithm.get(key) or "") for key in ("name", "version", "digest"))
    words = " ".join(part for part in (name or "unnamed model", version) if part)
    return f"{words}, digest {digest} (sha256 of the weights)" if digest else words


def png_texts(description: str, algorithm: Mapping[str, str]) -> Any:
    """Text chunks of a PNG by the keywords that its specification names (section 11.3.3): for Pillow's ``pnginfo``.

    Parameters
    ----------
    description : str
        What the picture shows; nothing of the patient.
    algorithm : mapping
        ``name``, ``version``, ``digest`` of what found what is drawn.
    """
    from PIL.PngImagePlugin import PngInfo

    from gpukit.version import __version__

    info = PngInfo()
    texts = {"Software": f"gpukit {__version__}", "Description": description, "Source": made_by(algorithm)}
    for keyword, text in texts.items():
        if text.isascii():
            info.add_text(keyword, text)
        else:
            info.add_itxt(keyword, text, lang="", tkey="")
    return info
