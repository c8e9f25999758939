"""The kinds of damage. Each case is drawn from (seed, kind, number) alone, so that three words reproduce it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from tests.damage.oracle import SEGMENT_SUFFIXES
from tests.damage.stores import Store, batches, hiding, sealed_batches, single

SECTOR = 512
# Bytes that mean something to MessagePack or to a length field, which random ones seldom hit.
TELLING = b"\x00\x01\x06\x07\x7f\x80\x84\x8f\x90\x9f\xa0\xc0\xc1\xc4\xcc\xcd\xcf\xd9\xdc\xdd\xde\xdf\xff"


@dataclass(frozen=True)
class Damage:
    """A damaged copy of a store's files, and in words what was done."""

    store: Store
    files: dict[str, bytes]
    note: str


def truncations() -> list[tuple[Store, int]]:
    """Every size to which the last segment of a small store can be cut."""
    return [(store, size) for store in (one() for one in CUT_STORES) for size in range(len(last_segment(store)))]


CUT_STORES = (single, batches, sealed_batches, hiding)


def last_segment(store: Store) -> bytes:
    return store.files[store.segments[-1]]


def truncated(store: Store, size: int) -> Damage:
    """The store with its last segment cut to `size` bytes."""
    name = store.segments[-1]
    return Damage(store, {**store.files, name: store.files[name][:size]}, f"{name} cut to {size} bytes")


def _pick(random: Random, files: Mapping[str, bytes]) -> str:
    """A file that is not empty: by its size half of the time, so that small sidecars get their share."""
    names = sorted(name for name, data in files.items() if data and not name.endswith(".idemp"))
    if random.random() < 0.5:
        return random.choice(names)
    return random.choices(names, [len(files[name]) for name in names])[0]


def _segment(random: Random, files: Mapping[str, bytes]) -> str:
    return random.choice(sorted(name for name, data in files.items() if name.endswith(SEGMENT_SUFFIXES) and data))


def _byte(random: Random, old: int) -> int:
    """Another byte: one bit off, a telling one, or any."""
    new = random.choice([old ^ 1 << random.randrange(8), random.choice(TELLING), random.randrange(256)])
    return new if new != old else old ^ 0xFF


def flip(random: Random, files: dict[str, bytes]) -> str:
    """One byte of one file."""
    name = _pick(random, files)
    data = bytearray(files[name])
    at = random.randrange(len(data))
    old, data[at] = data[at], _byte(random, data[at])
    files[name] = bytes(data)
    return f"{name}[{at}] {old:02x} -> {data[at]:02x}"


def flips(random: Random, files: dict[str, bytes]) -> str:
    """Several bytes, near each other or anywhere, in one file or several."""
    notes = []
    for _ in range(random.choice([1, 1, 2])):
        name = _pick(random, files)
        data = bytearray(files[name])
        near, count = random.randrange(len(data)), random.randrange(2, 25)
        width = random.choice([30, 700, len(data)])
        for _ in range(count):
            at = min(len(data) - 1, max(0, near + random.randrange(-width, width + 1)))
            data[at] = _byte(random, data[at])
        files[name] = bytes(data)
        notes.append(f"{count} bytes of {name} within {width} of {near}")
    return "; ".join(notes)


def overwrite(random: Random, files: dict[str, bytes]) -> str:
    """A run of zeros, of ones, of noise or of other bytes of the store, as a torn or misplaced write leaves it."""
    name = _pick(random, files)
    data = bytearray(files[name])
    at, size = random.randrange(len(data)), random.choice([8, 60, 600, SECTOR, 3 * SECTOR])
    if size % SECTOR == 0:
        at -= at % SECTOR
    size = min(random.randrange(1, size + 1) if size % SECTOR else size, len(data) - at)
    what = random.choice(["zeros", "ones", "noise", "stale"])
    fill = {"zeros": bytes(size), "ones": b"\xff" * size, "noise": random.randbytes(size)}.get(what)
    if fill is None:
        other = files[_segment(random, files)]
        start = random.randrange(len(other))
        fill = other[start : start + size].ljust(size, b"\0")
    data[at : at + size] = fill
    files[name] = bytes(data)
    return f"{size} bytes of {name} at {at}: {what}"


def cut(random: Random, files: dict[str, bytes]) -> str:
    """Any file cut anywhere."""
    name = _pick(random, files)
    size = random.randrange(len(files[name]))
    files[name] = files[name][:size]
    return f"{name} cut to {size} bytes"


def splice(random: Random, files: dict[str, bytes]) -> str:
    """A range of a segment taken out, doubled, moved or put in from elsewhere."""
    name = _segment(random, files)
    data = files[name]
    at, size = random.randrange(len(data)), random.randrange(1, random.choice([40, 900, 4000]))
    part = data[at : at + size]
    what = random.choice(["out", "doubled", "moved", "foreign", "noise"])
    to = random.randrange(len(data))
    if what == "out":
        data = data[:at] + data[at + size :]
    elif what == "doubled":
        data = data[:at] + part + data[at:]
    elif what == "moved":
        rest = data[:at] + data[at + size :]
        data = rest[:to] + part + rest[to:]
    else:
        other = files[_segment(random, files)] if what == "foreign" else random.randbytes(size)
        data = data[:at] + other[to % len(other) :][:size] + data[at:]
    files[name] = data
    return f"{size} bytes of {name} at {at}: {what} (to {to})"


def shuffle_files(random: Random, files: dict[str, bytes]) -> str:
    """Whole segments swapped, copied, removed, emptied, joined or put under another number."""
    name, other = _segment(random, files), _segment(random, files)
    what = random.choice(["swap", "copy", "remove", "empty", "join", "renumber"])
    new = f"{random.choice([0, 50, 2**40, 2**64 - 1]):06}.fbat"
    if what == "swap":
        files[name], files[other] = files[other], files[name]
    elif what == "copy":
        files[new] = files[name]
    elif what == "remove":
        del files[name]
    elif what == "empty":
        files[name] = b""
    elif what == "join":
        files[name] += files[other]
    else:
        files[new] = files.pop(name)
    return f"{what}: {name}, {other}, {new}"


KINDS: dict[str, Callable[[Random, dict[str, bytes]], str]] = {
    "flip": flip,
    "flips": flips,
    "overwrite": overwrite,
    "cut": cut,
    "splice": splice,
    "files": shuffle_files,
}


def case(kind: str, number: int, seed: int, stores: Sequence[Store]) -> Damage:
    """Case `number` of a kind: which store, and what is done to it."""
    if kind == "truncate":
        places = truncations()
        return truncated(*places[number % len(places)])
    random = Random(f"{seed}/{kind}/{number}")
    store = random.choice(stores)
    files = dict(store.files)
    note = KINDS[kind](random, files)
    return Damage(store, files, note)
