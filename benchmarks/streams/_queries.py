"""The queries, as pipelines. What each of them answers is said in SQL in `_answers`.

- Each takes the folder of its events and gives a pipeline without a sink.
- Events come in order, save those of YSB with skew: how late one may be is 4 s in Nexmark, as in
  the original, and a little more than a minute in YSB.
- q1 and q17 count money in doubles and whole cents, where the original has decimals.
- q17 is made of windows of one day: their answers come once a day, not anew with each bid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.streams import _nexmark, _ysb
from shoal import batch
from shoal.pipeline import Pipeline, session, sliding, tumbling
from shoal.source import FileSource

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    Records: TypeAlias = pa.RecordBatch
    Columns: TypeAlias = Mapping[str, Any]

LATENESS, YSB_LATENESS = "4s", "61s"
EURO = 0.908
RANKS = (0.0, 10_000.0, 1_000_000.0, np.inf)


def ysb(folder: Path) -> Pipeline:
    """How often advertisements of each campaign were seen, every ten seconds."""
    source = FileSource(folder).select("event_type", "ad_id", "event_time")
    seen = Pipeline(source).filter(pc.field("event_type") == "view").map(advertisement)
    counted = seen.lookup(_ysb.ads(seed=0), on="ad_id", missing="drop").key_by("campaign_id")
    windows = counted.window(tumbling("10s"), on="event_time", lateness=YSB_LATENESS)
    return windows.aggregate(batch.count())


def q0(folder: Path) -> Pipeline:
    """All bids."""
    return _bids(folder, "auction", "bidder", "price", "extra")


def q1(folder: Path) -> Pipeline:
    """All bids, in another currency."""
    return _bids(folder, "auction", "bidder", "price", "extra").map(in_euro)


def q2(folder: Path) -> Pipeline:
    """Bids on some auctions."""
    return _bids(folder, "auction", "price").filter(is_chosen).map(auction_and_price)


def q5(folder: Path) -> Pipeline:
    """The auctions with the most bids of the last ten seconds, every two seconds."""
    hot = _bids(folder, "auction").key_by("auction")
    counts = hot.window(sliding("10s", "2s"), on="date_time", lateness=LATENESS)
    most = counts.aggregate(batch.count()).window(tumbling("2s"))
    return most.aggregate(batch.top(1, "count", ["auction"], ties=True)).map(hottest)


def q7(folder: Path) -> Pipeline:
    """The highest bids of each ten seconds."""
    bids = _bids(folder, "auction", "bidder", "price", "extra")
    windows = bids.window(tumbling("10s"), on="date_time", lateness=LATENESS)
    told = ["auction", "bidder", "date_time", "extra"]
    return windows.aggregate(batch.top(1, "price", told, ties=True)).map(highest)


def q8(folder: Path) -> Pipeline:
    """People who came and opened an auction within the same ten seconds."""
    source = FileSource(folder).select(
        "event_type", "date_time", "person_id", "person_name", "auction_seller"
    )
    either = Pipeline(source).filter(pc.field("event_type") != _nexmark.BID).map(people_and_sellers)
    windows = either.key_by("id").window(tumbling("10s"), on="date_time", lateness=LATENESS)
    joined = windows.aggregate(batch.max("name", name="name"), batch.count("seller"))
    return joined.filter(is_in_both).map(newcomers)


def q11(folder: Path) -> Pipeline:
    """How many bids each bidder made in one go."""
    bids = _bids(folder, "bidder").key_by("bidder")
    return bids.window(session("10s"), on="date_time", lateness=LATENESS).aggregate(batch.count())


def q17(folder: Path) -> Pipeline:
    """The bids of each auction and day."""
    bids = _bids(folder, "auction", "price").key_by("auction")
    days = bids.window(tumbling("1d"), on="date_time", lateness=LATENESS)
    price = [merge("price") for merge in (batch.min, batch.max, batch.mean, batch.sum)]
    ranks = batch.histogram("price", edges=RANKS, name="rank")
    return days.aggregate(batch.count(), ranks, *price).map(by_rank)


QUERIES: dict[str, Callable[[Path], Pipeline]] = {
    each.__name__: each for each in (ysb, q0, q1, q2, q5, q7, q8, q11, q17)
}


def _bids(folder: Path, *columns: str) -> Pipeline:
    names = (f"bid_{name}" for name in columns)
    source = FileSource(folder).select("event_type", "date_time", *names)
    return Pipeline(source).filter(pc.field("event_type") == _nexmark.BID).map(bids)


def bids(records: Records) -> Records:
    """Only the columns of bids, by their own names."""
    kept = records.drop_columns(["event_type"])
    return kept.rename_columns([name.removeprefix("bid_") for name in kept.schema.names])


def advertisement(records: Records) -> Records:
    """Which advertisement it was, and when."""
    return records.select(["ad_id", "event_time"])


def in_euro(records: Records) -> Records:
    """Bids whose price is in euros."""
    place = records.schema.get_field_index("price")
    price = pc.multiply(records.column("price").cast(pa.float64()), EURO)
    return records.set_column(place, "price", price)


def is_chosen(records: Records) -> Any:
    """Whether a bid is on one of the auctions that are asked for."""
    return records.column("auction").to_numpy() % 123 == 0


def auction_and_price(records: Records) -> Records:
    """Only these two."""
    return records.select(["auction", "price"])


def hottest(windows: Records) -> Columns:
    """One record for each of the auctions of a window."""
    most, window = _rows(windows.column("top"))
    columns = {name: most.field(name) for name in ("auction", "count")}
    return {**columns, "window_end": windows.column("window_end").take(window)}


def highest(windows: Records) -> Columns:
    """One record for each of the bids of a window."""
    most, _ = _rows(windows.column("top"))
    names = ("auction", "bidder", "price", "date_time", "extra")
    return {name: most.field(name) for name in names}


def _rows(lists: pa.Array) -> tuple[pa.StructArray, pa.Array]:
    """What the lists of a column hold, and the row of each."""
    return lists.flatten(), pc.list_parent_indices(lists)


def people_and_sellers(records: Records) -> Columns:
    """A person by its id and its name; an auction by its seller, whose name is not known."""
    seller = records.column("auction_seller")
    return {
        "date_time": records.column("date_time"),
        "id": pc.coalesce(records.column("person_id"), seller),
        "name": records.column("person_name"),
        "seller": seller,
    }


def is_in_both(windows: Records) -> pa.Array:
    """Whether somebody came and was a seller."""
    return pc.and_(windows.column("name").is_valid(), pc.greater(windows.column("count_seller"), 0))


def newcomers(windows: Records) -> Records:
    """Who it was, and in which window."""
    return windows.select(["id", "name", "window_start"])


def by_rank(days: Records) -> Columns:
    """The counts of low, middle and high prices in columns of their own."""
    ranks = days.column("rank").flatten().to_numpy().reshape(-1, len(RANKS) - 1)
    names = ["auction", "window_start", "count"]
    columns = {name: days.column(name) for name in names}
    columns |= {f"rank{number + 1}": pa.array(rank) for number, rank in enumerate(ranks.T)}
    return columns | {name: days.column(name) for name in days.schema.names if "_price" in name}
