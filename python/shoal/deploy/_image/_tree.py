"""The file system that layers make together, as names: what is where, and which names are links.

- Layers lie over each other as OCI says: later files replace earlier ones, whiteouts take away.
- A path is resolved as the system would inside the image: links never lead out of it.
- How much is held is bounded: so many names, and no contents.

Source: OCI image specification 1.1, layer.md ("Whiteouts", "Opaque Whiteout").
"""

from __future__ import annotations

from pathlib import PurePosixPath

from shoal.errors import CorruptPackageError

NAMES_LIMIT = 1_000_000
_LINKS_LIMIT = 40  # as Linux has it
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"


class Tree:
    """What is known of a file system: paths relative to its root, each with its link's target."""

    def __init__(self) -> None:
        """An empty file system."""
        self._names: dict[str, str | None] = {}
        self._below: list[str] = []
        self._added: set[str] = set()

    def __contains__(self, path: str) -> bool:
        return self.resolved(path) is not None

    def begin_layer(self) -> None:
        """What is added from here on lies over what was added before."""
        self._below, self._added = list(self._names), set()

    def add(self, path: str, link: str | None = None) -> str | None:
        """Adds a member of a layer; None if it is a whiteout, else where it really lies.

        Raises:
            CorruptPackageError: the path leads out of the image, or there are too many.
        """
        parts = [part for part in path.split("/") if part not in {"", "."}]
        if ".." in parts or path.startswith("/") or "\0" in path:
            message = f"a layer holds a path that leads out of the image: {path!r}"
            raise CorruptPackageError(message)
        if not parts:
            return None
        parent = "/".join(parts[:-1])
        parent = self.resolved(parent) or parent
        if parts[-1].startswith(_WHITEOUT):
            self._take_away(parent, parts[-1])
            return None
        place = str(PurePosixPath(parent, parts[-1]))
        self._names[place] = link
        self._added.add(place)
        if len(self._names) > NAMES_LIMIT:
            message = f"the base holds more than {NAMES_LIMIT} files, the most that are read"
            raise CorruptPackageError(message)
        return place

    def is_link(self, path: str) -> bool:
        """Whether the name itself is a symbolic link."""
        return self._names.get(path) is not None

    def holds(self, folder: str) -> bool:
        """Whether there is something of this name, or below it."""
        return any(each == folder or each.startswith(f"{folder}/") for each in self._names)

    def named(self, name: str) -> list[str]:
        """The paths of the files called so, in order."""
        return sorted(each for each in self._names if each.rpartition("/")[2] == name)

    def resolved(self, path: str) -> str | None:
        """Where a path leads to once all links are followed; None if nothing is there."""
        waiting, place, links = path.strip("/").split("/"), "", 0
        while waiting:
            part = waiting.pop(0)
            if part in {"", "."}:
                continue
            if part == "..":
                place = place.rpartition("/")[0]
                continue
            place = f"{place}/{part}" if place else part
            if (link := self._names.get(place)) is not None:
                links += 1
                if links > _LINKS_LIMIT:
                    return None
                waiting = [*link.split("/"), *waiting]
                place = "" if link.startswith("/") else place.rpartition("/")[0]
        return place if place in self._names else None

    def _take_away(self, parent: str, name: str) -> None:
        """A whiteout hides what lower layers hold, and nothing of its own layer."""
        top = parent if name == _OPAQUE else str(PurePosixPath(parent, name[len(_WHITEOUT) :]))
        hidden = f"{top}/" if top else ""
        for path in self._below:
            is_hidden = path.startswith(hidden) or (path == top and name != _OPAQUE)
            if is_hidden and path not in self._added:
                self._names.pop(path, None)
