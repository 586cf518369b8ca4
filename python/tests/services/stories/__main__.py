"""Runs the server of the stories: `python -m tests.services.stories DIRECTORY`; see stories.toml.

It says where it listens in one line of JSON, and ends when its standard input does.
"""

from __future__ import annotations

import json
import sys
import tempfile
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from tests.services.stories.packages import sealed
from tests.services.stories.stage import Stage

WORDS = (
    *("hold", "open", "fill", "restart", "kill", "start"),
    *("cut", "lose", "forget", "seen", "waiting", "secure"),
)


def controlled(stage: Stage) -> ThreadingHTTPServer:
    """A server of HTTP, whose paths are words for the stage; pages of any origin may ask."""

    class Control(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            word = self.path.removeprefix("/")
            if word not in WORDS:
                self.answer(404, {"error": f"there is no word {word!r}; known are {WORDS}"})
                return
            try:
                self.answer(200, getattr(stage, word)() or {})
            except (AssertionError, OSError):
                self.answer(500, {"error": traceback.format_exc()})

        def answer(self, status: int, said: object) -> None:
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Access-Control-Allow-Origin", "*")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    return ThreadingHTTPServer(("127.0.0.1", 0), Control)


def main(directory: Path) -> None:
    """Serves until standard input ends."""
    directory.mkdir(parents=True, exist_ok=True)
    packages = sealed(directory)
    with tempfile.TemporaryDirectory() as notes:
        stage = Stage(packages, Path(notes))
        control = controlled(stage)
        Thread(target=control.serve_forever, daemon=True).start()
        try:
            port = control.server_address[1]
            said = {**stage.addresses, "control": f"127.0.0.1:{port}"}
            print(json.dumps(said), flush=True)  # noqa: T201 - what the caller reads
            sys.stdin.read()
        finally:
            stage.close()
            control.shutdown()
            control.server_close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
