"""`make chart`: every combination of what the chart is used with, rendered, validated, and checked by the gateway."""

import itertools
import sys
import tempfile
from pathlib import Path

from tests.kubernetes.charts import Document, check, lay_out, render, validate
from tests.kubernetes.test_chart import FACTORS


def main() -> int:
    """The number of combinations that are wrong."""
    wrong = 0
    rows = list(itertools.product(*FACTORS))
    for row in rows:
        values: Document = {}
        for factor, name in zip(FACTORS, row, strict=True):
            values |= factor[name]
        with tempfile.TemporaryDirectory() as place:
            documents = render(values, Path(place))
            validate(documents)
            done = check(lay_out(documents, Path(place) / "pod"))
        if done.returncode or done.stderr:
            wrong += 1
            print("-".join(row), done.stderr.strip())
    print(f"{len(rows)} combinations, {wrong} wrong")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
