"""The ways in which the tests damage a file."""

from pathlib import Path

from upath import UPath

DAMAGES = ("cut", "empty", "flipped", "braces", "deleted")


def damage(path: Path | UPath, kind: str) -> None:
    """Damage a file, or delete it; one bit of its middle is flipped, which is inside of a figure or of weights."""
    content = path.read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    damaged = {"cut": content[: middle - 1], "empty": b"", "flipped": flipped, "braces": b"{}"}
    path.unlink() if kind == "deleted" else path.write_bytes(damaged[kind])
