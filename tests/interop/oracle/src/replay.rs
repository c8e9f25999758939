//! A session written down as JSON, with a fixed clock and given ids: what another engine must write byte for byte.

use std::collections::BTreeMap;
use std::path::Path;

use batpak::coordinate::Coordinate;
use batpak::event::EventKind;
use batpak::id::{CausationId, CorrelationId, IdempotencyKey};
use batpak::store::{AppendOptions, AppendPositionHint, BatchAppendItem, CausationRef, ExtensionKey, Open, Store};
use serde::Deserialize;
use serde_json::Value as Json;

use crate::session::coordinate;
use crate::setup::{Setup, SteppedClock};
use crate::Failure;

#[derive(Deserialize)]
struct Script {
    segment_bytes: u64,
    clock_us: i64,
    steps: Vec<Step>,
    close: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    Append(Item),
    Batch(Vec<Item>),
    Sync,
}

#[derive(Deserialize)]
pub struct Item {
    entity: String,
    scope: String,
    kind: u16,
    payload: Json,
    key: String,
    lane: u32,
    depth: u32,
    branch_root: bool,
    flags: u8,
    correlation: Option<String>,
    cause: Option<String>,
    prior: Option<usize>,
    extensions: BTreeMap<String, Vec<u8>>,
}

impl Item {
    fn coordinate(&self) -> Coordinate {
        coordinate(&self.entity, &self.scope)
    }

    fn kind(&self) -> EventKind {
        EventKind::custom((self.kind >> 12) as u8, self.kind & 0xfff)
    }

    fn options(&self) -> Result<AppendOptions, Failure> {
        let position = if self.branch_root {
            AppendPositionHint::branch_root(self.lane, self.depth)
        } else {
            AppendPositionHint::new(self.lane, self.depth)
        };
        let mut options = AppendOptions::new()
            .with_idempotency(IdempotencyKey::from_u128(number(&self.key)?))
            .with_position_hint(position)
            .with_flags(self.flags);
        if let Some(id) = &self.correlation {
            options = options.with_correlation(CorrelationId::from_u128(number(id)?));
        }
        if let Some(id) = &self.cause {
            options = options.with_causation(CausationId::from_u128(number(id)?));
        }
        for (name, value) in &self.extensions {
            let key = ExtensionKey::new(name).map_err(|error| Failure::usage(format!("{name}: {error:?}")))?;
            options = options.with_extension(key, value.clone());
        }
        Ok(options)
    }

    fn batch_item(&self) -> Result<BatchAppendItem, Failure> {
        let mut options = self.options()?;
        let cause = match (self.prior, &self.cause) {
            (Some(index), _) => CausationRef::PriorItem(index),
            (None, Some(id)) => CausationRef::Absolute(number(id)?),
            (None, None) => CausationRef::None,
        };
        options.causation_id = None;
        Ok(BatchAppendItem::new(self.coordinate(), self.kind(), &self.payload, options, cause)?)
    }
}

fn number(hexadecimal: &str) -> Result<u128, Failure> {
    u128::from_str_radix(hexadecimal, 16).map_err(|_| Failure::usage(format!("{hexadecimal} is no id")))
}

pub fn run(directory: &Path, script: &Path) -> Result<Json, Failure> {
    let script: Script = serde_json::from_str(&std::fs::read_to_string(script)?)?;
    let clock = Some(SteppedClock { start_us: script.clock_us, step_us: 0 });
    let store = Store::open(Setup { clock, ..Setup::segments_of(script.segment_bytes) }.config(directory))?;
    for step in &script.steps {
        take(&store, step)?;
    }
    if script.close {
        store.close()?;
    }
    Ok(Json::Null)
}

pub fn take(store: &Store<Open>, step: &Step) -> Result<(), Failure> {
    match step {
        Step::Append(item) => {
            drop(store.append_with_options(&item.coordinate(), item.kind(), &item.payload, item.options()?)?)
        }
        Step::Batch(items) => {
            let items = items.iter().map(Item::batch_item).collect::<Result<Vec<_>, _>>()?;
            drop(store.append_batch(items)?)
        }
        Step::Sync => store.sync()?,
    }
    Ok(())
}
