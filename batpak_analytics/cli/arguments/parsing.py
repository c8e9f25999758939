"""What the commands' arguments are made of: one subparser, the store's path, and the words that become values."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any


def add_command(
    commands: Any, name: str, summary: str, text: str, run: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    """Add one subcommand: a line for the list of commands, and a text with examples for its own help."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.set_defaults(run=run)
    return parser


def run_later(module: str, name: str) -> Callable[[argparse.Namespace], int]:
    """A command that is imported when it runs, so that ``--help`` and usage errors stay quick."""

    def run(arguments: argparse.Namespace) -> int:
        from importlib import import_module

        code: int = getattr(import_module(f"batpak_analytics.cli.{module}"), name)(arguments)
        return code

    return run


def add_path(parser: argparse.ArgumentParser) -> None:
    """The first argument of nearly every command."""
    parser.add_argument("path", metavar="PATH", help="the store: a directory with *.fbat files")


def names(text: str) -> str | list[str]:
    """Names between commas, or ``all`` as it is."""
    return text if text == "all" else [name.strip() for name in text.split(",") if name.strip()]


def count(text: str) -> int:
    """A whole number that is not negative."""
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


def kind(text: str) -> int:
    """The kind of an event, in hexadecimal or decimal."""
    try:
        value = int(text, 0)
    except ValueError:
        value = -1
    if not 0 <= value <= 0xFFFF:
        raise argparse.ArgumentTypeError(f"{text!r} is not a kind; write 0x0000 to 0xFFFF")
    return value


def moment(text: str) -> datetime:
    """A time in ISO 8601; one without a zone could mean several."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time; write 2026-03-01T00:00:00Z") from None
    if at.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} has no time zone; write {at.isoformat()}Z for UTC")
    return at


def position(text: str) -> int | str | datetime:
    """A sequence (digits), an event id (32 hex digits, dashes allowed), or else a time."""
    if re.fullmatch(r"[0-9a-fA-F]{32}", text.replace("-", "")):
        return text
    if re.fullmatch(r"[0-9a-fA-F]+", text) and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is a part of an event id; give all 32 digits, or a sequence")
    return int(text) if text.isdecimal() else moment(text)
