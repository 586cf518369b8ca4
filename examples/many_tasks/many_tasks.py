"""Many tasks in one request, from Python: `python many_tasks.py http://127.0.0.1:8000`.

Different models, different types of data, one envelope; each task has its own answer, or its own
error.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor

from shoal.client import Client, Task


def main(address: str = "http://127.0.0.1:8000") -> None:
    with Client(address) as client:
        ask_many(client)
        ask_together(client)
        for result in client.stream([Task(model="halves", table={"number": [5.0]}, id="later")]):
            print(f"{result.id}: {result.table['half'][0]:g}")
        numbers = [Task(model="halves", table={"number": [number]}) for number in (1.0, 2.0, 6.0)]
        merged = client.run(numbers, merge="mean").merged
        print(f"mean: {merged.table['half'][0] if merged else None}")


def ask_many(client: Client) -> None:
    fruit = {"grams": [9.0, 150.0], "length_cm": [2.1, 8.5]}
    tasks = [
        Task(id="fruit", model="fruit", table=fruit, outputs=["label"]),
        Task(id="price", model="price", table=fruit, outputs=["label"]),
        Task(id="words", model="words", table="said"),
        Task(id="mixed", model="anything", table={"value": ["käse", 3, 2.5, "🐟"]}),
        Task(id="half a fruit", model="fruit", table={"grams": [9.0]}),
    ]
    for result in client.run(tasks, tables={"said": {"word": ["shoal", "a"]}}):
        if result.error is not None:
            print(f"{result.id}: {result.error.code}")
            continue
        records = result.table.to_records()
        said = json.dumps(records, ensure_ascii=False, separators=(",", ":"))
        print(f"{result.id}: {said}, in a micro-batch of {result.batch_rows}")


def ask_together(client: Client) -> None:
    """Calls that threads make at once travel together, too."""

    def letters(word: str) -> int:
        answer: int = client.predict("words", {"word": [word]})["letters"][0]
        return answer

    with ThreadPoolExecutor() as threads:
        print("letters:", *threads.map(letters, ["one", "three", "seven"]))


if __name__ == "__main__":
    main(*sys.argv[1:])
