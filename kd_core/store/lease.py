"""Leases on products: a small file that the process working on a product renews as long as it lives."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upath import UPath

from kd_core.store.files import is_alive, read_json, write_json

LEASE_S = 60.0  # a lease that was not renewed for so long has expired


@dataclass(frozen=True)
class Lease:
    """The lease on one product, stored in one file."""

    path: UPath | Path

    @property
    def taken(self) -> bool:
        """Whether a living process, this one or another, holds the lease."""
        return self._holder() is not None

    @property
    def in_other_hands(self) -> bool:
        """Whether another living process holds the lease."""
        holder = self._holder()
        return holder is not None and holder != (socket.gethostname(), os.getpid())

    def details(self) -> dict[str, Any]:
        """The details that the holder last wrote; empty if the lease is free."""
        return (read_json(self.path) or {}) if self.taken else {}

    def renew(self, **details: Any) -> None:
        """Write this process, the time and details of its progress to the lease."""
        write_json(self.path, {"time": time.time(), "host": socket.gethostname(), "pid": os.getpid()} | details)

    @contextmanager
    def held(self) -> Iterator[dict[str, Any]]:
        """Hold the lease while the block runs, renewed by a thread; yields its details, which the block may change."""
        details: dict[str, Any] = {}
        self.renew()
        done = threading.Event()

        def keep_renewing() -> None:
            while not done.wait(LEASE_S / 12):
                self.renew(**details)

        thread = threading.Thread(target=keep_renewing, name=f"lease-{self.path.name}", daemon=True)
        thread.start()
        try:
            yield details
        finally:
            done.set()
            thread.join()
            self.path.unlink(missing_ok=True)

    def _holder(self) -> tuple[str, int] | None:
        """Host and process id of the holder; None if the lease has expired or its process on this host has died."""
        lease = read_json(self.path)
        if lease is None or time.time() - lease["time"] >= LEASE_S:
            return None
        holder = lease["host"], lease["pid"]
        return holder if holder[0] != socket.gethostname() or is_alive(holder[1]) else None
