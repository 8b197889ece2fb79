"""Handles Ctrl-C: the process ends soon and prints how to resume."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import click

_PATIENCE_S = 10.0  # how long an interrupted sweep may clean up


@contextmanager
def leaving_at_interrupt(farewell: str) -> Iterator[None]:
    """End the process soon after Ctrl-C, even if a library catches it or threads are waiting."""

    def leave() -> NoReturn:
        """Print the farewell and end, without waiting for any thread."""
        click.echo(farewell, err=True)
        os._exit(130)

    def interrupted(*_: Any) -> NoReturn:
        """Interrupt the work, and end the process after _PATIENCE_S in any case."""
        late = threading.Timer(_PATIENCE_S, leave)
        late.daemon = True
        late.start()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    except KeyboardInterrupt:
        leave()
    finally:
        signal.signal(signal.SIGINT, before)
