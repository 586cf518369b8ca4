"""Runs queries in one Spark session, one after the other: `python server.py DIRECTORY`.

Each line of standard input is a task as JSON; each line of standard output says how many seconds
it took, from the first call until all answers are written. A task is

- `sql`: the query; it reads the views `events`, `bids` and `ads`;
- `events`, `ads`: a folder of Parquet files, and one such file or null;
- `time`, `lateness`: the column of the time of an event, and how late one may be;
- `output`: a folder that is not there yet, for Parquet files;
- `files_per_trigger`: how many files a micro-batch takes; null for one batch query without a state
  that is kept.

DIRECTORY is for what Spark writes on the way.
"""

from __future__ import annotations

import json
import sys
import time
from tempfile import TemporaryDirectory

from pyspark.sql import DataFrame, SparkSession

# Of the two that Spark has for files of this machine, the quicker one.
CHECKPOINTS = (
    "org.apache.spark.sql.execution.streaming.checkpointing.FileSystemBasedCheckpointFileManager"
)
BIDS = """
    SELECT bid_auction AS auction, bid_bidder AS bidder, bid_price AS price, date_time,
        bid_extra AS extra
    FROM events WHERE event_type = 2
"""


def session(directory: str) -> SparkSession:
    """Spark on two cores: as many partitions of state as cores, and no page for people."""
    settings = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": "6g",
        "spark.local.dir": directory,
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.streaming.checkpointFileManagerClass": CHECKPOINTS,
        "spark.sql.warehouse.dir": f"{directory}/warehouse",
        "spark.ui.enabled": "false",
    }
    builder = SparkSession.builder.master("local[2]").appName("streams")
    for name, value in settings.items():
        builder = builder.config(name, value)
    found = builder.getOrCreate()
    found.sparkContext.setLogLevel("ERROR")
    return found


def answers(spark: SparkSession, task: dict) -> DataFrame:
    """The query over its views."""
    schema = spark.read.parquet(task["events"]).schema
    if task["files_per_trigger"] is None:
        events = spark.read.schema(schema).parquet(task["events"])
    else:
        reader = spark.readStream.schema(schema)
        reader = reader.option("maxFilesPerTrigger", task["files_per_trigger"])
        events = reader.parquet(task["events"])
    events = events.withWatermark(task["time"], task["lateness"])
    events.createOrReplaceTempView("events")
    if "bid_auction" in events.columns:
        spark.sql(BIDS).createOrReplaceTempView("bids")
    if task["ads"] is not None:
        spark.read.parquet(task["ads"]).createOrReplaceTempView("ads")
    return spark.sql(task["sql"])


def run(spark: SparkSession, task: dict, directory: str) -> None:
    """Answers a task, until all is written."""
    found = answers(spark, task)
    if task["files_per_trigger"] is None:
        found.write.parquet(task["output"])
        return
    with TemporaryDirectory(prefix="checkpoint-", dir=directory) as checkpoint:
        writer = found.writeStream.format("parquet").outputMode("append")
        writer = writer.option("checkpointLocation", checkpoint).trigger(availableNow=True)
        writer.start(task["output"]).awaitTermination()


def main() -> None:
    directory = sys.argv[1]
    spark = session(directory)
    java = spark.sql("SELECT java_method('java.lang.System', 'getProperty', 'java.version')")
    print(json.dumps({"java": java.first()[0]}), flush=True)
    for line in sys.stdin:
        task = json.loads(line)
        began = time.perf_counter()
        run(spark, task, directory)
        print(json.dumps({"seconds": time.perf_counter() - began}), flush=True)
    spark.stop()


if __name__ == "__main__":
    main()
