//! Large stores for measurements: many everyday events of one shape, written as fast as the engine takes them.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Instant;

use batpak::coordinate::Coordinate;
use batpak::event::EventKind;
use batpak::store::{AppendOptions, AppendTicket, BatchAppendItem, CausationRef, Open, Store};
use serde::Serialize;
use serde_json::{json, Value as Json};

use crate::chance::Chance;
use crate::session::coordinate;
use crate::setup::Setup;
use crate::Failure;

pub struct Bulk {
    pub seed: u64,
    pub events: usize,
    pub segment_bytes: u64,
    /// About how long a payload is; its note is lengthened to fill it.
    pub payload_bytes: usize,
    pub entities: usize,
    /// Events of one `append_batch`; 0 appends each by itself, without the two markers of a batch.
    pub batch: usize,
    /// Whether each single append is waited for before the next.
    pub wait: bool,
}

/// What the engine's queue may hold before the oldest append is waited for; it refuses work when it is full.
const IN_FLIGHT: usize = 1000;
/// A payload with an empty note.
const BARE_PAYLOAD_BYTES: usize = 55;
const NOTE_LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz ";

#[derive(Serialize)]
struct Line {
    sku: String,
    qty: u8,
    price: f64,
    currency: &'static str,
    ok: bool,
    note: Option<String>,
}

struct Lines {
    chance: Chance,
    coordinates: Vec<Coordinate>,
    note_bytes: usize,
}

impl Lines {
    fn new(bulk: &Bulk) -> Self {
        Self {
            chance: Chance::new(bulk.seed, 0),
            coordinates: (0..bulk.entities.max(1))
                .map(|number| coordinate(&format!("order:{number}"), "shop:web"))
                .collect(),
            note_bytes: bulk.payload_bytes.saturating_sub(BARE_PAYLOAD_BYTES),
        }
    }

    /// One event: whose it is, of which of five kinds, and what it carries.
    fn next(&mut self) -> (Coordinate, EventKind, Line) {
        let chance = &mut self.chance;
        let at = chance.below(self.coordinates.len());
        let kind = EventKind::custom(1, 1 + chance.below(5) as u16);
        let line = Line {
            sku: format!("{}-{:04}", chance.pick(&['A', 'B', 'C']), chance.below(10_000)),
            qty: 1 + chance.below(9) as u8,
            price: chance.between(100, 100_000) as f64 / 100.0,
            currency: chance.pick(&["EUR", "USD", "JPY"]),
            ok: chance.percent(90),
            note: (!chance.percent(10)).then(|| note(chance, self.note_bytes)),
        };
        (self.coordinates[at].clone(), kind, line)
    }
}

/// Text that is `length` long, give or take a few letters.
fn note(chance: &mut Chance, length: usize) -> String {
    let length = (length + chance.below(7)).saturating_sub(3);
    (0..length).map(|_| char::from(chance.pick(NOTE_LETTERS))).collect()
}

pub fn write(directory: &Path, bulk: &Bulk) -> Result<Json, Failure> {
    let start = Instant::now();
    let store = Store::open(Setup::segments_of(bulk.segment_bytes).config(directory))?;
    let mut lines = Lines::new(bulk);
    if bulk.batch == 0 {
        singles(&store, &mut lines, bulk)?;
    } else {
        batches(&store, &mut lines, bulk)?;
    }
    store.close()?;
    Ok(json!({"events": bulk.events, "seconds": start.elapsed().as_secs_f64()}))
}

fn singles(store: &Store<Open>, lines: &mut Lines, bulk: &Bulk) -> Result<(), Failure> {
    if bulk.wait {
        for _ in 0..bulk.events {
            let (coordinate, kind, line) = lines.next();
            drop(store.append(&coordinate, kind, &line)?);
        }
        return Ok(());
    }
    let mut waiting: VecDeque<AppendTicket> = VecDeque::with_capacity(IN_FLIGHT);
    for _ in 0..bulk.events {
        if waiting.len() == IN_FLIGHT {
            waiting.pop_front().map(AppendTicket::wait).transpose()?;
        }
        let (coordinate, kind, line) = lines.next();
        waiting.push_back(store.submit(&coordinate, kind, &line)?);
    }
    waiting.into_iter().try_for_each(|ticket| ticket.wait().map(drop))?;
    Ok(())
}

fn batches(store: &Store<Open>, lines: &mut Lines, bulk: &Bulk) -> Result<(), Failure> {
    let mut left = bulk.events;
    while left > 0 {
        let items = (0..left.min(bulk.batch)).map(|_| {
            let (coordinate, kind, line) = lines.next();
            BatchAppendItem::new(coordinate, kind, &line, AppendOptions::new(), CausationRef::None)
        });
        left -= store.append_batch(items.collect::<Result<Vec<_>, _>>()?)?.len();
    }
    Ok(())
}
