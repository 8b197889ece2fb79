"""Reads many records at once, since a request to an object store or a network file system is mostly waited for."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

NUM_AT_ONCE = 16


def read_ahead(read: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """What `read` returns for each item, in their order; 16 are read at once, and at most 32 ahead of what is taken.

    Raises what `read` raises, in the item's turn.
    """
    with ThreadPoolExecutor(NUM_AT_ONCE, thread_name_prefix="read") as threads:
        ahead: deque[Future[Result]] = deque()
        for item in items:
            ahead.append(threads.submit(read, item))
            if len(ahead) > 2 * NUM_AT_ONCE:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
