"""Keeps a table of PostgreSQL up to date with what sensors say over MQTT, second by second.

A sensor that has just been switched on says 85 degrees, which is no temperature: such readings are
left out. Each window is one row, by sensor and second; a window that is sent again takes the place
of its row. The readings are made up and published here.

Run it: `pip install 'shoal[mqtt,postgres]'`, then
`python examples/sensors_to_postgres.py localhost:1883 'host=localhost dbname=postgres user=me'`.
It goes on where it was, in the directory `sensors.shoal`.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import sys
from datetime import UTC, datetime

import aiomqtt
import psycopg
import pyarrow as pa
import pyarrow.compute as pc

from shoal import batch
from shoal.pipeline import Options, Pipeline, tumbling
from shoal.source import Broker, MqttSource, PostgresSink

READING = pa.schema(
    {"time": pa.timestamp("us", "UTC"), "sensor": pa.string(), "celsius": pa.float64()}
)
SENSORS = ("kitchen", "cellar")
READINGS, OF_THEM_NONSENSE, NONSENSE = 60, 5, 85.0
PAUSE_SECONDS = 0.05
FOUND = "select sum(count) from shoal_example where window_end > %s"


async def publish(host: str, port: int) -> None:
    """Three seconds of readings; the first of each sensor are nonsense."""
    draw = random.Random(3)
    async with aiomqtt.Client(host, port) as client:
        for number in range(READINGS):
            for sensor in SENSORS:
                celsius = 20 + math.sin(number / 9) + draw.random()
                if number < OF_THEM_NONSENSE:
                    celsius = NONSENSE
                time = datetime.now(UTC).isoformat()
                reading = {"time": time, "sensor": sensor, "celsius": round(celsius, 2)}
                await client.publish(f"sensors/{sensor}", json.dumps(reading), qos=1)
            await asyncio.sleep(PAUSE_SECONDS)


def follow(host: str, port: int, conninfo: str) -> None:
    source = MqttSource(
        Broker(host, port), ["sensors/+"], client_id="shoal-example", columns=READING
    )
    pipeline = (
        Pipeline(source)
        .filter(pc.field("celsius") < NONSENSE)
        .key_by("sensor")
        .window(tumbling("1s"), on="time", lateness="100ms")
        .aggregate(batch.count(), batch.mean("celsius"), batch.max("celsius", name="hottest"))
        .to(PostgresSink(conninfo, "shoal_example", keys=["sensor", "window_start"]))
    )
    began, sent = datetime.now(UTC), len(SENSORS) * (READINGS - OF_THEM_NONSENSE)
    # Once nothing comes any more, the last windows end by the clock.
    options = Options(idle_after_seconds=1)
    with (
        pipeline.start("sensors.shoal", options=options) as running,
        psycopg.connect(conninfo, autocommit=True) as database,
    ):
        asyncio.run(publish(host, port))
        while database.execute(FOUND, [began]).fetchone() != (sent,):
            running.wait(0.1)
        for row in database.execute("table shoal_example order by window_start, sensor"):
            print(*row)


def main() -> None:
    address, conninfo = sys.argv[1:]
    host, _, port = address.partition(":")
    follow(host, int(port or 1883), conninfo)


if __name__ == "__main__":
    main()
