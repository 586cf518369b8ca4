"""Events of the Nexmark benchmark: people, auctions and bids of an auction house.

- Of each 50 events the first is a person, the next three are auctions, and the others bids.
- Event `n` happens `n / events_per_second` after `base_us`, in whole milliseconds: events come in
  the order of their times.
- Half of all bids are on a hot auction, three of four by a hot bidder; three of four auctions are
  by a hot seller. The others are on one of the last 100 auctions or the next 10, and by one of the
  last 1000 people or the next 10: some people and auctions are heard of before they are there.
- As in the original, the ids of bidders are 1000 too high: its bid generator adds the first id of
  people twice. So a bid joined with people finds the wrong one, or none.
- The same shape gives the same events: each file is made from the seed and the number of its first
  event.

All events are rows of one table: `event_type` 0, 1 or 2, `date_time`, and the columns of people,
auctions and bids, null where the event is of another kind.

Source: nexmark/nexmark, nexmark-flink, package generator, at 6b3646c. Of its choices two are not
copied, for no query sees them: its texts of URLs are not seeded, and its names lose spaces at ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.streams._shape import moments
from benchmarks.streams._texts import chosen, filling, lengths_of, words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.streams._shape import Shape
    from benchmarks.streams._texts import Random

    Integers = NDArray[np.int64]

PERSON, AUCTION, BID = 0, 1, 2
# Of each round of 50 events.
PEOPLE, AUCTIONS, ROUND = 1, 3, 50
FIRST_PERSON = FIRST_AUCTION = 1000
FIRST_CATEGORY, CATEGORIES = 10, 5
# One in so many bids, bids and auctions has no hot auction, bidder, seller.
COLD_AUCTION, COLD_BIDDER, COLD_SELLER = 2, 4, 4
# Of so many in a row, one is hot.
HOT_EVERY = 100
IN_FLIGHT, ACTIVE, LEAD = 100, 1000, 10
PERSON_BYTES, AUCTION_BYTES, BID_BYTES = 200, 500, 100
NUMBER_BYTES = 8
CHANNELS, HOT_CHANNELS = 10_000, ("Google", "Facebook", "Baidu", "Apple")
STATES = ("AZ", "CA", "ID", "OR", "WA", "WY")
CITIES = (
    *("Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland"),
    *("Bend", "Redmond", "Seattle", "Kent", "Cheyenne"),
)
FIRST_NAMES = (
    *("Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter"),
    "Walter",
)
LAST_NAMES = (
    *("Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones"),
    "Noris",
)


def events(shape: Shape, start: int, end: int) -> pa.Table:
    """The events from one number up to another."""
    numbers = np.arange(start, end)
    kinds = np.minimum(np.searchsorted([PEOPLE, PEOPLE + AUCTIONS], numbers % ROUND, "right"), BID)
    random = np.random.default_rng([shape.seed, start])
    columns = {
        "event_type": pa.array(kinds, pa.int32()),
        "date_time": moments(shape.times_ms(numbers)),
    }
    for kind, make in ((PERSON, people), (AUCTION, auctions), (BID, bids)):
        is_kind = kinds == kind
        made = make(random, shape, numbers[is_kind])
        place = pa.array(np.cumsum(is_kind) - 1, mask=~is_kind)
        columns |= {name: array.take(place) for name, array in made.items()}
    return pa.table(columns)


def people(random: Random, _shape: Shape, numbers: Integers) -> dict[str, pa.Array]:
    """The people among these events."""
    rows = len(numbers)
    texts = {
        "person_name": pc.binary_join_element_wise(
            chosen(random, rows, FIRST_NAMES), chosen(random, rows, LAST_NAMES), " "
        ),
        "person_email_address": pc.binary_join_element_wise(
            words(random, rows, 7), "@", words(random, rows, 5), ".com", ""
        ),
        "person_credit_card": pc.binary_join_element_wise(
            *(chosen(random, rows, [f"{four:04}" for four in range(10_000)]) for _ in range(4)), " "
        ),
        "person_city": chosen(random, rows, CITIES),
        "person_state": chosen(random, rows, STATES),
    }
    taken = NUMBER_BYTES + lengths_of(*texts.values())
    ids = pa.array(_last_person(numbers) + FIRST_PERSON)
    return {"person_id": ids, **texts, "person_extra": filling(random, taken, PERSON_BYTES)}


def auctions(random: Random, shape: Shape, numbers: Integers) -> dict[str, pa.Array]:
    """The auctions among these events."""
    rows = len(numbers)
    seller = _person(random, numbers, cold=COLD_SELLER, hot=0)
    initial = _prices(random, rows)
    times = shape.times_ms(numbers)
    horizon = shape.times_ms(numbers + IN_FLIGHT * ROUND // AUCTIONS) - times
    expires = times + 1 + random.integers(0, np.maximum(2 * horizon, 1))
    name, description = words(random, rows, 20), words(random, rows, 100)
    taken = 6 * NUMBER_BYTES + lengths_of(name, description)
    return {
        "auction_id": pa.array(_last_auction(numbers) + FIRST_AUCTION),
        "auction_item_name": name,
        "auction_description": description,
        "auction_initial_bid": pa.array(initial),
        "auction_reserve": pa.array(initial + _prices(random, rows)),
        "auction_expires": moments(expires),
        "auction_seller": pa.array(seller + FIRST_PERSON),
        "auction_category": pa.array(FIRST_CATEGORY + random.integers(0, CATEGORIES, rows)),
        "auction_extra": filling(random, taken, AUCTION_BYTES),
    }


def bids(random: Random, shape: Shape, numbers: Integers) -> dict[str, pa.Array]:
    """The bids among these events."""
    rows = len(numbers)
    last = _last_auction(numbers)
    first = np.maximum(last - IN_FLIGHT, 0)
    is_hot = random.integers(0, COLD_AUCTION, rows) > 0
    cold = random.integers(first, last + 1 + LEAD)
    auction = np.where(is_hot, last // HOT_EVERY * HOT_EVERY, cold)
    # The second of a hundred people, so that hot bidders are not hot sellers.
    bidder = _person(random, numbers, cold=COLD_BIDDER, hot=1)
    channel, url = _channels(shape.seed)
    hot_channel = random.integers(0, len(HOT_CHANNELS), rows)
    any_channel = random.integers(len(HOT_CHANNELS), len(channel), rows)
    chosen_channel = pa.array(np.where(random.integers(0, 2, rows) > 0, hot_channel, any_channel))
    return {
        "bid_auction": pa.array(auction + FIRST_AUCTION),
        "bid_bidder": pa.array(bidder + FIRST_PERSON + FIRST_PERSON),
        "bid_price": pa.array(_prices(random, rows)),
        "bid_channel": channel.take(chosen_channel),
        "bid_url": url.take(chosen_channel),
        "bid_extra": filling(random, np.full(rows, 4 * NUMBER_BYTES), BID_BYTES),
    }


def _last_person(numbers: Integers) -> Integers:
    """The newest person once an event has happened, from 0."""
    return numbers // ROUND


def _last_auction(numbers: Integers) -> Integers:
    """The newest auction once an event has happened, from 0; a person comes before its round's."""
    offset = numbers % ROUND - PEOPLE
    return numbers // ROUND * AUCTIONS + np.minimum(offset, AUCTIONS - 1)


def _person(random: Random, numbers: Integers, *, cold: int, hot: int) -> Integers:
    """A bidder or a seller: a hot one, save for one in `cold`."""
    last = _last_person(numbers)
    active = np.minimum(last + 1, ACTIVE)
    is_hot = random.integers(0, cold, len(numbers)) > 0
    anyone = last + 1 - active + random.integers(0, active + LEAD)
    return np.where(is_hot, last // HOT_EVERY * HOT_EVERY + hot, anyone)


def _prices(random: Random, rows: int) -> Integers:
    """From 1 to a million dollars, in cents; each power of ten as likely as the next."""
    prices: Integers = np.round(10 ** (random.random(rows) * 6) * 100).astype(np.int64)
    return prices


def _channels(seed: int) -> tuple[pa.Array, pa.Array]:
    """Names and URLs of the hot channels, then of all others."""
    random = np.random.default_rng(seed)
    rows = len(HOT_CHANNELS) + CHANNELS
    parts = [pc.replace_substring(words(random, rows, 5), " ", "_") for _ in range(3)]
    url = pc.binary_join_element_wise(
        "https://www.nexmark.com", *parts, "item.htm?query=1", "/"
    ).to_pylist()
    has_id = random.integers(0, 10, rows) > 0
    for number in range(CHANNELS):
        place = len(HOT_CHANNELS) + number
        if has_id[place]:
            url[place] += f"&channel_id={_reversed_bits(number)}"
    names = [*HOT_CHANNELS, *(f"channel-{number}" for number in range(CHANNELS))]
    return pa.array(names), pa.array(url)


def _reversed_bits(number: int) -> int:
    """As Java's `abs(Integer.reverse(number))`."""
    bits = int(f"{number:032b}"[::-1], 2)
    return abs(bits - (1 << 32) if bits >> 31 else bits)
