"""The commands that judge a store: ``check``, ``verify``, ``checkpoint`` and ``chain``."""

from __future__ import annotations

from typing import Any

from batpak_analytics.cli.arguments.parsing import add_command, add_path, count, run_later
from batpak_analytics.proof.rules import LEVELS


def add(commands: Any) -> None:
    """Add these commands to the subparsers `commands`."""
    _add_check(commands)
    _add_verify(commands)
    _add_checkpoint(commands)
    _add_chain(commands)


def _add_check(commands: Any) -> None:
    check = add_command(
        commands,
        "check",
        "verify the CRC of every frame and footer",
        "Reads every byte of a store and lists what is wrong and what to do about it.\n\n"
        "exit code:\n"
        "  0  sound (notes marked 'info', such as an unfinished tail, do not count)\n"
        "  1  there are findings\n"
        "  2  the store could not be read",
        run_later("check", "check"),
    )
    add_path(check)


def _add_verify(commands: Any) -> None:
    verify = add_command(
        commands,
        "verify",
        "is the history whole, and the one that a checkpoint was made of?",
        "Checks links, clocks, sequences, batches, headers and payload hashes besides every CRC, and says of each\n"
        "rule what it leaves open. The verdict is verified, unanchored or broken; only a checkpoint can make it\n"
        "verified, because the hashes of batpak cover payloads and nothing else.\n\n"
        "examples:\n"
        "  batpak verify data/store\n"
        "  batpak verify data/store --against store.checkpoint --leaves store.leaves\n\n"
        "exit code:\n"
        "  0  nothing contradicts itself or the checkpoint (notes marked 'info' do not count)\n"
        "  1  there are findings\n"
        "  2  the store, or the checkpoint, could not be read or trusted",
        run_later("integrity", "verify"),
    )
    add_path(verify)
    add = verify.add_argument
    add("--against", metavar="CHECKPOINT", help="an earlier checkpoint of the store")
    add("--leaves", metavar="FILE", help="its leaf hashes, to name the first event that differs")
    add("--public-key", metavar="PEM", help="the Ed25519 key that has to have signed it")
    add("--bridge", metavar="FILE", help="what a compaction wrote after it; needs --public-key")
    add("--level", choices=LEVELS, default="full", help="how deep to look (default full)")
    add("--known", metavar="FILE", help="leave out sealed segments listed there and unchanged; updated after")
    add("--json", action="store_true", help="print the report as JSON")


def _add_checkpoint(commands: Any) -> None:
    checkpoint = add_command(
        commands,
        "checkpoint",
        "write down the state of a store, to hold it against later",
        "Writes a small text: how many events there are and the root of a Merkle tree over them. Keep it where\n"
        "nobody who can write the store can write. A broken store gets none.\n\n"
        "example:\n"
        "  batpak checkpoint data/store store.checkpoint --leaves store.leaves",
        run_later("integrity", "checkpoint"),
    )
    add_path(checkpoint)
    add = checkpoint.add_argument
    add("out", metavar="OUT", help="file to write, outside the store")
    add("--leaves", metavar="FILE", help="also write the leaf hashes, 48 bytes an event")
    add("--key", metavar="PEM", help="an Ed25519 private key to sign with")
    add("--origin", metavar="NAME", help="names the store, such as example.com/orders (default: its first event's id)")
    add("--level", choices=LEVELS, default="full", help="how deep to look before (default full)")


def _add_chain(commands: Any) -> None:
    chain = add_command(
        commands,
        "chain",
        "the hash chains of an entity, event by event",
        "Prints every event with its link to the one before, and a verdict for each lane. The exit code is 1 where\n"
        "a chain has gaps or is broken.\n\n"
        "example:\n"
        "  batpak chain data/store order:1 --payloads",
        run_later("integrity", "chain"),
    )
    add_path(chain)
    chain.add_argument("entity", metavar="ENTITY", help="this entity, and those under it: order also takes order:7")
    chain.add_argument("--lane", type=count, metavar="N", help="this lane only")
    chain.add_argument("--payloads", action="store_true", help="hash every payload too")
