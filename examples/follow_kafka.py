"""Follows orders on a Kafka topic, and says on another one which shops have a rush, each time once.

Sliding windows give features of each shop: how many orders there are in half a minute, and of which
sums. A sealed model answers each window. The orders are made up and sent while it runs.

Run it: `pip install 'shoal[kafka,train]'`, then `python examples/follow_kafka.py localhost:9092`.
"""

from __future__ import annotations

import json
import sys
import tempfile
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its __all__
    AdminClient,
    NewTopic,
)
from sklearn.linear_model import LogisticRegression

from shoal import batch, package
from shoal.pipeline import Pipeline, sliding
from shoal.source import ConsoleSink, KafkaSink, KafkaSource

ORDER = pa.schema({"at": pa.timestamp("ms", "UTC"), "shop": pa.string(), "total": pa.float64()})
OPENED = datetime(2026, 5, 4, 8, tzinfo=UTC)
SECONDS, RUSH_SECONDS = 180, range(60, 120)
RUSH_ORDERS = 45  # in half a minute


def send_orders(servers: str, topic: str) -> int:
    """Three shops for three minutes; in the second one, everybody wants to buy in the north."""
    random, producer, sent = np.random.default_rng(1), Producer({"bootstrap.servers": servers}), 0
    for second in range(SECONDS):
        for shop in ("north", "south", "west"):
            is_rush = shop == "north" and second in RUSH_SECONDS
            for _ in range(random.poisson(3 if is_rush else 0.5)):
                at, total = OPENED + timedelta(seconds=second), round(random.gamma(2, 20), 2)
                order = {"at": at.isoformat(), "shop": shop, "total": total}
                producer.produce(topic, json.dumps(order), key=shop)
                sent += 1
    producer.flush()
    return sent


def train(output: Path) -> None:
    """Seals a model that knows a rush by the number of orders and their sums."""
    random = np.random.default_rng(2)
    mean = random.gamma(40, 1, 600)
    rows = pd.DataFrame({"count": random.integers(0, 120, 600), "mean": mean, "high": 2 * mean})
    kinds = np.where(rows["count"] > RUSH_ORDERS, "rush", "calm")
    model = LogisticRegression(max_iter=1000).fit(rows, kinds)
    package.build(model, name="rush", version="1", output=output, example=rows[:250])


def features(windows: pa.RecordBatch) -> pa.Table:
    """What the model takes: of the quantiles, the one; and what goes along."""
    table = pa.Table.from_batches([windows.select(["shop", "window_end", "count", "mean"])])
    return table.append_column("high", pc.list_element(windows["quantiles_total"], 0))


def text(records: pa.RecordBatch) -> dict[str, pa.Array]:
    """The value of a record of Kafka."""
    return {"answer": records["value"].cast(pa.string())}


def follow(servers: str, orders: str, answers: str, place: Path) -> None:
    train(place / "rush")
    pipeline = (
        Pipeline(KafkaSource(servers, orders, columns=ORDER))
        .key_by("shop")
        .window(sliding("30s", "15s"), on="at", lateness="1s")
        .aggregate(
            batch.count(), batch.mean("total", name="mean"), batch.quantiles("total", (0.9,))
        )
        .map(features)
        .map(place / "rush", keep=["shop", "window_end", "count"])
        .to(KafkaSink(servers, answers, key="shop"))
    )
    with pipeline.start(place / "rush.shoal") as running:
        sent = send_orders(servers, orders)
        while running.totals[0] < sent:
            running.wait(0.05)
    show = Pipeline(KafkaSource(servers, answers)).map(text).to(ConsoleSink(form="json"))
    with show.start() as showing:
        while showing.totals[0] < running.totals[1]:
            showing.wait(0.05)


def main() -> None:
    admin = AdminClient({"bootstrap.servers": sys.argv[1]})
    run = uuid.uuid4().hex[:8]
    orders, answers = f"shoal-example-orders-{run}", f"shoal-example-answers-{run}"
    for made in admin.create_topics([NewTopic(orders, 1), NewTopic(answers, 1)]).values():
        made.result()
    with tempfile.TemporaryDirectory() as place:
        follow(sys.argv[1], orders, answers, Path(place))


if __name__ == "__main__":
    main()
