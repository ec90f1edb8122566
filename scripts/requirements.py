"""Prints what the development environment needs, from pyproject.toml: build, run, and the extra `dev`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def flattened(requirements: Iterable[str], extras: Mapping[str, list[str]], project: str) -> Iterator[str]:
    """The requirements, with `project[extra]` replaced by what the extra asks for."""
    for requirement in requirements:
        name, _, rest = requirement.partition("[")
        if name != project:
            yield requirement
            continue
        for extra in rest.rstrip("]").split(","):
            yield from flattened(extras[extra.strip()], extras, project)


def main() -> None:
    """Writes one requirement per line."""
    table = tomllib.loads(PROJECT.read_text(encoding="utf-8"))
    project = table["project"]
    direct = [*table["build-system"]["requires"], *project["dependencies"], f"{project['name']}[dev]"]
    print("\n".join(flattened(direct, project["optional-dependencies"], project["name"])))


if __name__ == "__main__":
    main()
