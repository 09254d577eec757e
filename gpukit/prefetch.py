"""Making the next items in a thread while the present one is worked on."""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Generic, TypeVar, cast

from gpukit.profiling import beside, stage

__all__ = ["Ahead"]

T = TypeVar("T")
_END = object()


class Ahead(Generic[T]):
    """The items of an iterable, made in a thread of their own, a bounded number of them in advance.

    An error that the iterable raises comes where its item would have come. Context variables are those of the place
    where this was made, so what is counted there (`gpukit.transfers.count_transfers`) counts what the thread does.

    Parameters
    ----------
    items : iterable
        Iterated in the thread only.
    depth : int
        Items that may wait, at least 1; one more is being made.
    cost : callable, optional
        What an item weighs, such as its bytes.
    most : int
        What those that wait may weigh together; one may always wait.
    waiting : str
        The stage (`gpukit.profiling`) to which the time belongs in which an item is waited for.
    around : callable, optional
        Makes a context that is open in the thread while one item is made, and left before it is handed over: for work
        on a stream of its own.

    Notes
    -----
    A context manager; leaving it stops the thread after the item that it is making.
    """

    def __init__(
        self,
        items: Iterable[T],
        *,
        depth: int = 1,
        cost: Callable[[T], int] = lambda item: 0,
        most: int = 0,
        waiting: str = "reading",
        around: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._items, self._around, self._waiting = items, around, waiting
        self._depth, self._cost, self._most = max(1, depth), cost, most
        self._made: deque[tuple[str, object, int]] = deque()
        self._weight = 0
        self._changed = threading.Condition()
        self._stopped = False
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._work,), name="gpukit-ahead", daemon=True)
        self._thread.start()

    def __enter__(self) -> Ahead[T]:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[T]:
        """The items, in their order."""
        while True:
            with stage(self._waiting), self._changed:
                self._changed.wait_for(lambda: self._made)
                kind, value, weight = self._made.popleft()
                self._weight -= weight
                self._changed.notify_all()
            if kind == "item":
                item = cast(T, value)
                del value
                yield item
                del item  # it must not live on while the next is waited for
            elif kind == "error":
                raise cast(BaseException, value)
            else:
                return

    def close(self) -> None:
        """Stop, and let go of what was made and not taken."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join()
        self._made.clear()

    def _work(self) -> None:
        source = iter(self._items)
        try:
            with beside():
                while not self._stopped:
                    with self._around():
                        item = next(source, _END)
                    if item is _END:
                        break
                    self._put("item", item, self._cost(cast(T, item)))
                    del item
            self._put("end", None)
        except BaseException as error:  # whatever it is, it belongs to the one who waits
            self._put("error", error)
        finally:
            close = getattr(source, "close", None)
            if close is not None:
                close()

    def _put(self, kind: str, value: object, weight: int = 0) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._has_room(weight))
            if not self._stopped:
                self._made.append((kind, value, weight))
                self._weight += weight
                self._changed.notify_all()

    def _has_room(self, weight: int) -> bool:
        return not self._made or (len(self._made) < self._depth and self._weight + weight <= self._most)
