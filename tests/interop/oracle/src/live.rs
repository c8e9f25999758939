//! An application that keeps writing while somebody reads: one progress line after each stretch of work.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use batpak::store::Store;
use serde_json::json;

use crate::chance::Chance;
use crate::receipts::Receipts;
use crate::session::{Mix, Session};
use crate::setup::Setup;
use crate::Failure;

pub struct Live {
    pub seed: u64,
    pub events: usize,
    pub segment_bytes: u64,
    /// Merge once so many events are written.
    pub compact_at: Vec<usize>,
    pub strategy: &'static str,
    pub pause_us: u64,
    pub fences: bool,
    /// Where to write down every acknowledged event.
    pub receipts: Option<PathBuf>,
    /// Announce each compaction and wait for a line on stdin before it begins.
    pub ask: bool,
}

const STRETCH: usize = 100;

pub fn run(directory: &Path, live: &Live) -> Result<(), Failure> {
    let store = Store::open(Setup::segments_of(live.segment_bytes).config(directory))?;
    let mut chance = Chance::new(live.seed, 0);
    let mut session = Session::new(&store, &mut chance, Mix { lanes: 5, keys: 0, odd: 0, ..Mix::RICH })
        .with_receipts(live.receipts.as_deref().map(Receipts::append_to).transpose()?);
    let start = session.known.len();
    let mut reported = 0;
    let mut compactions = live.compact_at.iter().peekable();
    while session.known.len() - start < live.events {
        step(&mut session, live)?;
        let done = session.known.len() - start;
        if compactions.next_if(|at| done >= **at).is_some() {
            if live.ask {
                progress(&json!({"written": done, "compacting": true}))?;
                std::io::stdin().read_line(&mut String::new())?;
            }
            let report = session.compact(live.strategy)?;
            progress(&json!({"written": done, "compacted": report}))?;
        }
        if done >= reported + STRETCH {
            reported = done;
            progress(&json!({"written": done}))?;
        }
    }
    let written = session.known.len() - start;
    store.close()?;
    progress(&json!({"written": written, "closed": true}))
}

fn step(session: &mut Session<'_>, live: &Live) -> Result<(), Failure> {
    if live.pause_us > 0 {
        std::thread::sleep(Duration::from_micros(live.pause_us));
    }
    match session.chance.below(40) {
        0 | 1 => session.batch(false),
        2 if live.fences => {
            let cancel = session.chance.percent(50);
            session.fence(cancel)
        }
        _ => session.append(),
    }
}

fn progress(line: &serde_json::Value) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}
