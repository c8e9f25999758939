//! States and reports of projections: steps of a session and questions on stdin, one JSON object a line.
//!
//! `{"append": ...}`, `{"batch": [...]}` and `"sync"` are the steps of `replay`. `{"run": {"projection", "entity"}}`,
//! with `max_stale_ms` if wanted, is answered by a line with the state and the report, `{"fused": {"entity"}}` by the
//! states of `Count`, `Sum` and `Order`, folded together.

use std::io::{BufRead, Write};
use std::path::Path;

use batpak::event::sourcing::{
    EventSourced, JsonValueInput, ProjectionEvent, ProjectionStateContract, StateExtent, StateExtentCost,
};
use batpak::event::EventKind;
use batpak::id::EntityIdType;
use batpak::store::{Freshness, Open, ProjectionRunReportError, Store};
use serde::{Deserialize, Serialize};
use serde_json::{json, Value as Json};

use crate::dump::{hex, hex_id};
use crate::replay::{take, Step};
use crate::setup::{granularity_of, Setup, SteppedClock};
use crate::Failure;

const UNBOUNDED: ProjectionStateContract =
    ProjectionStateContract::UnboundedDeclared { reason: "a test", owner: "tests", review_by: "never" };
static ALL: [EventKind; 0] = [];
static SOME: [EventKind; 3] = [EventKind::custom(1, 1), EventKind::custom(2, 1), EventKind::custom(1, 2)];

/// One way to fold; `fold` and `apply` say the same.
macro_rules! projection {
    ($name:ident { $($field:ident: $type:ty),* }, $kinds:ident, $contract:expr, $extent:expr, $apply:expr) => {
        #[derive(Default, Serialize, Deserialize)]
        pub struct $name { $($field: $type),* }

        impl EventSourced for $name {
            type Input = JsonValueInput;
            const STATE_CONTRACT: ProjectionStateContract = $contract;

            fn from_events(events: &[ProjectionEvent<Self>]) -> Option<Self> {
                let mut state = Self::default();
                events.iter().for_each(|event| state.apply_event(event));
                (!events.is_empty()).then_some(state)
            }

            fn apply_event(&mut self, event: &ProjectionEvent<Self>) {
                let apply: fn(&mut Self, &ProjectionEvent<Self>) = $apply;
                apply(self, event)
            }

            fn relevant_event_kinds() -> &'static [EventKind] {
                &$kinds
            }

            fn supports_incremental_apply() -> bool {
                true
            }

            fn state_extent(&self) -> StateExtent {
                let extent: fn(&Self) -> StateExtent = $extent;
                extent(self)
            }
        }
    };
}

projection!(Count { count: u64 }, ALL, UNBOUNDED, |_| StateExtent::unavailable(), |state, _| state.count += 1);
projection!(Last { value: Json }, SOME, UNBOUNDED, |_| StateExtent::unavailable(), |state, event| {
    state.value = event.payload.clone()
});
projection!(
    Sum { integers: i64, floats: f64, others: u64 },
    SOME,
    UNBOUNDED,
    |_| StateExtent::unavailable(),
    |state, event| match &event.payload {
        Json::Number(number) if number.is_f64() => state.floats += number.as_f64().unwrap_or(0.0),
        Json::Number(number) => state.integers = state.integers.wrapping_add(number.as_i64().unwrap_or(0)),
        _ => state.others += 1,
    }
);
projection!(Order { ids: Vec<String> }, ALL, UNBOUNDED, |_| StateExtent::unavailable(), |state, event| {
    state.ids.push(hex_id(event.header.event_id.as_u128()))
});
projection!(
    Bounded { ids: Vec<String> },
    ALL,
    ProjectionStateContract::bounded("ids", 3, "none", "none", "none"),
    |state| StateExtent::cardinality(state.ids.len() as u64, StateExtentCost::ConstantTime),
    |state, event| state.ids.push(hex_id(event.header.event_id.as_u128()))
);
projection!(
    Unmeasured { count: u64 },
    ALL,
    ProjectionStateContract::bounded("ids", 3, "none", "none", "none"),
    |_| StateExtent::unavailable(),
    |state, _| state.count += 1
);

#[derive(Deserialize)]
struct Run {
    projection: String,
    entity: String,
    max_stale_ms: Option<u64>,
}

pub struct Options<'a> {
    pub cache: Option<&'a Path>,
    pub incremental: bool,
    pub clock_us: Option<i64>,
}

pub fn answer(directory: &Path, options: &Options<'_>) -> Result<(), Failure> {
    let clock = options.clock_us.map(|start_us| SteppedClock { start_us, step_us: 0 });
    let setup = Setup { clock, granularity: granularity_of(directory)?, ..Setup::default() };
    let config = setup.config(directory).with_incremental_projection(options.incremental);
    let store = match options.cache {
        Some(cache) => Store::open_with_native_cache(config, cache),
        None => Store::open(config),
    }
    .map_err(Failure::open)?;
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let asked: Json = serde_json::from_str(&line?)?;
        if let Some(run) = asked.get("run") {
            writeln!(out, "{}", named(&store, &serde_json::from_value(run.clone())?)?)?;
        } else if let Some(fused) = asked.get("fused") {
            let entity = fused["entity"].as_str().unwrap_or_default();
            let told = match store.project_fused3::<Count, Sum, Order>(entity) {
                Ok((count, sum, order)) => json!([count, sum, order]),
                Err(error) => json!({"error": error.to_string()}),
            };
            writeln!(out, "{told}")?;
        } else {
            take(&store, &serde_json::from_value::<Step>(asked)?)?;
        }
    }
    store.close()?;
    Ok(())
}

fn named(store: &Store<Open>, asked: &Run) -> Result<Json, Failure> {
    match asked.projection.as_str() {
        "Count" => run::<Count>(store, asked),
        "Last" => run::<Last>(store, asked),
        "Sum" => run::<Sum>(store, asked),
        "Order" => run::<Order>(store, asked),
        "Bounded" => run::<Bounded>(store, asked),
        "Unmeasured" => run::<Unmeasured>(store, asked),
        other => Err(Failure::usage(format!("unknown projection {other}"))),
    }
}

fn run<T>(store: &Store<Open>, asked: &Run) -> Result<Json, Failure>
where
    T: EventSourced<Input = JsonValueInput> + Serialize + for<'a> Deserialize<'a> + 'static,
{
    let freshness = match asked.max_stale_ms {
        Some(max_stale_ms) => Freshness::MaybeStale { max_stale_ms },
        None => Freshness::Consistent,
    };
    let (state, report, error) = match store.project_run_evidence::<T>(&asked.entity, &freshness) {
        Ok((state, report)) => (json!(state), report, None),
        Err(ProjectionRunReportError::ProjectionFailed { source, report }) => {
            (Json::Null, *report, Some(source.to_string()))
        }
        Err(error) => return Err(Failure::usage(error.to_string())),
    };
    Ok(json!({
        "state": state, "body": report.body, "body_hash": hex(&report.body_hash), "error": error,
        "diagnostics": report.diagnostics, "generation": store.entity_generation(&asked.entity),
    }))
}
