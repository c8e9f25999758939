//! Growing, compacting and timing a store that exists.

use std::path::Path;
use std::time::Instant;

use batpak::coordinate::Region;
use batpak::store::{Open, Store};
use serde_json::{json, Value as Json};

use crate::chance::Chance;
use crate::session::{compact as run_compaction, Mix, Session};
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
    pub end: &'a str,
}

pub fn append(directory: &Path, growth: &Growth<'_>) -> Result<Json, Failure> {
    let Growth { seed, events, segment_bytes, odd, end } = *growth;
    let store = open(directory, segment_bytes)?;
    let mut chance = Chance::new(seed, u64::MAX);
    let mut session = Session::new(&store, &mut chance, Mix { lanes: 10, odd, ..Mix::RICH });
    let before = session.known.len();
    while session.known.len() < before + events {
        if session.chance.percent(10) {
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

pub fn compact(directory: &Path, strategy: &str, strike: &str) -> Result<Json, Failure> {
    let store = open(directory, Setup::default().segment_bytes)?;
    let report = run_compaction(&store, strategy, strike)?;
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
