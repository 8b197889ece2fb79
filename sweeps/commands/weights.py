"""The command `kdsweep weights`, which converts a checkpoint to plain safetensors."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kd_core.config.errors import ModelError, SpecError

if TYPE_CHECKING:
    from kd_core.networks.weights import Weights

_SUFFIX = ".safetensors"


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The .safetensors file to write.")
@click.option("--trust", is_flag=True, help="Unpickle a file that may run code, in a process of its own, unasked.")
def weights(file: Path, out: Path, trust: bool) -> None:
    """Convert the checkpoint FILE, as timm, Lightning and others write it, to plain safetensors.

    A file that holds more than tensors may run code when it is read, with all your rights: only trust what you made.
    """
    from kd_core.networks.conversion import write_plain

    if not file.is_file():
        raise SpecError(f"{file}: no such file; give a file of torch.save, or a {_SUFFIX} file")
    if out.suffix != _SUFFIX:
        raise SpecError(f"--out: {out}: must end in {_SUFFIX}")
    try:
        found = _read(file, trust)
        written = write_plain(found, out)
    except ModelError as error:
        raise SpecError(str(error)) from None
    click.echo(f"{out}: {_description(found)}{'' if written else '; it is there already'}", err=True)


def _read(file: Path, trust: bool) -> "Weights":
    """The weights of a file; asks, on a terminal, before one that may run code is read."""
    from kd_core.networks.conversion import weights_of
    from kd_core.networks.weights import UnsafeFileError

    try:
        return weights_of(file, trust)
    except UnsafeFileError as error:
        problem = str(error).partition(";")[0]
    agreed = sys.stdin.isatty() and click.confirm(f"{problem}; read it in a process of its own?", err=True)
    if not agreed:
        raise SpecError(f"{problem}; if you trust it, --trust reads it in a process of its own")
    return weights_of(file, trust=True)


def _description(found: "Weights") -> str:
    """What was taken from a file, and what was removed from the names."""
    entry = f"the entry {found.entry}" if found.entry else "the whole file"
    prefix = f"without the prefix {found.prefix}" if found.prefix else "names as they were"
    return f"{len(found.tensors)} tensors with {found.num_parameters:,} parameters, from {entry}, {prefix}"
