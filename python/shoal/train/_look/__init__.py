"""The data report: what is in the records, before anything is trained on them.

- `_look`: what a user calls. `_records`, `_files`: whatever was given, as micro-batches.
- All records: `_totals`, `_counts`, `_repeats`; a seeded sample of them (`_sample`): all the rest.
- `_coded`, `_targets`: columns of the sample as numbers and codes, and what is to be predicted.
- `_associations`, `_power`, `_leaks`, `_suspects`: what columns tell of the target, and which tell
  too much.
- `_distributions`, `_absences`, `_drifts`, `_findings`: how values lie, and what to look at first.
- `_facts`: the report as plain values; `_pages`, `_tables`, `_pictures`: as one page.
"""

__all__: list[str] = []
