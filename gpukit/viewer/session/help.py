"""What the keys of a session do, for its help page."""

from __future__ import annotations

__all__ = ["HELP"]

HELP = (
    "arrows     move the image; frames where there is nothing to move",
    "+ -        zoom about the middle",
    "[ ]        one frame back, on;   PgUp PgDn: ten;   Home End: first, last",
    "w W        narrower, wider window;   l L: lower, higher level",
    "mouse      drag: window and level;   wheel: frames;   click: cursor",
    "0-9        0 the image's own window;   1-9 presets",
    "i          invert;   o: overlays;   n: information",
    "p          cine on and off",
    "s          side by side with this frame",
    "v          axial, coronal, sagittal; tab chooses the plane",
    "d          difference of two images (--compare)",
    "t          attributes;   c: value under the cursor",
    "r          reset;   ?: this help;   q: quit",
)
