"""The table, for a terminal and as the page `docs/benchmarks.md`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.benchmarks.report import HEADINGS, LIMIT_HEADINGS, Section

WIDTH = 220


@dataclass(frozen=True, slots=True)
class Report:
    """All that a run found, and where."""

    date: str
    command: str
    machine: Sequence[str]
    sections: Sequence[Section]

    @property
    def missed(self) -> int:
        """How many limits did not hold."""
        lines = (line for section in self.sections for line in section.lines)
        return sum(not verdict.held for line in lines for verdict in line.verdicts)


def print_table(report: Report) -> None:
    """Print the table on stdout, as wide as it needs."""
    console = Console()
    table = Table(*HEADINGS, *LIMIT_HEADINGS)
    for section in report.sections:
        table.add_section()
        table.add_row(f"[bold]{escape(section.title)}")
        for line in section.lines:
            table.add_row(*map(escape, line.texts()))
    for line_of_machine in report.machine:
        console.print(escape(line_of_machine), soft_wrap=True)
    console.print(table, width=max(console.width, WIDTH), no_wrap=True, soft_wrap=True)
    console.print(f"{report.missed} limits missed" if report.missed else "every limit held")


PAGE = """# Benchmarks

Written by one command, which makes its stores itself (it needs `cargo`, for batpak 0.9.0, and 4 GB of disk):

```sh
{command}
```

Run on {date}:

{machine}

Every event has a payload of six fields, about 60 bytes of MessagePack unless a line says otherwise; frames take about
570 bytes. The stores are written by batpak 0.9.0 itself and closed cleanly. Everything is warm: each case runs once
before it counts (other processes excepted), then all cases take turns, round by round. A figure is the median of its
rounds.

- *The pass* is what everything is measured in: one thread, numpy, the sum of every byte of every segment file, the
  files mapped and in memory already. That is `numpy.ndarray.sum` over `uint8`; over words of 64 bits, the same bytes
  take less, as the second line shows.
- *Reference takes*: how many times as long batpak 0.9.0 needs to open the store, query everything and get every event,
  measured in the same rounds.
- *Scaled* lines are measured on the sample named and multiplied.
- Memory is anonymous memory of a process of its own above what it had after its imports, sampled every millisecond.
- In the browser, a figure is the median of ten inputs: from the event in the page to the end of the frame that shows
  all that it led to. The bytes are those of the websocket's frames; one message is one update of one control.
- A case that took more than {patience:.0f} seconds is repeated less often; the count says so.

{table}

{verdict}
"""


def markdown(report: Report, patience: float) -> str:
    """The page."""
    machine = "\n".join(f"- {line}" for line in report.machine)
    verdict = f"**{report.missed} of the limits did not hold in this run.**" if report.missed else "Every limit held."
    return PAGE.format(
        command=report.command,
        date=report.date,
        machine=machine,
        patience=patience,
        table=_markdown_table(report.sections),
        verdict=verdict,
    )


def _markdown_table(sections: Sequence[Section]) -> str:
    headings = [*HEADINGS, *LIMIT_HEADINGS]
    rows = [headings, ["---", *["--:"] * (len(HEADINGS) - 1), *["---"] * len(LIMIT_HEADINGS)]]
    for section in sections:
        rows.append([f"**{section.title}**", *[""] * (len(headings) - 1)])
        rows += [line.texts() for line in section.lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
