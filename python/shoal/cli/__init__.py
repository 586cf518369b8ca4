"""Words on the command line -> calls of the rooms below; no logic.

Rules: results go to stdout, everything else to stderr; with `--json` stdout carries exactly one
JSON object, and an error is one JSON object on stderr. No user error shows a traceback. Exit
codes: 0 done; 1 the thing that was tried failed; 2 the words or the input were wrong; 3 a defect
of this program, with its traceback. Rooms are imported inside the commands, so `--help` loads none
of them.
"""

from shoal.cli._main import main

__all__ = ["main"]
