"""Files in a store are collected as those of a disk are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shoal import train

if TYPE_CHECKING:
    from pathlib import Path

pytest_plugins = ["tests.services.store"]
BUCKET = "records"


def test_files_of_a_store_give_the_digest_of_files_on_disk(store: Any, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(3):
        text = "n,word\n" + "".join(f"{row},w{row % 5}\n" for row in range(number * 9, 99))
        (tmp_path / "in" / f"{number}.csv").write_text(text)
        store.put_object(Bucket=BUCKET, Key=f"in/{number}.csv", Body=text.encode())
    here = train.collect(tmp_path / "in", tmp_path / "here")
    there = train.collect(f"s3://{BUCKET}/in", tmp_path / "there")
    assert there.digest == here.digest
    assert there.lineage["inputs"][0]["files"] == f"s3://{BUCKET}/in"
    assert there.lineage["inputs"][0]["digest"] == here.lineage["inputs"][0]["digest"]
