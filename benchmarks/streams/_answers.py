"""What each query answers, said in DuckDB's SQL over the whole set of events.

`events` are the events; `ads`, for YSB, the campaign of each advertisement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb

from benchmarks.streams import _ysb

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

BIDS = """
    SELECT bid_auction AS auction, bid_bidder AS bidder, bid_price AS price, date_time,
        bid_extra AS extra
    FROM events WHERE event_type = 2
"""

ANSWERS = {
    "ysb": """
        SELECT campaign_id, time_bucket(INTERVAL 10 SECONDS, event_time) AS window_start,
            window_start + INTERVAL 10 SECONDS AS window_end, count(*) AS count
        FROM events JOIN ads USING (ad_id) WHERE event_type = 'view' GROUP BY ALL
    """,
    "q0": "SELECT date_time, auction, bidder, price, extra FROM bids",
    "q1": "SELECT date_time, auction, bidder, 0.908::DOUBLE * price AS price, extra FROM bids",
    "q2": "SELECT auction, price FROM bids WHERE auction % 123 = 0",
    "q5": """
        WITH counts AS (
            SELECT auction, count(*) AS count,
                time_bucket(INTERVAL 2 SECONDS, date_time) + nth * INTERVAL 2 SECONDS AS window_end
            FROM bids, range(1, 6) AS ends(nth) GROUP BY ALL
        )
        SELECT auction, count, window_end FROM counts
        QUALIFY count = max(count) OVER (PARTITION BY window_end)
    """,
    "q7": """
        SELECT auction, bidder, price, date_time, extra FROM bids
        QUALIFY price =
            max(price) OVER (PARTITION BY time_bucket(INTERVAL 10 SECONDS, date_time))
    """,
    "q8": """
        WITH people AS (
            SELECT person_id AS id, person_name AS name,
                time_bucket(INTERVAL 10 SECONDS, date_time) AS window_start
            FROM events WHERE event_type = 0
        ), sellers AS (
            SELECT DISTINCT auction_seller AS id,
                time_bucket(INTERVAL 10 SECONDS, date_time) AS window_start
            FROM events WHERE event_type = 1
        )
        SELECT id, name, window_start FROM people JOIN sellers USING (id, window_start)
    """,
    "q11": """
        WITH marked AS (
            SELECT bidder, date_time, lag(date_time) OVER one AS before,
                coalesce(date_time - before > INTERVAL 10 SECONDS, true) AS is_new
            FROM bids WINDOW one AS (PARTITION BY bidder ORDER BY date_time)
        ), numbered AS (
            SELECT bidder, date_time, sum(is_new::INT) OVER one AS number
            FROM marked
            WINDOW one AS (PARTITION BY bidder ORDER BY date_time)
        )
        SELECT bidder, min(date_time) AS window_start,
            max(date_time) + INTERVAL 10 SECONDS AS window_end, count(*) AS count
        FROM numbered GROUP BY bidder, number
    """,
    "q17": """
        SELECT auction, date_trunc('day', date_time) AS window_start, count(*) AS count,
            count(*) FILTER (price < 10_000) AS rank1,
            count(*) FILTER (price >= 10_000 AND price < 1_000_000) AS rank2,
            count(*) FILTER (price >= 1_000_000) AS rank3,
            min(price) AS min_price, max(price) AS max_price,
            sum(price)::DOUBLE / count(*) AS mean_price, sum(price)::BIGINT AS sum_price
        FROM bids GROUP BY ALL
    """,
}

DIFFERENCES = """
    (SELECT 'missing', * FROM (FROM expected EXCEPT ALL FROM given))
    UNION ALL (SELECT 'too many', * FROM (FROM given EXCEPT ALL FROM expected))
    LIMIT 20
"""


class Oracle:
    """Compares folders of answers with what DuckDB says about the events of one folder."""

    def __init__(self, events: Path) -> None:
        self._connection = duckdb.connect()
        self._connection.execute("SET TimeZone = 'UTC'")
        self._connection.register("ads", _ysb.ads(seed=0))
        found = self._connection.read_parquet(f"{events}/*.parquet")
        found.create_view("events")
        if "bid_auction" in found.columns:
            self._connection.sql(BIDS).create_view("bids")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def differences(self, query: str, answers: Path) -> list[tuple[Any, ...]]:
        """Rows that are missing in a folder of Parquet files or too many there, at most 20."""
        expected = self._connection.sql(ANSWERS[query])
        given = self._connection.read_parquet(f"{answers}/*.parquet").select(*expected.columns)
        expected.create_view("expected", replace=True)
        given.create_view("given", replace=True)
        return self._connection.execute(DIFFERENCES).fetchall()
