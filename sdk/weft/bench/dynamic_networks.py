"""The example networks of `weft bench dynamic`, from the folder that they are in."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy.typing as npt
import onnx

from weft.errors import WeftError

__all__ = ["ExampleNetwork", "chosen_networks", "example_networks"]

SOURCES = (("networks.py", "NETWORKS"), ("pytorch/stored.py", "STORED"))
"""Files of the folder `dynamic`, and what they call their networks: written by hand, and trained."""


REPRESENTATIVE = (
    "skip_gates", "halting", "trained/shallow_deep_resnet", "trained/skipnet", "trained/experts", "trained/captioner",
)  # fmt: skip
"""What is measured where nothing else is asked for: gates, exits, alternatives and loops."""


class ExampleNetwork(Protocol):
    """A model and its inputs, one sample per row."""

    model: onnx.ModelProto
    inputs: Mapping[str, npt.NDArray[Any]]


def example_networks(examples: Path) -> Mapping[str, Callable[[], ExampleNetwork]]:
    """The networks of `examples`/dynamic by name. Raises WeftError where they are not there, or need a package that is
    not installed."""
    found: dict[str, Callable[[], ExampleNetwork]] = {}
    for place, name in SOURCES:
        found |= getattr(_module(examples / "dynamic" / place), name)
    return found


def chosen_networks(names: str, known: Collection[str]) -> list[str]:
    """Names given with commas between them; "trained", "written" and "all" stand for several, nothing for one of each
    kind. Raises ValueError for unknown ones."""
    trained = [name for name in known if name.startswith("trained/")]
    groups = {"trained": trained, "written": [name for name in known if name not in trained], "all": list(known)}
    chosen: list[str] = []
    for name in filter(None, map(str.strip, names.split(","))):
        if name not in known and name not in groups:
            raise ValueError(f"unknown network {name!r}; known: {', '.join((*groups, *known))}")
        chosen += groups.get(name, [name])
    return list(dict.fromkeys(chosen or REPRESENTATIVE))


def _module(file: Path) -> ModuleType:
    if not file.exists():
        raise WeftError(f"{file}: absent; give the folder of the examples with --set examples=FOLDER")
    name = f"weft_example_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise WeftError(f"{file}: cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    sys.path.insert(0, str(file.parent))
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        raise WeftError(f"{file}: {error}; install what the examples need: pip install 'weft[demo]'") from error
    finally:
        sys.path.remove(str(file.parent))
    return module
