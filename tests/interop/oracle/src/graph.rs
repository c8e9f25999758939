//! Large stores whose events cause each other, for measurements of the causal views, and what opening them takes.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Instant;

use batpak::coordinate::Coordinate;
use batpak::event::EventKind;
use batpak::id::{CausationId, CorrelationId};
use batpak::store::{AppendTicket, Store};
use serde_json::{json, Value as Json};

use crate::chance::Chance;
use crate::session::coordinate;
use crate::setup::{granularity_of, Setup};
use crate::Failure;

pub struct Graph {
    pub seed: u64,
    pub events: usize,
    pub segment_bytes: u64,
    pub entities: usize,
    /// Percent of events that nothing caused: each begins a correlation of its own.
    pub roots: u64,
}

/// What the engine's queue may hold before the oldest append is waited for; it refuses work when it is full.
const IN_FLIGHT: usize = 1000;
/// How many of the events that were committed last can be causes of the next.
const RECENT: usize = 5000;

pub fn write(directory: &Path, graph: &Graph) -> Result<Json, Failure> {
    let store = Store::open(Setup::segments_of(graph.segment_bytes).config(directory))?;
    let mut chance = Chance::new(graph.seed, 0);
    let coordinates: Vec<Coordinate> =
        (0..graph.entities.max(1)).map(|number| coordinate(&format!("order:{number}"), "shop:web")).collect();
    let mut waiting: VecDeque<(AppendTicket, Option<u128>)> = VecDeque::with_capacity(IN_FLIGHT);
    // Ids and correlations of committed events.
    let mut recent: VecDeque<(u128, u128)> = VecDeque::with_capacity(RECENT);
    let mut caused = 0;
    for number in 0..graph.events {
        if waiting.len() == IN_FLIGHT {
            if let Some((ticket, correlation)) = waiting.pop_front() {
                let id = u128::from(ticket.wait()?.event_id);
                if recent.len() == RECENT {
                    recent.pop_front();
                }
                recent.push_back((id, correlation.unwrap_or(id)));
            }
        }
        let coordinate = &coordinates[chance.below(coordinates.len())];
        let kind = EventKind::custom(1, 1 + chance.below(5) as u16);
        let payload = json!({"step": number % 7, "amount": number % 997, "currency": "EUR", "note": "paid", "ok": true});
        let ticket = if recent.is_empty() || chance.percent(graph.roots) {
            (store.submit(coordinate, kind, &payload)?, None)
        } else {
            let (cause, correlation) = recent[chance.below(recent.len())];
            caused += 1;
            let (group, cause) = (CorrelationId::from_u128(correlation), CausationId::from_u128(cause));
            (store.submit_reaction(coordinate, kind, &payload, group, cause)?, Some(correlation))
        };
        waiting.push_back(ticket);
    }
    waiting.into_iter().try_for_each(|(ticket, _)| ticket.wait().map(drop))?;
    store.close()?;
    Ok(json!({"events": graph.events, "caused": caused}))
}

/// Times a read-only open, which comes before anything that the engine can be asked.
pub fn open(directory: &Path) -> Result<Json, Failure> {
    let setup = Setup { granularity: granularity_of(directory)?, ..Setup::default() };
    let start = Instant::now();
    let store = Store::open_read_only(setup.config(directory)).map_err(Failure::open)?;
    let opened = start.elapsed();
    Ok(json!({"events": store.stats().event_count, "open_seconds": opened.as_secs_f64()}))
}
