"""The data report: what is in the records, before anything is trained on them.

- `_look`: what a user calls. `_read`: whatever was given, as micro-batches, and a sample of it.
- All records: `_totals`, `_counts`, `_repeats`; the seeded sample of them: all the rest.
- `_coded`, `_targets`: columns of the sample as numbers and codes, and what is to be predicted.
- `_associations`, `_power`, `_leaks`, `_suspects`: what columns tell of the target, and which tell
  too much.
- `_distributions`, `_absences`, `_drifts`, `_findings`: how values lie, and what to look at first.
- `_facts`: the report as plain values; `_page`: as one page.
"""

from importlib.util import find_spec

from shoal.errors import RequirementError

__all__: list[str] = []

# Found, not loaded: a look that was written is read without them.
for _library in ("pandas", "scipy", "sklearn"):
    if find_spec(_library) is None:
        _message = f"data is looked at by the package {_library}, which is not installed"
        raise RequirementError(_message, hint="pip install 'shoal[train]'")
