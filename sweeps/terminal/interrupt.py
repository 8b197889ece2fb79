"""Ctrl-C: the process ends soon, with the sentence that says how to go on."""

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
    """End the process soon after Ctrl-C, whatever a library does with it and whatever its threads wait for."""

    def leave() -> NoReturn:
        """Say the farewell and end, without waiting for any thread."""
        click.echo(farewell, err=True)
        os._exit(130)

    def interrupted(*_: Any) -> NoReturn:
        """Interrupt the work, and leave in any case when the patience is over."""
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
