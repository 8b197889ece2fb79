"""Leases on products: a small file that the process working on a product renews as long as it lives."""

import fcntl
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upath import UPath

from kd_core.store.files import create_json, is_alive, read_json, remove, write_json

LEASE_S = 60.0  # a lease whose time differs by more from the present has expired; clocks may differ by less


@dataclass(frozen=True)
class Holder:
    """The process that holds a lease, and when it took it, in seconds since the epoch."""

    host: str
    pid: int
    since: float

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"process {self.pid} on {self.host}, which has worked on it since {since}"

    @property
    def is_this_process(self) -> bool:
        """Whether the holder is the process that asks."""
        return (self.host, self.pid) == (socket.gethostname(), os.getpid())


@dataclass(frozen=True)
class Lease:
    """The lease on one product, stored in one file."""

    path: UPath | Path

    @property
    def holder(self) -> Holder | None:
        """The holder; None if the lease has expired, its process on this host has died, or its file is damaged."""
        lease = read_json(self.path) or {}
        try:
            if abs(time.time() - lease["time"]) >= LEASE_S:
                return None
            holder = Holder(lease["host"], int(lease["pid"]), float(lease.get("since", lease["time"])))
        except (KeyError, TypeError, ValueError):
            return None
        return holder if holder.host != socket.gethostname() or is_alive(holder.pid) else None

    @property
    def taken(self) -> bool:
        """Whether a living process, this one or another, holds the lease."""
        return self.holder is not None

    @property
    def in_other_hands(self) -> bool:
        """Whether another living process holds the lease."""
        holder = self.holder
        return holder is not None and not holder.is_this_process

    def details(self) -> dict[str, Any]:
        """The details that the holder last wrote; empty if the lease is free."""
        return (read_json(self.path) or {}) if self.taken else {}

    def renew(self, **details: Any) -> None:
        """Write this process, the time and details of its progress to the lease."""
        write_json(self.path, self._content(**details))

    def _content(self, **details: Any) -> dict[str, Any]:
        return {"time": time.time(), "host": socket.gethostname(), "pid": os.getpid()} | details

    def take(self) -> bool:
        """Take the lease, to be `held`, unless it is in other hands; only one of several that try at once gets it.

        More than one can where a network file system has no locks or an object store no exclusive writes, or where an
        object store has the lease of a process that died.
        """
        with _one_at_a_time(self.path.parent):
            if create_json(self.path, self._content(since=time.time())):
                return True
            if self.in_other_hands:
                return False
            remove(self.path)  # it has expired, or is this process's own
            return create_json(self.path, self._content(since=time.time()))

    def release(self) -> None:
        """Let the lease go if this process holds it."""
        if (holder := self.holder) is not None and holder.is_this_process:
            remove(self.path)

    @contextmanager
    def held(self) -> Iterator[dict[str, Any]]:
        """Hold the lease while the block runs, renewed by a thread; yields its details, which the block may change."""
        details: dict[str, Any] = {"since": time.time()}
        self.renew(**details)
        done = threading.Event()

        def keep_renewing() -> None:
            """Renew the lease until the block has ended."""
            while not done.wait(LEASE_S / 12):
                with suppress(OSError):  # a disk that is full now may have room the next time
                    self.renew(**details)

        thread = threading.Thread(target=keep_renewing, name=f"lease-{self.path.name}", daemon=True)
        thread.start()
        try:
            yield details
        finally:
            done.set()
            thread.join()
            remove(self.path)


@contextmanager
def _one_at_a_time(folder: UPath | Path) -> Iterator[None]:
    """Keep other processes out while the block runs, where the file system can; leaves no file behind."""
    if not isinstance(folder, Path):
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems lock no folders
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
