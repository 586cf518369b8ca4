"""Where the sealed package goes, and what may be replaced there.

The new package is built beside its place and moved in when it is whole, so a run that fails leaves
the package of the run before it. Only an empty directory or a package named `digits` is ever
replaced.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from shoal import package
from shoal.errors import InvalidRequestError, PackageError

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from shoal.package import Package
    from shoal.quickstart._digits import Rows

NAME = "digits"
INPUT = "X"
VERSION = "1"


def seal(model: Pipeline, *, proof: Rows, output: Path) -> Package:
    """Build the package, proved on rows the model was not fitted on; one input `X` of shape [64].

    Raises:
        InvalidRequestError: `output` holds something that is not a package named `digits`.
        ProofError: the exported model disagrees with the original.
    """
    _refuse_strangers(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-") as place:
        built = Path(place) / "new"
        package.build(model, name=NAME, version=VERSION, output=built, example=_table(proof))
        if output.exists():
            output.rename(Path(place) / "old")
        shutil.move(built, output)
    return package.open(output)


def _table(rows: Rows) -> object:
    import pyarrow as pa

    column = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])
    return pa.record_batch({INPUT: column})


def _refuse_strangers(output: Path) -> None:
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    try:
        found = f"a package named {package.open(output).description.name!r}"
    except PackageError:
        found = "something that is not a package"
    if found != f"a package named {NAME!r}":
        message = f"{output} holds {found}; the quickstart replaces only a package named {NAME!r}"
        raise InvalidRequestError(message, hint="choose another directory with --output")
