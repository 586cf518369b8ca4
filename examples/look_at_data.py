"""Is anything wrong with these records? Plants three mistakes in known data and finds them.

Run it: `python examples/look_at_data.py`; then open `report.html`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from sklearn.datasets import load_breast_cancer

from shoal import train


def main() -> None:
    records = records_with_mistakes()
    look = train.look(records, target="malignant")
    Path("report.html").write_text(train.to_html(look), "utf-8")

    for suspect in look.suspects:
        print(f"suspect {suspect.column}: {suspect.why}")
    for finding in look.findings:
        if finding.kind in {"repeated", "missing_together"}:
            print(f"{finding.kind}: {finding.why}")

    told = [column for column in look.columns if column.power is not None]
    innocent = {column.name for column in told} - {suspect.column for suspect in look.suspects}
    best = max((look.column(name) for name in innocent), key=lambda column: column.power or 0.0)
    print(f"of the others, {best.name} tells most: {best.power:.2f} of 1")


def records_with_mistakes() -> pa.Table:
    """Tumours with a treatment that only the ill were given, a patient's number, and copies."""
    data = load_breast_cancer(as_frame=True)
    is_ill = data.target.to_numpy() == 0
    rng = np.random.default_rng(0)
    records = pa.table({name: data.data[name].to_numpy() for name in data.data.columns[:8]})
    treatment = pa.array(rng.choice(["surgery", "radiation"], len(is_ill)), mask=~is_ill)
    records = records.append_column("treatment", treatment)
    records = records.append_column("patient", pa.array(10_000 + rng.permutation(len(is_ill))))
    records = records.append_column("malignant", pa.array(is_ill))
    return pa.concat_tables([records, records.slice(0, 20)])


if __name__ == "__main__":
    main()
