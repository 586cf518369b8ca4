"""The queries in Spark's SQL, as streams and as batches alike.

What the original says as joins are aggregates here, as in `_queries`: q5 and q7 gather the
candidates of a window and keep the best, q8 gathers people and sellers. For q7 the join took
Spark about twice as long.
"""

from __future__ import annotations

SQL = {
    "ysb": """
        SELECT campaign_id, window.start AS window_start, window.end AS window_end, count
        FROM (
            SELECT campaign_id, window(event_time, '10 seconds') AS window, count(*) AS count
            FROM events JOIN ads USING (ad_id) WHERE event_type = 'view'
            GROUP BY campaign_id, window(event_time, '10 seconds')
        )
    """,
    "q0": "SELECT date_time, auction, bidder, price, extra FROM bids",
    "q1": "SELECT date_time, auction, bidder, 0.908D * price AS price, extra FROM bids",
    "q2": "SELECT auction, price FROM bids WHERE auction % 123 = 0",
    "q5": """
        SELECT hot.auction, hot.count, window_end
        FROM (
            SELECT window.end AS window_end,
                explode(filter(counts, each -> each.count = most)) AS hot
            FROM (
                SELECT window(window, '2 seconds') AS window, max(count) AS most,
                    collect_list(struct(auction, count)) AS counts
                FROM (
                    SELECT auction, window(date_time, '10 seconds', '2 seconds') AS window,
                        count(*) AS count
                    FROM bids GROUP BY auction, window(date_time, '10 seconds', '2 seconds')
                )
                GROUP BY window(window, '2 seconds')
            )
        )
    """,
    "q7": """
        SELECT inline(filter(all, each -> each.price = most))
        FROM (
            SELECT max(price) AS most,
                collect_list(struct(auction, bidder, price, date_time, extra)) AS all
            FROM bids GROUP BY window(date_time, '10 seconds')
        )
    """,
    "q8": """
        SELECT id, name, window.start AS window_start
        FROM (
            SELECT coalesce(person_id, auction_seller) AS id, max(person_name) AS name,
                count(auction_seller) AS auctions, window(date_time, '10 seconds') AS window
            FROM events WHERE event_type <> 2
            GROUP BY coalesce(person_id, auction_seller), window(date_time, '10 seconds')
        )
        WHERE name IS NOT NULL AND auctions > 0
    """,
    "q11": """
        SELECT bidder, window.start AS window_start, window.end AS window_end, count
        FROM (
            SELECT bidder, session_window(date_time, '10 seconds') AS window, count(*) AS count
            FROM bids GROUP BY bidder, session_window(date_time, '10 seconds')
        )
    """,
    "q17": """
        SELECT auction, window.start AS window_start, count, rank1, rank2, rank3,
            min_price, max_price, mean_price, sum_price
        FROM (
            SELECT auction, window(date_time, '1 day') AS window, count(*) AS count,
                count_if(price < 10000) AS rank1,
                count_if(price >= 10000 AND price < 1000000) AS rank2,
                count_if(price >= 1000000) AS rank3,
                min(price) AS min_price, max(price) AS max_price,
                avg(price) AS mean_price, sum(price) AS sum_price
            FROM bids GROUP BY auction, window(date_time, '1 day')
        )
    """,
}
