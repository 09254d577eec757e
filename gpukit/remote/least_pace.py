"""A total time for downloads: a server that sends a byte now and then is given up, however often it sends one."""

from __future__ import annotations

import ssl
import time
from typing import Any

__all__ = ["LEAST_PACE", "PATIENCE", "context"]

#: Seconds that any answer may take, and bytes for which it may take a second more.
PATIENCE = 60.0
LEAST_PACE = 16 << 10


class _PacedSocket(ssl.SSLSocket):
    """A TLS connection on which one answer comes in the time that its size deserves."""

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        """Read as `ssl.SSLSocket` does; TimeoutError where the connection is slower than any useful one."""
        begun = self.__dict__.setdefault("_gpukit_begun", time.monotonic())
        count = super().recv_into(buffer, nbytes, flags)
        total = self.__dict__["_gpukit_received"] = self.__dict__.get("_gpukit_received", 0) + count
        if count and time.monotonic() - begun > PATIENCE + total / LEAST_PACE:
            raise TimeoutError(
                f"the server sent {total} bytes in {time.monotonic() - begun:.0f} seconds and was given up"
            )
        return count


def context() -> ssl.SSLContext:
    """The system's certificates, for connections that carry one answer each."""
    made = ssl.create_default_context()
    made.sslsocket_class = _PacedSocket
    return made
