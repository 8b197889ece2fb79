"""Weights in files: those that this package writes, and those that timm, Lightning, DeiT, mdistiller and others do.

A file of torch.save may hold the weights below one of ENTRIES, and the first that is there is taken, so averaged
weights come before those of the last step, as in timm's own reading of files. Names may begin with what wrappers put
before them. Nothing is ever unpickled: a file that holds more than tensors is refused (`kd_core.networks.conversion`).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors.torch import load as safetensors_tensors
from safetensors.torch import save as safetensors_bytes
from torch import nn
from upath import UPath

from kd_core.config.errors import ModelError
from kd_core.fields import shown

ENTRIES = ("state_dict_ema", "model_ema", "state_dict", "model", "model_state_dict")
_WRAPPER = re.compile(r"module\.|_orig_mod\.|model\.")  # of DistributedDataParallel, torch.compile and Lightning
_UNUSED = "num_batches_tracked"  # which files of old versions of torch lack
_MOST_NAMED = 3
_SAFE = ".safetensors"

Tensors = dict[str, torch.Tensor]


class UnsafeFileError(ModelError):
    """A file holds other objects than tensors, which may run code when they are read."""


@dataclass(frozen=True)
class Weights:
    """The tensors of a file by name, and the entry of the file that held them, "" if they were its whole content."""

    tensors: Tensors
    entry: str = ""

    @property
    def num_parameters(self) -> int:
        """How many numbers they hold, without counters and other integers."""
        return sum(tensor.numel() for tensor in self.tensors.values() if tensor.is_floating_point())

    @property
    def prefix(self) -> str:
        """The wrappers' names before the name of every tensor, such as `module._orig_mod.`."""
        first = next(iter(self.tensors))
        return next(each for each in reversed(_wrappers(first)) if all(name.startswith(each) for name in self.tensors))


def weights_bytes(network: nn.Module) -> bytes:
    """A network's weights as a safetensors file, which `load_weights` reads; the same on any device."""
    return plain_bytes(network.state_dict())


def plain_bytes(tensors: Mapping[str, torch.Tensor]) -> bytes:
    """Tensors as a safetensors file; where several share their memory, each gets numbers of its own."""
    seen: set[int] = set()
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    for name, tensor in plain.items():
        storage = tensor.untyped_storage().data_ptr()
        plain[name] = tensor.clone() if storage in seen else tensor
        seen.add(storage)
    return safetensors_bytes(plain)


def read_weights(path: Path | UPath) -> Weights:
    """The weights of a .safetensors file, or of one of torch.save with any other ending, which never runs its code.

    Raises UnsafeFileError if it holds other objects than tensors, and ModelError if it cannot be read.
    """
    try:
        content = path.read_bytes()
        _check_kind(path, content)
        return weights_in(_tensors_of(content))
    except UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        objects = f"other objects than tensors ({found[1] if found else 'of Python'})"
        remedy = f"`kdsweep weights {path} --out NAME{_SAFE}` converts it"
        raise UnsafeFileError("checkpoint", f"{path} holds {objects}, and may run code when read; {remedy}") from error
    except ModelError as error:
        raise ModelError("checkpoint", f"{path} {error}") from None
    except Exception as error:  # a damaged file may raise anything
        problem = " ".join(str(error).split())[:200]
        raise ModelError("checkpoint", f"{path} cannot be read: {problem}; export the weights again") from error


def weights_in(content: object) -> Weights:
    """The weights in what torch.save wrote: a state dict, a module, or a dict with one of them below one of ENTRIES.

    Raises ModelError without a path if there are none.
    """
    entries = content if isinstance(content, Mapping) else {}
    for entry, place in [*((name, entries.get(name)) for name in ENTRIES), ("", content)]:
        values = place.state_dict() if isinstance(place, nn.Module) else place
        if isinstance(values, Mapping):
            tensors = {str(name): value for name, value in values.items() if isinstance(value, torch.Tensor)}
            if tensors:
                return Weights(tensors, entry)
    held = f"entries {_named(map(str, entries))}" if entries else f"a {type(content).__name__}"
    raise ModelError("checkpoint", f"holds {held} and no tensors; save the network's state_dict")


def load_weights(network: nn.Module, path: Path | UPath) -> None:
    """Load a file into a network; raises ModelError if it cannot be read, does not fit, or holds NaN or infinities.

    Tensors are named as in the Network (in files written by this package) or as in the bare timm model. What stands
    before the names is removed if all tensors of the network then fit; tensors without it are those of others, such as
    a loss or a teacher, and left out.
    """
    weights, wanted = read_weights(path), network.state_dict()
    prefixes = sorted({prefix for name in weights.tensors for prefix in _wrappers(name)}, key=len)
    fits = [_Fit.of(weights.tensors, wanted, prefix, room) for prefix in prefixes for room in ("", "backbone.")]
    fit = next((each for each in fits if each.is_whole), None) or max(fits, key=lambda each: each.num_fitting)
    if not fit.is_whole:
        raise ModelError("checkpoint", f"{path} does not fit the network: {fit.problem}")
    broken = [name for name, tensor in fit.tensors.items() if not torch.isfinite(tensor.float()).all()]
    if broken:
        raise ModelError("checkpoint", f"{path} holds NaN or infinite values in {broken[0]}; export the weights again")
    network.load_state_dict(fit.tensors, strict=False)


@dataclass(frozen=True)
class _Fit:
    """How tensors, by the names of a network, fit those that it wants."""

    tensors: Tensors
    wanted: Tensors

    @classmethod
    def of(cls, tensors: Tensors, wanted: Tensors, prefix: str, room: str) -> "_Fit":
        """The tensors whose names begin with a prefix, in place of it below a part of the network."""
        inside = {room + name.removeprefix(prefix): each for name, each in tensors.items() if name.startswith(prefix)}
        return cls(inside, {name: tensor for name, tensor in wanted.items() if name.startswith(room)})

    @property
    def missing(self) -> list[str]:
        """The names that are wanted and not given."""
        return [name for name in self.wanted if name not in self.tensors and not name.endswith(_UNUSED)]

    @property
    def unexpected(self) -> list[str]:
        """The names that are given and not wanted."""
        return [name for name in self.tensors if name not in self.wanted]

    @property
    def misshapen(self) -> list[str]:
        """The names that are given with another shape than is wanted."""
        both = self.wanted.keys() & self.tensors.keys()
        return [name for name in self.wanted if name in both and self.tensors[name].shape != self.wanted[name].shape]

    @property
    def num_fitting(self) -> int:
        """How many of the wanted tensors are given in their shape."""
        return len(self.wanted.keys() & self.tensors.keys()) - len(self.misshapen)

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing, unexpected or of another shape."""
        return not (self.missing or self.unexpected or self.misshapen)

    @property
    def problem(self) -> str:
        """What does not fit, and a remedy."""
        if rows := self._other_rows():
            remedy = "name its classes in their order as `classes`, or make it a folder (local-dir:) and fine-tune it"
            return f"its classifier has {rows[0]} classes where {rows[1]} are wanted; {remedy}"
        given, wanted = ({name: _shape(each) for name, each in of.items()} for of in (self.tensors, self.wanted))
        shapes = [f"{name}: {given[name]} and not {wanted[name]}" for name in self.misshapen]
        lists = {"missing": self.missing, "unexpected": self.unexpected, "of another shape": shapes}
        told = [f"{len(names)} tensors are {what} ({_named(names)})" for what, names in lists.items() if names]
        return f"{', '.join(told)}; give weights of this very model, bottleneck and image_size"

    def _other_rows(self) -> tuple[int, int] | None:
        """The numbers of rows, in the file and wanted, if these of the last tensors are all that is amiss."""
        names = self.misshapen
        if self.missing or self.unexpected or names != list(self.wanted)[-len(names) :]:
            return None
        pairs = [(self.tensors[name].shape, self.wanted[name].shape) for name in names]
        rows = {(given[0], wanted[0]) for given, wanted in pairs if len(given) and given[1:] == wanted[1:]}
        return rows.pop() if len(rows) == 1 and all(given[1:] == wanted[1:] for given, wanted in pairs) else None


def _check_kind(path: Path | UPath, content: bytes) -> None:
    """Raise ModelError if a file is of another kind than its ending says, or of none."""
    kinds = {_SAFE: _is_safetensors(content), ".pth": content.startswith((b"PK\x03\x04", b"\x80"))}
    kind = next((ending for ending, fits in kinds.items() if fits), None)
    if kind is None:
        raise ModelError("checkpoint", "is neither a safetensors file nor one of torch.save; export the weights again")
    if (kind == _SAFE) != (path.suffix == _SAFE):
        written = "a safetensors file" if kind == _SAFE else "a file of torch.save"
        raise ModelError("checkpoint", f"is {written}; rename it to {path.stem}{kind}")


def _is_safetensors(content: bytes) -> bool:
    """Whether bytes begin as a safetensors file does: the size of a JSON header, and the header."""
    return content[8:9] == b"{" and int.from_bytes(content[:8], "little") <= len(content) - 8


def _tensors_of(content: bytes) -> Any:
    if _is_safetensors(content):
        return safetensors_tensors(content)
    return torch.load(BytesIO(content), map_location="cpu", weights_only=True)


def _wrappers(name: str) -> list[str]:
    """What wrappers may have put before a name, from nothing to all of it: "", "module.", "module._orig_mod."."""
    prefixes, end = [""], 0
    while match := _WRAPPER.match(name, end):
        end = match.end()
        prefixes.append(name[:end])
    return prefixes


def _named(names: Iterable[str]) -> str:
    """The first of some names."""
    listed = list(names)
    return ", ".join([*map(shown, listed[:_MOST_NAMED]), *["…"] * (len(listed) > _MOST_NAMED)])


def _shape(tensor: torch.Tensor) -> str:
    return "×".join(map(str, tensor.shape)) if tensor.ndim else "a number"
