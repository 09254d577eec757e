"""The program of a worker process: decode frames with GDCM until standard input ends.

It imports GDCM and Python's library, nothing of gpukit. A request is a line of JSON and the codestream; an answer is a
line of JSON and the pixels. `gpukit_backends.decoders.worker_process` starts it and writes to it.
"""

from __future__ import annotations

import json
import sys
from typing import Any, BinaryIO

#: Address space that a worker may use beside what its request asks for.
_BASE = 1 << 30


def main(requests: BinaryIO, answers: BinaryIO) -> int:
    """Answer requests until standard input ends."""
    import gdcm

    for name in ("WarningOff", "ErrorOff", "DebugOff"):
        getattr(gdcm.Trace, name)()
    _limit("RLIMIT_CORE", 0)
    while line := requests.readline():
        request = json.loads(line)
        data = requests.read(request["length"])
        if len(data) < request["length"]:
            return 1
        _limit("RLIMIT_AS", _BASE + 16 * request["pixels"] + 8 * len(data))
        try:
            answer, pixels = decode(gdcm, data, request)
        except Exception as error:
            answer, pixels = {"error": str(error) or type(error).__name__}, b""
        answers.write(json.dumps({**answer, "length": len(pixels)}).encode() + b"\n")
        answers.write(pixels)
        answers.flush()
    return 0


def decode(gdcm: Any, data: bytes, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """The pixels of one frame in main memory, and how they lie there."""
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(data)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((request["columns"], request["rows"], 1))
    image.SetDataElement(element)
    kind = gdcm.PhotometricInterpretation.GetPIType(request["photometric"])
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(request["syntax"])))
    image.SetPixelFormat(gdcm.PixelFormat(*request["pixel_format"]))
    if request["planar"]:
        image.SetPlanarConfiguration(1)
    text = image.GetBuffer()
    if text is None:
        raise ValueError("GDCM gave nothing")
    pixels = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else bytes(text)
    layout = image.GetPixelFormat()
    answer = {
        "bits": layout.GetBitsAllocated(),
        "signed": bool(layout.GetPixelRepresentation()),
        "planar": bool(image.GetPlanarConfiguration()),
    }
    return answer, pixels


def _limit(name: str, most: int) -> None:
    """Bound a resource of this process, where the system has such bounds."""
    try:
        import resource
    except ImportError:  # Windows
        return
    kind = getattr(resource, name)
    hard = resource.getrlimit(kind)[1]
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(kind, (most, hard))


if __name__ == "__main__":
    sys.exit(main(sys.stdin.buffer, sys.stdout.buffer))
