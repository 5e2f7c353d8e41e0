"""`make bench PEERS=1`: ours beside the others; the results are kept, and `make docs` writes
docs/performance.md from them."""

import argparse
import subprocess
import sys
import time
from functools import partial

from bench.__main__ import ROOT, on_a_copy
from bench.peers import page, run
from bench.peers.data import sets


def main() -> None:
    names = tuple(each.name for each in sets(100))
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"of: {', '.join(names)}; else all")
    parser.add_argument("--megabytes", type=int, default=1000, help="of all sets together")
    parser.add_argument("--minutes", type=float, default=55, help="of the whole run, about")
    asked = parser.parse_args()
    if unknown := set(asked.sets) - set(names):
        parser.error(f"no such set: {', '.join(unknown)}")
    wanted = run.Wanted(tuple(asked.sets) or names, asked.megabytes, asked.minutes)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    results = on_a_copy(partial(run.measure, wanted=wanted, commit=commit, say=say))
    results.store(page.RESULTS)
    print(page.text(results))
    if failed := [each for each in results.samples if each.failed]:
        sys.exit(f"{len(failed)} of {len(results.samples)} measurements failed; the page has them")


def say(line: str) -> None:
    """On standard error, as it comes, with the time."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
