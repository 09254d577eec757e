"""The screen of a session: what was forgotten is sent again."""

from __future__ import annotations

import os

import pytest

from gpukit.viewer.session.screen import Screen, blank


def test_a_signal_in_the_middle_of_a_frame_has_it_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    # Ctrl-Z and a new size forget the screen from a signal handler: between any two writes.
    ends = os.pipe(), os.pipe(), os.pipe()
    screen = Screen(ends[0][0], ends[1][1], ends[2][0], colors="none")
    send = screen._write

    def interrupted(data: bytes) -> None:
        send(data)
        screen.forget()

    target = blank(20, 5)
    target.chars[:] = ord("x")
    monkeypatch.setattr(screen, "_write", interrupted)
    assert screen.show(target) is False
    os.read(ends[1][0], 100_000)
    monkeypatch.setattr(screen, "_write", send)
    assert screen.show(target) is True
    assert os.read(ends[1][0], 100_000).count(b"x") == 100
    for end in (end for pair in ends for end in pair):
        os.close(end)
