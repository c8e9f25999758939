//! What few applications do, and some do: threads, thousands of entities, payloads of megabytes, denials with options,
//! gates, workers with cursors, a cache of projections in the store's own directory.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use batpak::event::EventKind;
use batpak::guard::{Denial, GateSet};
use batpak::id::EntityIdType;
use batpak::store::{
    AppendOptions, DenialRequest, DurabilityGate, ExtensionKey, Freshness, NativeCache, Open, Store, WatermarkKind,
};

use crate::project::Count;
use crate::session::{coordinate, Session};
use crate::value::{record, text, Value};
use crate::Failure;

pub const WAYS: usize = 8;

pub fn write(session: &mut Session<'_>, way: usize) -> Result<(), Failure> {
    session.count(
        ["threads", "many", "huge", "denial_with_options", "gated", "long_extensions", "projected", "same"][way],
    );
    match way {
        0 => threads(session),
        1 => many_entities(session),
        2 => huge(session),
        3 => denial(session),
        4 => gated(session),
        5 => long_extensions(session),
        6 => projected(session.store),
        _ => same_payloads(session),
    }
}

/// The writer takes commands in another order than their times are taken in.
fn threads(session: &mut Session<'_>) -> Result<(), Failure> {
    let store = session.store;
    let each = 1 + session.chance.below(25);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for number in 0..each {
                    let payload = record(vec![("thread", Value::Int(thread)), ("n", Value::Int(number as i64))]);
                    let place = coordinate(&format!("thread:{}", number % 3), "shop:web");
                    let _ = store.append(&place, EventKind::custom(1, 1), &payload);
                }
            });
        }
    });
    Ok(())
}

fn many_entities(session: &mut Session<'_>) -> Result<(), Failure> {
    let count = session.chance.pick(&[30, 60, 200]);
    let first = session.chance.below(1000);
    for number in first..first + count {
        let place = coordinate(&format!("user:{number}"), &format!("tenant:{}", number % 70));
        let kind = EventKind::custom(3, (number % 400) as u16);
        let receipt = session.store.append(&place, kind, &record(vec![("n", Value::Int(number as i64))]))?;
        session.known.push(receipt.event_id.as_u128());
    }
    Ok(())
}

fn huge(session: &mut Session<'_>) -> Result<(), Failure> {
    let size = session.chance.pick(&[65_536, 70_000, 70_000, 1 << 20]);
    let payload = match session.chance.below(4) {
        0 => record(vec![("text", Value::Text("日".repeat(size / 3)))]),
        1 => record(vec![("list", Value::List((0..size as i64 / 8).map(|n| Value::Int(n << 20)).collect()))]),
        2 => Value::Map(
            (0..size / 250).map(|n| (Value::Text(format!("key {n}")), Value::Double(n as f64))).collect(),
        ),
        _ => Value::List((0..size / 16).map(|n| record(vec![("a", Value::Int(n as i64))])).collect()),
    };
    let (place, kind) = (session.coordinate(), session.kind());
    let receipt = session.store.append(&place, kind, &payload)?;
    session.known.push(receipt.event_id.as_u128());
    Ok(())
}

fn denial(session: &mut Session<'_>) -> Result<(), Failure> {
    let (place, proposed_kind, mut options) = (session.coordinate(), session.kind(), session.options());
    options.idempotency_key = None;
    let failing = Denial::new("limit", "ü\n\"").with_context("", "").with_context("a.b", "日本");
    let hash = session.chance.percent(50).then_some([0xff; 32]);
    let receipt = session.store.append_denial(DenialRequest {
        coord: &place,
        proposed_kind,
        gate_set: &GateSet::<()>::new(),
        failing: &failing,
        proposed_content_hash: hash,
        pipeline_id: hash.map(|_| "pipeline:1".to_owned()),
        options,
    })?;
    session.known.push(receipt.event_id.as_u128());
    Ok(())
}

fn gated(session: &mut Session<'_>) -> Result<(), Failure> {
    let (place, kind, payload) = (session.coordinate(), session.kind(), session.payload());
    let mark = session.chance.pick(&[WatermarkKind::Visible, WatermarkKind::Written]);
    let options = AppendOptions::new().with_gate(DurabilityGate::new(mark, Duration::from_secs(5)));
    let receipt = session.store.append_with_options(&place, kind, &payload, options)?;
    session.known.push(receipt.event_id.as_u128());
    Ok(())
}

fn long_extensions(session: &mut Session<'_>) -> Result<(), Failure> {
    let mut options = AppendOptions::new();
    let mut given = BTreeMap::new();
    for number in 0..session.chance.pick(&[1, 15, 16, 40]) {
        let name = match number {
            0 => format!("a.{}", "k".repeat(254)),
            1 => "\u{1}.\u{7f}".to_owned(),
            2 => " . ".to_owned(),
            _ => format!("app.{number}"),
        };
        let size = session.chance.pick(&[0, 15, 16, 255, 256, 65_535, 65_536]) / if number > 3 { 16 } else { 1 };
        if let Ok(key) = ExtensionKey::new(name) {
            given.insert(key, session.chance.bytes(size));
        }
    }
    options = options.with_extensions(given);
    let (place, kind, payload) = (session.coordinate(), session.kind(), session.payload());
    let receipt = session.store.append_with_options(&place, kind, &payload, options)?;
    session.known.push(receipt.event_id.as_u128());
    Ok(())
}

/// Folds every entity; with a cache in the directory, its files are left there.
fn projected(store: &Store<Open>) -> Result<(), Failure> {
    for entity in ["order:0", "order:1", "cart:0"] {
        let _ = store.project::<Count>(entity, &Freshness::Consistent);
    }
    Ok(())
}

/// One hash for many events, on one lane and on others.
fn same_payloads(session: &mut Session<'_>) -> Result<(), Failure> {
    for number in 0..2 + session.chance.below(8) {
        let lane = session.chance.pick(&[0, 0, 1]);
        let options = AppendOptions::new().with_position_hint(batpak::store::AppendPositionHint::new(lane, 0));
        let place = coordinate(&format!("order:{}", number % 2), "shop:web");
        let receipt =
            session.store.append_with_options(&place, EventKind::custom(1, 1), &text("same"), options)?;
        session.known.push(receipt.event_id.as_u128());
    }
    Ok(())
}

/// A cache of projections, in the store's directory or beside it.
pub fn open(config: batpak::store::StoreConfig, cache: Option<&Path>) -> Result<Store<Open>, Failure> {
    let opened = match cache {
        Some(path) => Store::open_with_cache(config, Box::new(NativeCache::open(path).map_err(Failure::open)?)),
        None => Store::open(config),
    };
    opened.map_err(Failure::open)
}
