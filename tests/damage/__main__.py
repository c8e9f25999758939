"""`python -m tests.damage`: a long run of damage by hand; exits with 1 and the cases to repeat if one was read wrongly.

The cases run in a child process with limited memory. A crash, a hang or a memory error of the child is a violation of
the case that it had begun, and the run goes on behind it.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import resource
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator

from tests.damage.campaign import Tally, Verdict, campaign
from tests.damage.damages import KINDS, truncations

PLAN = {"truncate": len(truncations()), "flip": 10_000, "flips": 1_000, "overwrite": 2_000, "cut": 1_000,
        "splice": 2_000, "files": 1_000}  # fmt: skip
SECONDS_PER_CASE = 20
MEMORY_BYTES = 3 << 30
CHUNK = 500  # cases for one child process


def main() -> int:
    arguments = _parser().parse_args()
    if arguments.work:
        return _work(arguments.seed, arguments.work, limited=not arguments.unlimited_memory)
    plan = [_case(arguments.only)] if arguments.only else list(_interleaved(arguments.scale))
    tallies = {kind: Tally() for kind in {kind for kind, _ in plan}}
    options = ["--seed", str(arguments.seed)] + ["--unlimited-memory"] * arguments.unlimited_memory
    wrong = _run(plan, options, time.monotonic() + arguments.seconds, tallies)
    _print_table({kind: tallies[kind] for kind in PLAN if kind in tallies})
    for text in wrong:
        print(text)
    return 1 if wrong else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.damage", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3600, help="stop after so long")
    parser.add_argument("--scale", type=float, default=1, help="so many times the cases of each kind")
    parser.add_argument("--only", metavar="KIND:NUMBER", help="one case, to repeat it")
    parser.add_argument("--unlimited-memory", action="store_true", help="AddressSanitizer reserves terabytes")
    parser.add_argument("--work", metavar="CASES", help=argparse.SUPPRESS)
    return parser


def _case(text: str) -> tuple[str, int]:
    kind, _, number = text.partition(":")
    return kind, int(number)


def _interleaved(scale: float) -> Iterator[tuple[str, int]]:
    """All cases, of all kinds at the same pace, so that a run cut short has seen some of each."""
    sizes = {kind: count if kind == "truncate" else int(count * scale) for kind, count in PLAN.items()}
    for part in range(100):
        for kind, count in sizes.items():
            yield from ((kind, number) for number in range(count * part // 100, count * (part + 1) // 100))


def _run(plan: list[tuple[str, int]], options: list[str], deadline: float, tallies: dict[str, Tally]) -> list[str]:
    wrong: list[str] = []
    while plan and time.monotonic() < deadline:
        chunk, plan = plan[:CHUNK], plan[CHUNK:]
        cases = ",".join(f"{kind}:{number}" for kind, number in chunk)
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.damage", *options, "--work", cases],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        done = 0
        for line in child.stdout:
            kind, number, verdict = json.loads(line)
            Verdict(**verdict).add_to(tallies[kind])
            wrong += [f"{' '.join(options)} --only {kind}:{number}: {text}" for text in verdict["wrong"]]
            done += 1
        if child.wait() != 0 and done < len(chunk):
            kind, number = chunk[done]
            wrong.append(f"{' '.join(options)} --only {kind}:{number}: the process ended with {child.returncode}")
            plan = chunk[done + 1 :] + plan
        print(f"{sum(one.cases for one in tallies.values())} cases, {len(wrong)} wrong", file=sys.stderr, flush=True)
    return wrong


def _work(seed: int, cases: str, *, limited: bool) -> int:
    """The child: judge each case in turn, one line each."""
    if limited:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    with campaign(seed) as running:
        for kind, number in map(_case, cases.split(",")):
            faulthandler.dump_traceback_later(SECONDS_PER_CASE, exit=True)
            try:
                verdict = running.run(kind, number)
            except Exception:
                verdict = Verdict(0, 0, (), False, False, (traceback.format_exc(),))
            print(json.dumps([kind, number, vars(verdict)]), flush=True)
    faulthandler.cancel_dump_traceback_later()
    return 0


def _print_table(tallies: dict[str, Tally]) -> None:
    names = ("cases", "proven", "returned", "findings", "refused", "raised")
    heads = ("damage", "cases", "events proven", "events returned", "findings", "refused", '"raise" raised')
    print("| " + " | ".join(heads) + " |\n|---" + "|---:" * len(names) + "|")
    total: Counter[str] = Counter()
    for kind, tally in tallies.items():
        total.update({name: getattr(tally, name) for name in names})
        print(f"| {kind} | " + " | ".join(f"{getattr(tally, name):,}" for name in names) + " |")
    print("| all | " + " | ".join(f"{total[name]:,}" for name in names) + " |")


if __name__ == "__main__":
    assert set(PLAN) == {"truncate", *KINDS}
    sys.exit(main())
