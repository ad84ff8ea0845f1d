"""Runs the sweep and writes the outcomes: `python -m tests.sweep [--only TEXT] [--table FILE]`.

Prints one line a case. With `--table`, the table between the two marks of that file is replaced.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.sweep.case import Case
from tests.sweep.cases import cases
from tests.sweep.compare import Outcome, compare
from tests.sweep.table import table, with_table


def run_case(case: Case, folder: Path) -> Outcome:
    """The outcome of a case; any exception is an outcome too."""
    path = None
    try:
        path = case.write(folder)
        return compare(case, path)
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        message = re.sub(r"\s+", " ", f"{type(error).__name__}: {error}")[:300]
        return Outcome("CRASHED", wrong=[f"{message} ({Path(frame.filename).name}:{frame.lineno})"])
    finally:
        if path is not None:
            path.unlink(missing_ok=True)


def select_cases(text: str, share: float) -> list[Case]:
    """The cases whose name matches, or a fixed share of them."""
    matches = [case for case in cases() if re.search(text, case.name)]
    return [case for case in matches if position_of(case) < share]


def position_of(case: Case) -> float:
    """A number from 0 to 1 that depends on the name alone."""
    return int(hashlib.sha256(case.name.encode()).hexdigest()[:8], 16) / 0xFFFFFFFF


def main() -> int:
    """Runs the selected cases; returns 1 if something was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.sweep", description=__doc__)
    parser.add_argument("--only", default="", help="a regular expression that names match")
    parser.add_argument("--share", type=float, default=1.1, help="of all cases, by their names")
    parser.add_argument("--table", type=Path, help="a file with marks, whose table is replaced")
    parser.add_argument("--keep", type=Path, help="only write the files here")
    arguments = parser.parse_args()
    outcomes: dict[Case, Outcome] = {}
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sweep-") as folder:
        for case in select_cases(arguments.only, arguments.share):
            if arguments.keep is not None:
                arguments.keep.mkdir(parents=True, exist_ok=True)
                print(case.write(arguments.keep))
                continue
            outcomes[case] = run_case(case, Path(folder))
            print(f"{case.name} | {outcomes[case]}", flush=True)
    if arguments.table is not None:
        arguments.table.write_text(with_table(arguments.table.read_text(), table(outcomes)))
    bad = sum(outcome.verdict not in ("ok", "refused") for outcome in outcomes.values())
    print(
        f"{len(outcomes)} files, {bad} not as stated, {time.monotonic() - started:.0f} s",
        file=sys.stderr,
    )
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
