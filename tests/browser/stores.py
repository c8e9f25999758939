"""The shop of the pictures: orders whose steps cause each other, and one that went wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import batpak_analytics as bp
from tests.arrow.scan_stores import event, store_of

KINDS = {0x1001: "Placed", 0x1002: "Paid", 0x1003: "Picked", 0x1004: "Packed", 0x1005: "Shipped"}
BEGIN = datetime(2026, 3, 1, 9, tzinfo=UTC)


def order_id(order: int, step: int) -> str:
    """The id of a step of an order: it ends in the number of the order and of the step."""
    return f"{order:028x}{step:04x}"


def write_shop(path: Path, orders: int = 12) -> Path:
    """Orders of five steps, each caused by the one before; picking is done by the warehouse."""
    todo = []
    for order in range(1, orders + 1):
        at = BEGIN + timedelta(minutes=15 * order)
        for step, kind in enumerate(KINDS):
            at += timedelta(minutes=(0, 1, 12, 6, 20)[step] + order * step % 4)
            todo.append((at, order, step, kind))
    now = [todo[0][0]]
    with bp.Store.open(path, config=bp.StoreConfig(clock=lambda: int(now[0].timestamp() * 1e6))) as store:
        for at, order, step, kind in sorted(todo):
            now[0] = at
            store.append(
                "warehouse:north" if step == 2 else f"order:{order}", "shop", kind,
                {"total": 10.0 * order} if step == 0 else {"by": f"desk {step}"},
                causation_id=order_id(order, step - 1) if step else None,
                correlation_id=f"{order:032x}", idempotency_key=order_id(order, step),
            )  # fmt: skip
    return path


def write_till(path: Path, events: int = 60) -> Path:
    """Payments of some orders, a refund now and then, and one refund of far too much: event 31."""
    now = [BEGIN]
    with bp.Store.open(path, config=bp.StoreConfig(clock=lambda: int(now[0].timestamp() * 1e6))) as store:
        for number in range(1, events + 1):
            now[0] = BEGIN + timedelta(minutes=number * 7 % 5 + number * (1 if number % 20 < 10 else 3))
            refund = (number % 10 == 0 and number != 30) or number == 31
            cents = 60_000 if number == 31 else 100 * (number % 7 + 1)
            store.append(
                f"order:{number % 8}", "shop", 0x1002 if refund else 0x1001, {"cents": cents},
                idempotency_key=f"{number:032x}",
            )  # fmt: skip
    return path


def write_sessions(path: Path, entities: str = "order") -> Path:
    """Four segments of orders and payments that they cause; those of the first two are of nothing."""
    groups = []
    for segment in range(4):
        events = []
        for number in range(segment * 24, segment * 24 + 24):
            payload = {"cents": 0 if segment < 2 else number}
            cause = event(number - 1).event_id if number % 2 else None
            name = f"{entities}:{number // 2 % 6}"
            events.append(event(number, payload, entity=name, kind=0x1001 + number % 2, causation_id=cause))
        groups.append(events)
    return store_of(path, *groups)
