"""Words on the command line -> calls of the rooms below; no logic.

Rules: results go to stdout, everything else to stderr; with `--json` stdout carries exactly one
JSON object, and an error is one JSON object on stderr. No user error shows a traceback. Exit
codes: 0 done; 1 the thing that was tried failed; 2 the words or the input were wrong; 3 a defect
of this program, with its traceback. Rooms are imported inside the commands, so `--help` loads none
of them.
"""

import signal


def main() -> None:
    """Run the command line of this process, and end it with the exit code of the command."""
    heard = signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing has begun: no traceback is owed
    from shoal.cli._main import app

    app(prog_name="shoal", obj=heard)


__all__ = ["main"]
