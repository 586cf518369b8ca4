# The commands of this project. `just` lists them.

set shell := ["bash", "-euo", "pipefail", "-c"]

# The programs below are the environment's: `uv run just ...` puts them on the PATH. No recipe calls
# `uv run` again, which would check the build a second time.

# The network is used to fetch only; whatever runs afterwards must do without.
export CARGO_NET_OFFLINE := "true"

_list:
    @just --list --unsorted

_fetch:
    @CARGO_NET_OFFLINE=false cargo fetch --locked --quiet

# Check everything: format, lint, types, import rules, Rust tests, Python tests
test: check
    cargo test --locked --workspace --quiet
    # One more than there are cores, up to five: tests wait for servers and disks, too.
    pytest --quiet --numprocesses "$((($(nproc) < 4 ? $(nproc) : 4) + 1))" --dist worksteal

# Check without running tests: format, lint, types, import rules, clippy
check: _fetch
    ruff format --check .
    ruff check .
    uv lock --check --offline --quiet
    python -m tools.house
    lint-imports --no-logo
    mypy
    cargo fmt --all --check
    cargo clippy --locked --workspace --all-targets --quiet -- -D warnings

# Write the format and the safe repairs
fix:
    ruff check --fix .
    ruff format .
    cargo fmt --all

# Full counts: long random tests, fuzzing, kill points, soak; resumable, results in benchmarks/prove
prove *arguments:
    python -m tools.prove {{ arguments }}

# Run one benchmark: just bench serve [--suite quick|peers|loads|forms|footprint|threads|full]
bench name *arguments:
    python benchmarks/run.py {{ name }} {{ arguments }}

# Say which system packages are missing, and what they are for
doctor *arguments:
    python -m tools.doctor {{ arguments }}
