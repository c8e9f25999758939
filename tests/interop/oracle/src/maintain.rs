//! Growing, compacting and timing a store that exists.

use std::collections::HashSet;
use std::path::Path;
use std::time::Instant;

use batpak::coordinate::Region;
use batpak::event::StoredEvent;
use batpak::id::{EntityIdType, EventId};
use batpak::store::{Open, Store};
use serde_json::{json, Value as Json};

use crate::chance::Chance;
use crate::dump::hex_id;
use crate::session::{compact as run_compaction, compact_by, Mix, Session};
use crate::setup::{granularity_of, Setup};
use crate::Failure;

fn open(directory: &Path, segment_bytes: u64) -> Result<Store<Open>, Failure> {
    let setup = Setup { granularity: granularity_of(directory)?, ..Setup::segments_of(segment_bytes) };
    Store::open(setup.config(directory)).map_err(Failure::open)
}

/// How a store grows: at least so many events, then `close`, `drop` or `crash`.
pub struct Growth<'a> {
    pub seed: u64,
    pub events: usize,
    pub segment_bytes: u64,
    /// Percent of payloads that are hard to hold; some of them make a later compaction give up.
    pub odd: u64,
    /// Percent of the steps that are a visibility fence, kept or taken back.
    pub fences: u64,
    /// The idempotency keys 1 to this are used by every session and by others; each but the first use is answered.
    pub shared_keys: u128,
    pub end: &'a str,
}

pub fn append(directory: &Path, growth: &Growth<'_>) -> Result<Json, Failure> {
    let Growth { seed, events, segment_bytes, odd, fences, shared_keys, end } = *growth;
    let store = open(directory, segment_bytes)?;
    let mut chance = Chance::new(seed, u64::MAX);
    let keys = if shared_keys > 0 { 60 } else { Mix::RICH.keys };
    let mut session = Session::new(&store, &mut chance, Mix { lanes: 10, odd, keys, ..Mix::RICH })
        .with_keys((1..=shared_keys).collect());
    let before = session.known.len();
    while session.known.len() < before + events {
        if fences > 0 && session.chance.percent(fences) {
            let cancel = session.chance.percent(50);
            session.fence(cancel)?
        } else if session.chance.percent(10) {
            session.batch(false)?
        } else {
            session.append()?
        }
    }
    let report = json!({"appended": session.known.len() - before});
    match end {
        "close" => store.close().map(drop)?,
        "drop" => drop(store),
        "crash" => {
            println!("{report}");
            std::process::exit(0)
        }
        other => return Err(Failure::usage(format!("--end {other} is none of close, drop, crash"))),
    }
    Ok(report)
}

/// What the engine's own check of all hashes and links says.
pub fn verify(directory: &Path) -> Result<Json, Failure> {
    let setup = Setup { granularity: granularity_of(directory)?, ..Setup::default() };
    let store = Store::open_read_only(setup.config(directory)).map_err(Failure::open)?;
    let report = store.verify_chain()?;
    let ids = |ids: &[EventId]| ids.iter().map(|id| hex_id(id.as_u128())).collect::<Vec<_>>();
    Ok(json!({
        "events_checked": report.events_checked,
        "content_hash_mismatches": ids(&report.content_hash_mismatches),
        "dangling_links": ids(&report.dangling_links),
    }))
}

/// `ids` is a file with an id a line, of the events to strike, in place of the entity `strike`.
pub fn compact(directory: &Path, strategy: &str, strike: &str, ids: Option<&str>) -> Result<Json, Failure> {
    let store = open(directory, Setup::default().segment_bytes)?;
    let report = match ids {
        None => run_compaction(&store, strategy, strike)?,
        Some(file) => {
            let struck: HashSet<String> = std::fs::read_to_string(file)?.lines().map(str::to_owned).collect();
            let keep = move |stored: &StoredEvent<Json>| !struck.contains(&hex_id(stored.event.header.event_id.as_u128()));
            compact_by(&store, strategy, Box::new(keep))?
        }
    };
    store.close()?;
    Ok(report)
}

/// Times a read-only open, a query of everything and a point read of every event.
pub fn bench(directory: &Path) -> Result<Json, Failure> {
    let setup = Setup { granularity: granularity_of(directory)?, ..Setup::default() };
    let start = Instant::now();
    let store = Store::open_read_only(setup.config(directory)).map_err(Failure::open)?;
    let opened = start.elapsed();
    let start = Instant::now();
    let entries = store.query(&Region::all());
    let queried = start.elapsed();
    let start = Instant::now();
    let readable = entries.iter().filter(|entry| store.get(entry.event_id()).is_ok()).count();
    let got = start.elapsed();
    Ok(json!({
        "events": entries.len(), "readable": readable, "open_seconds": opened.as_secs_f64(),
        "query_seconds": queried.as_secs_f64(), "get_seconds": got.as_secs_f64(),
    }))
}
