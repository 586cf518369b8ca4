"""Layers over each other: what is where, and what a link leads to."""

from __future__ import annotations

import pytest

from shoal.deploy._image import _tree
from shoal.deploy._image._tree import Tree
from shoal.errors import CorruptPackageError


def tree_of(*layers: dict[str, str | None]) -> Tree:
    tree = Tree()
    for layer in layers:
        tree.begin_layer()
        for path, link in layer.items():
            tree.add(path, link)
    return tree


def test_links_are_followed_inside_the_image() -> None:
    tree = tree_of(
        {
            "usr/bin/python3.11": None,
            "usr/bin/python3": "python3.11",
            "bin": "usr/bin",
            "alternative": "/bin/python3",
            "up": "../../../usr/bin/python3",
        }
    )
    for path in ("bin/python3", "/bin/python3", "alternative", "up", "usr/../bin//python3"):
        assert tree.resolved(path) == "usr/bin/python3.11"
    assert tree.resolved("bin/python2") is None


def test_links_in_a_circle_lead_nowhere() -> None:
    tree = tree_of({"a": "b", "b": "a"})
    assert tree.resolved("a") is None


def test_a_file_below_a_linked_folder_lies_where_the_link_leads() -> None:
    tree = tree_of({"usr/lib/x": None, "usr/lib": None, "lib": "usr/lib"}, {"lib/y": None})
    assert tree.resolved("lib/y") == "usr/lib/y"


def test_a_whiteout_takes_away_what_lies_below() -> None:
    tree = tree_of(
        {"opt": None, "opt/a": None, "opt/b/c": None, "opt/bc": None},
        {"opt/.wh.b": None, "./opt/new": None},
    )
    assert ["opt/a" in tree, "opt/b/c" in tree, "opt/bc" in tree] == [True, False, True]
    assert "opt/new" in tree


@pytest.mark.parametrize("order", [1, -1], ids=["marker first", "marker last"])
def test_an_opaque_folder_keeps_what_its_own_layer_adds(order: int) -> None:
    upper: dict[str, str | None] = dict([("opt/.wh..wh..opq", None), ("opt/a", None)][::order])
    tree = tree_of({"opt": None, "opt/a": None, "opt/b": None, "optional": None}, upper)
    assert ["opt/a" in tree, "opt/b" in tree, "optional" in tree] == [True, False, True]


@pytest.mark.parametrize("path", ["../etc/passwd", "/etc/passwd", "opt/../../x", "a\0b"])
def test_a_path_that_leads_out_is_refused(path: str) -> None:
    with pytest.raises(CorruptPackageError, match="leads out of the image"):
        Tree().add(path)


def test_too_many_names_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tree, "NAMES_LIMIT", 2)
    with pytest.raises(CorruptPackageError, match="more than 2 files"):
        tree_of({"a": None, "b": None, "c": None})
