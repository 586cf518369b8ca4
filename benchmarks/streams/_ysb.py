"""Events of the Yahoo Streaming Benchmark: advertisements seen, clicked, and what was bought.

- 100 campaigns have 10 advertisements each; 100 users and 100 pages; every choice is uniform.
- One event comes every `1 / events_per_second`, in whole milliseconds.
- With `skew`, the time of an event is up to 50 ms off, and one in 100,000 is up to a minute late.
- The same shape gives the same events, as in `_nexmark`.

The original sends events as JSON through Kafka, with the time as a text; here they are rows of
Parquet files, with the time as a timestamp, so that what is measured is the query. Its table from
advertisements to campaigns lies in Redis; here it is a table in memory.

Source: yahoo/streaming-benchmarks, data/src/setup/core.clj, `make-kafka-event-at`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from benchmarks.streams._shape import moments
from benchmarks.streams._texts import chosen, identities

if TYPE_CHECKING:
    from benchmarks.streams._shape import Shape

CAMPAIGNS, ADS_OF_A_CAMPAIGN = 100, 10
USERS = PAGES = 100
AD_TYPES = ("banner", "modal", "sponsored-search", "mail", "mobile")
EVENT_TYPES = ("view", "click", "purchase")
SKEW_MS, LATE_MS, LATE_EVERY = 50, 60_000, 100_000


def ads(seed: int) -> pa.Table:
    """The campaign of each advertisement."""
    random = np.random.default_rng(seed)
    campaigns = identities(random, CAMPAIGNS)
    return pa.table(
        {
            "ad_id": identities(random, CAMPAIGNS * ADS_OF_A_CAMPAIGN),
            "campaign_id": [each for each in campaigns for _ in range(ADS_OF_A_CAMPAIGN)],
        }
    )


def events(shape: Shape, start: int, end: int, *, skew: bool = False) -> pa.Table:
    """The events from one number up to another."""
    rows = end - start
    pools = np.random.default_rng([shape.seed, CAMPAIGNS])
    users, pages = identities(pools, USERS), identities(pools, PAGES)
    random = np.random.default_rng([shape.seed, start])
    times = shape.times_ms(np.arange(start, end))
    if skew:
        times = times + SKEW_MS - random.integers(0, 2 * SKEW_MS, rows)
        is_late = random.integers(0, LATE_EVERY, rows) == 0
        times = times - is_late * random.integers(0, LATE_MS, rows)
    return pa.table(
        {
            "user_id": chosen(random, rows, users),
            "page_id": chosen(random, rows, pages),
            "ad_id": chosen(random, rows, ads(shape.seed)["ad_id"].to_pylist()),
            "ad_type": chosen(random, rows, AD_TYPES),
            "event_type": chosen(random, rows, EVENT_TYPES),
            "event_time": moments(times),
            "ip_address": pa.array(["1.2.3.4"] * rows),
        }
    )
