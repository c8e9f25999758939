//! Named stores, each showing one thing that a data directory can hold.

use std::path::Path;

use batpak::store::{KeyScopeGranularity, Open, ShredScope, Store};
use serde_json::{json, Value as Json};

use crate::chance::Chance;
use crate::session::{coordinate, Mix, Session, SINGLED_OUT};
use crate::setup::Setup;
use crate::Failure;

pub const NAMES: [&str; 13] = [
    "untouched",
    "quickstart",
    "segments",
    "lanes",
    "hidden",
    "crash",
    "encrypted",
    "encrypted-event",
    "checkpoint",
    "payloads",
    "merge",
    "retention",
    "tombstone",
];

pub struct Plan {
    pub seed: u64,
    pub events: Option<usize>,
    pub segment_bytes: u64,
}

/// Writes the profile and returns what a compaction reported, if there was one.
pub fn write(name: &str, plan: &Plan, directory: &Path) -> Result<Json, Failure> {
    let mut chance = Chance::new(plan.seed, 0);
    let chance = &mut chance;
    let small = Setup::segments_of(plan.segment_bytes);
    let events = plan.events;
    match name {
        "untouched" => finish(Store::open(Setup::default().config(directory))?, End::Close),
        "quickstart" => quickstart(directory),
        "segments" => rounds(directory, small, chance, events.unwrap_or(500)),
        "checkpoint" => rounds(directory, Setup { mmap_index: false, ..small }, chance, events.unwrap_or(500)),
        "lanes" => {
            let setup = Setup { mmap_index: false, checkpoint: false, ..small };
            session(directory, setup, chance, Mix { lanes: 25, ..Mix::RICH }, events.unwrap_or(300), End::Close)
        }
        "payloads" => payloads(directory, small, chance),
        "hidden" => hidden(directory, small, chance, events.unwrap_or(120)),
        "crash" => session(directory, small, chance, Mix::RICH, events.unwrap_or(150), End::Exit),
        "encrypted" => encrypted(directory, small, chance, events.unwrap_or(120), KeyScopeGranularity::PerEntity),
        "encrypted-event" => {
            encrypted(directory, small, chance, events.unwrap_or(60), KeyScopeGranularity::PerEvent)
        }
        "merge" | "retention" | "tombstone" => compacted(directory, small, name, chance, events.unwrap_or(340)),
        other => Err(Failure::usage(format!("profile {other} is none of {}", NAMES.join(", ")))),
    }
}

#[derive(PartialEq)]
enum End {
    Close,
    Exit,
}

fn finish(store: Store<Open>, end: End) -> Result<Json, Failure> {
    if end == End::Exit {
        println!("null");
        std::process::exit(0);
    }
    store.close()?;
    Ok(Json::Null)
}

fn quickstart(directory: &Path) -> Result<Json, Failure> {
    let store = Store::open(Setup::default().config(directory))?;
    let order = coordinate("order:1", "shop:web");
    let kind = |type_id| batpak::event::EventKind::custom(0xF, type_id);
    let placed = store.append(&order, kind(1), &json!({"total": 4200, "currency": "EUR"}))?;
    let mut cause = placed.event_id;
    for (type_id, payload) in [
        (2, json!({"method": "card", "amount": 42.0})),
        (3, json!({"parcel": "P-1", "note": "left at the door"})),
        (4, json!({"rating": 5})),
    ] {
        let (correlation, causation) = (u128::from(placed.event_id).into(), u128::from(cause).into());
        cause = store.append_reaction(&order, kind(type_id), &payload, correlation, causation)?.event_id;
    }
    finish(store, End::Close)
}

/// Roughly `events` events: two thirds single appends, the rest in batches.
fn work(session: &mut Session<'_>, events: usize) -> Result<(), Failure> {
    let target = session.known.len() + events;
    while session.known.len() < target {
        match session.chance.below(20) {
            0 => session.batch(false)?,
            1 => session.append_typed()?,
            2 if session.mix.odd > 0 && session.chance.percent(20) => session.batch(true)?,
            _ => session.append()?,
        }
    }
    Ok(())
}

fn session(
    directory: &Path,
    setup: Setup,
    chance: &mut Chance,
    mix: Mix,
    events: usize,
    end: End,
) -> Result<Json, Failure> {
    let store = Store::open(setup.config(directory))?;
    work(&mut Session::new(&store, chance, mix), events)?;
    finish(store, end)
}

fn rounds(directory: &Path, setup: Setup, chance: &mut Chance, events: usize) -> Result<Json, Failure> {
    session(directory, setup, chance, Mix::RICH, events / 2, End::Close)?;
    session(directory, setup, chance, Mix::RICH, events / 2, End::Close)
}

fn payloads(directory: &Path, setup: Setup, chance: &mut Chance) -> Result<Json, Failure> {
    let store = Store::open(setup.config(directory))?;
    Session::new(&store, chance, Mix::RICH).append_every_payload()?;
    finish(store, End::Close)
}

fn hidden(directory: &Path, setup: Setup, chance: &mut Chance, events: usize) -> Result<Json, Failure> {
    let store = Store::open(setup.config(directory))?;
    let mut session = Session::new(&store, chance, Mix { lanes: 10, ..Mix::RICH });
    for cancel in [true, false, true] {
        work(&mut session, events / 4)?;
        session.fence(cancel)?;
    }
    work(&mut session, events / 4)?;
    finish(store, End::Close)
}

fn encrypted(
    directory: &Path,
    setup: Setup,
    chance: &mut Chance,
    events: usize,
    granularity: KeyScopeGranularity,
) -> Result<Json, Failure> {
    let setup = Setup { granularity: Some(granularity), ..setup };
    let store = Store::open(setup.config(directory))?;
    let mut session = Session::new(&store, chance, Mix::RICH);
    work(&mut session, events)?;
    if granularity == KeyScopeGranularity::PerEntity {
        store.shred_scope(ShredScope::Entity(&coordinate("order:3", "shop:web")))?;
    } else {
        for _ in 0..events / 10 {
            session.shred(granularity)?;
        }
    }
    finish(store, End::Close)
}

fn compacted(
    directory: &Path,
    setup: Setup,
    strategy: &str,
    chance: &mut Chance,
    events: usize,
) -> Result<Json, Failure> {
    // The engine gives up a retention or tombstone run at the first payload that JSON cannot hold.
    let mix = Mix { odd: 0, ..Mix::RICH };
    session(directory, setup, chance, mix, events - events / 8, End::Close)?;
    let store = Store::open(setup.config(directory))?;
    let report = crate::session::compact(&store, strategy, SINGLED_OUT)?;
    work(&mut Session::new(&store, chance, mix), events / 8)?;
    finish(store, End::Close)?;
    Ok(report)
}
