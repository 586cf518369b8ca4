"""The first minute: train a real model, seal it, serve it, and check thousands of answers.

`run()` does all of it and gives a `Report`; nothing is left running when it returns, and the
sealed package stays in the directory the report names. Importing this room loads nothing of the
machinery it drives.
"""

from shoal.quickstart._report import Report
from shoal.quickstart._run import Progress, run

__all__ = ["Progress", "Report", "run"]
