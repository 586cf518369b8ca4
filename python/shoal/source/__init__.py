"""Where records come from and where they go: files, folders, requests, brokers, databases.

- A source is read by ranges between offsets, which give the same records whenever they are read.
- A sink shows whole epochs, each exactly once, and remembers where it is.
- Importing this room loads nothing heavy; pyarrow comes with the first source or sink, the client
  of another program with the source or sink that speaks to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shoal.source._listing import ENDINGS, Listing, Stored, listing

if TYPE_CHECKING:
    from shoal.source._contract import (
        Guarantee,
        Limit,
        Offset,
        PlacedSource,
        Sink,
        SinkState,
        Source,
        Split,
        Token,
    )
    from shoal.source._file_source import FileSource
    from shoal.source._files import Files
    from shoal.source._folder import LocalFolder
    from shoal.source._folder_sink import Part
    from shoal.source._json_lines_sink import JsonLinesSink
    from shoal.source._kafka._sink import KafkaSink
    from shoal.source._kafka._source import KafkaSource
    from shoal.source._parquet_sink import ParquetSink
    from shoal.source._pieces import Place, Placed, Refuse, Refused
    from shoal.source._places import folder
    from shoal.source._rate_source import RateSource
    from shoal.source._received._http_poll_source import HttpPollSource
    from shoal.source._received._http_push_source import HttpPushSource
    from shoal.source._received._mqtt_source import Broker, MqttSource
    from shoal.source._spooled._console_sink import ConsoleSink
    from shoal.source._spooled._postgres_sink import PostgresSink

_LAZY = {
    "Broker": "_received._mqtt_source",
    "ConsoleSink": "_spooled._console_sink",
    "FileSource": "_file_source",
    "Files": "_files",
    "Guarantee": "_contract",
    "HttpPollSource": "_received._http_poll_source",
    "HttpPushSource": "_received._http_push_source",
    "JsonLinesSink": "_json_lines_sink",
    "KafkaSink": "_kafka._sink",
    "KafkaSource": "_kafka._source",
    "Limit": "_contract",
    "LocalFolder": "_folder",
    "MqttSource": "_received._mqtt_source",
    "Offset": "_contract",
    "ParquetSink": "_parquet_sink",
    "Part": "_folder_sink",
    "Place": "_pieces",
    "Placed": "_pieces",
    "PlacedSource": "_contract",
    "PostgresSink": "_spooled._postgres_sink",
    "RateSource": "_rate_source",
    "Refuse": "_pieces",
    "Refused": "_pieces",
    "Sink": "_contract",
    "SinkState": "_contract",
    "Source": "_contract",
    "Split": "_contract",
    "Token": "_contract",
    "folder": "_places",
}

__all__ = [
    "ENDINGS",
    "Broker",
    "ConsoleSink",
    "FileSource",
    "Files",
    "Guarantee",
    "HttpPollSource",
    "HttpPushSource",
    "JsonLinesSink",
    "KafkaSink",
    "KafkaSource",
    "Limit",
    "Listing",
    "LocalFolder",
    "MqttSource",
    "Offset",
    "ParquetSink",
    "Part",
    "Place",
    "Placed",
    "PlacedSource",
    "PostgresSink",
    "RateSource",
    "Refuse",
    "Refused",
    "Sink",
    "SinkState",
    "Source",
    "Split",
    "Stored",
    "Token",
    "folder",
    "listing",
]


def __getattr__(name: str) -> Any:
    """Loads what needs pyarrow when it is first asked for."""
    from importlib import import_module

    if name not in _LAZY:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
