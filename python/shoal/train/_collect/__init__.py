"""Data from several places into one dataset with a digest.

- `_collect`: what a user calls; one pass over the first input, the others joined to it.
- `_inputs`, `_files_reader`, `_sql_reader`, `_table_reader`, `_reading`: inputs as micro-batches.
- `_kinds`, `_schema`, `_survey`, `_check`: what columns are, and whether records keep to it.
- `_join`, `_staging`, `_content`: what is joined, written and hashed.
- `_dataset`, `_keep`: what was collected, as a folder and as a package.
"""

__all__: list[str] = []
