//! The engine's own projection of one entity of the everyday events, timed.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use batpak::event::sourcing::{
    EventSourced, JsonValueInput, ProjectionEvent, ProjectionStateContract, StateExtent,
};
use batpak::event::EventKind;
use batpak::store::{Freshness, Store};
use serde::{Deserialize, Serialize};
use serde_json::{json, Value as Json};

use crate::setup::{granularity_of, Setup};
use crate::Failure;

/// How many events there were, and the money of each currency.
#[derive(Default, Serialize, Deserialize)]
struct Totals {
    events: u64,
    money: BTreeMap<String, f64>,
}

impl EventSourced for Totals {
    type Input = JsonValueInput;
    const STATE_CONTRACT: ProjectionStateContract =
        ProjectionStateContract::UnboundedDeclared { reason: "a benchmark", owner: "tests", review_by: "never" };

    fn from_events(events: &[ProjectionEvent<Self>]) -> Option<Self> {
        let mut state = Self::default();
        events.iter().for_each(|event| state.apply_event(event));
        (!events.is_empty()).then_some(state)
    }

    fn apply_event(&mut self, event: &ProjectionEvent<Self>) {
        let payload = &event.payload;
        let number = |name: &str| payload.get(name).and_then(Json::as_f64).unwrap_or(0.0);
        let currency = payload.get("currency").and_then(Json::as_str).unwrap_or("").to_owned();
        self.events += 1;
        *self.money.entry(currency).or_insert(0.0) += number("qty") * number("price");
    }

    fn relevant_event_kinds() -> &'static [EventKind] {
        &[]
    }

    fn state_extent(&self) -> StateExtent {
        StateExtent::unavailable()
    }
}

/// Opens read-only and projects the entity once, without a cache.
pub fn project(directory: &Path, entity: &str) -> Result<Json, Failure> {
    let setup = Setup { granularity: granularity_of(directory)?, ..Setup::default() };
    let store = Store::open_read_only(setup.config(directory)).map_err(Failure::open)?;
    let start = Instant::now();
    let state: Option<Totals> = store.project(entity, &Freshness::Consistent)?;
    Ok(json!({"seconds": start.elapsed().as_secs_f64(), "state": state}))
}
