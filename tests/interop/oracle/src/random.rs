//! Seeded random stores: a few rounds of open, work and close, drop or crash.
//!
//! A round that crashes ends the process without unwinding, so each round may run in a process of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use batpak::coordinate::Region;
use batpak::id::EntityIdType;
use batpak::store::{KeyScopeGranularity, Open, Store};
use serde_json::{json, Value as Json};

use crate::chance::Chance;
use crate::dump::hex_id;
use crate::session::{Mix, Session};
use crate::setup::{Setup, SteppedClock};
use crate::Failure;

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Close,
    Drop,
    Crash,
    /// The process dies while a fence is open: its events become visible.
    CrashInFence,
    /// Close with an open fence cancels it.
    CloseInFence,
}

pub struct Plan {
    pub rounds: u64,
    setup: Setup,
    mix: Mix,
    compactions: bool,
    failures: bool,
    /// Raw bytes and other payloads that JSON cannot hold; they make the engine give up most compactions.
    undecodable: bool,
}

impl Plan {
    pub fn of(seed: u64) -> Self {
        let chance = &mut Chance::new(seed, 0);
        let granularities = [
            KeyScopeGranularity::PerEntity,
            KeyScopeGranularity::PerCategory,
            KeyScopeGranularity::PerTypeId,
            KeyScopeGranularity::PerEvent,
        ];
        let setup = Setup {
            segment_bytes: chance.pick(&[1, 2_000, 4_000, 8_000, 20_000, 60_000, 1 << 24]),
            checkpoint: chance.percent(60),
            mmap_index: chance.percent(60),
            granularity: chance.percent(25).then(|| chance.pick(&granularities)),
            clock: None,
        };
        let compactions = chance.percent(40);
        let undecodable = !compactions || chance.percent(25);
        let mix = Mix {
            entities: 1 + chance.below(12),
            lanes: chance.pick(&[0, 0, 20, 60]),
            keys: chance.pick(&[0, 10, 40]),
            flags: 15,
            extensions: chance.pick(&[0, 15, 50]),
            causes: 40,
            odd: if undecodable { chance.pick(&[0, 10, 50]) } else { 0 },
            names: 0,
        };
        let rounds = 1 + chance.below(5) as u64;
        Self { rounds, setup, mix, compactions, failures: chance.percent(25), undecodable }
    }

    fn ending(chance: &mut Chance) -> End {
        chance.weighted(&[
            (50, End::Close),
            (18, End::Drop),
            (20, End::Crash),
            (6, End::CrashInFence),
            (6, End::CloseInFence),
        ])
    }

    fn clock(chance: &mut Chance) -> Option<SteppedClock> {
        let start_us = chance.between(0, 4_000_000_000_000_000);
        let step_us = chance.pick(&[0, 1, 700, 250_000]);
        chance.percent(40).then_some(SteppedClock { start_us, step_us })
    }
}

/// Writes the whole store, each round in a child process so that a crash is a real one.
pub fn write(seed: u64, directory: &Path) -> Result<Json, Failure> {
    std::fs::create_dir_all(directory)?;
    let notes = notes_path(directory);
    let _ = std::fs::remove_file(&notes);
    for number in 0..Plan::of(seed).rounds {
        let status = Command::new(std::env::current_exe()?)
            .args(["round", "--seed", &seed.to_string(), "--number", &number.to_string()])
            .arg(directory)
            .status()?;
        if !status.success() {
            break;
        }
    }
    let text = std::fs::read_to_string(&notes)?;
    Ok(json!({"seed": seed, "rounds": serde_json::from_str::<Json>(&text)?}))
}

/// Beside the store, never in it: the directory holds only what the engine wrote.
fn notes_path(directory: &Path) -> PathBuf {
    directory.with_extension("rounds.json")
}

fn note(directory: &Path, round: Json) -> Result<(), Failure> {
    let path = notes_path(directory);
    let mut rounds: Vec<Json> = match std::fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text)?,
        Err(_) => Vec::new(),
    };
    rounds.push(round);
    std::fs::write(&path, serde_json::to_string(&rounds)?)?;
    Ok(())
}

pub fn round(seed: u64, number: u64, directory: &Path) -> Result<(), Failure> {
    let plan = Plan::of(seed);
    let mut chance = Chance::new(seed, 1 + number);
    let setup = Setup { clock: Plan::clock(&mut chance), ..plan.setup };
    let store = match Store::open(setup.config(directory)) {
        Ok(store) => store,
        Err(error) => {
            note(directory, json!({"number": number, "open_error": error.to_string()}))?;
            return Err(Failure::open(error));
        }
    };
    let end = Plan::ending(&mut chance);
    // The same few keys in every round: after a crash the engine may have forgotten that they were used.
    let keys = (0..20).map(|stream| Chance::new(seed, 1000 + stream).wide()).collect();
    let mut session = Session::new(&store, &mut chance, plan.mix).with_keys(keys);
    let operations = session.chance.below(60);
    let outcome = (0..operations).try_for_each(|_| operation(&mut session, &plan));
    let counts = std::mem::take(&mut session.counts);
    let failure = outcome.as_ref().err().map(ToString::to_string);
    note(directory, facts(number, end, &setup, &store, &counts, failure))?;
    outcome?;
    if matches!(end, End::CrashInFence | End::CloseInFence) {
        let fence = store.begin_visibility_fence()?;
        session.fenced_writes(&fence, end == End::CloseInFence)?;
        store.sync()?;
        std::mem::forget(fence);
    }
    match end {
        End::Close | End::CloseInFence => store.close().map(drop)?,
        End::Drop => drop(store),
        End::Crash | End::CrashInFence => std::process::exit(0),
    }
    Ok(())
}

/// What a comparison needs to know about a round, with the visible events just before its end.
fn facts(
    number: u64,
    end: End,
    setup: &Setup,
    store: &Store<Open>,
    counts: &BTreeMap<&str, u64>,
    failure: Option<String>,
) -> Json {
    let visible: Vec<Json> = store
        .query(&Region::all())
        .iter()
        .map(|entry| json!([hex_id(entry.event_id().as_u128()), entry.global_sequence()]))
        .collect();
    json!({
        "number": number, "end": format!("{end:?}"), "segment_bytes": setup.segment_bytes,
        "checkpoint": setup.checkpoint, "mmap_index": setup.mmap_index,
        "encrypted": setup.granularity.map(|granularity| format!("{granularity:?}")),
        "own_clock": setup.clock.is_some(), "did": counts, "failure": failure, "visible": visible,
    })
}

fn operation(session: &mut Session<'_>, plan: &Plan) -> Result<(), Failure> {
    let seldom = u64::from(plan.compactions);
    let failing = u64::from(plan.failures);
    let raw_bytes = u64::from(plan.undecodable);
    let shred = 3 * u64::from(plan.setup.granularity.is_some());
    match session.chance.weighted(&[
        (600, 0),
        (60, 1),
        (120, 2),
        (40 * raw_bytes, 3),
        (30, 4),
        (30, 5),
        (20, 6),
        (40 * failing, 7),
        (15 * shred, 8),
        (10 * seldom, 9),
        (10 * seldom, 10),
        (10 * seldom, 11),
        (20, 12),
    ]) {
        0 => session.append(),
        1 => session.append_typed(),
        2 => session.batch(false),
        3 => session.batch(true),
        4 => session.fence(true),
        5 => session.fence(false),
        6 => session.denial(),
        7 => session.failing_batch(),
        8 => plan.setup.granularity.map_or(Ok(()), |granularity| session.shred(granularity)),
        9 => session.compact("merge").map(drop),
        10 => session.compact("retention").map(drop),
        11 => session.compact("tombstone").map(drop),
        _ => Ok(session.store.sync()?),
    }
}
