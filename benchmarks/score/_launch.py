"""Runs a command and says what it used: `python -S _launch.py COMMAND...`.

A child's peak of memory begins with what its parent holds, so the parent is as small as can be.
Prints the output of the command, and then one line: seconds, seconds of processor, bytes.
"""

import os
import sys
import time

if __name__ == "__main__":
    began = time.perf_counter()
    pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
    _, status, used = os.wait4(pid, 0)
    wall_s = time.perf_counter() - began
    print(wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024, flush=True)
    sys.exit(os.waitstatus_to_exitcode(status))
