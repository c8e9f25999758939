//! What the reference's queries give, for the questions on stdin: one JSON object a line, one answer a line.
//!
//! A question is `{"ask": "query", ...}`. A region has any of `entity`, `scope`, `kind`, `category`, `clock`, `lane`.
//! Events are answered as their ids in the order of the query.

use std::io::{BufRead, Write};
use std::path::Path;

use batpak::coordinate::{ClockRange, KindFilter, Region};
use batpak::event::EventKind;
use batpak::id::{EntityIdType, EventId};
use batpak::store::{IndexEntry, ReadOnly, Store};
use serde_json::{json, Value as Json};

use crate::dump::hex_id;
use crate::setup::{granularity_of, Setup};
use crate::Failure;

pub fn answer(directory: &Path) -> Result<(), Failure> {
    let setup = Setup { granularity: granularity_of(directory)?, ..Setup::default() };
    let store = Store::open_read_only(setup.config(directory)).map_err(Failure::open)?;
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let question: Json = serde_json::from_str(&line?)?;
        writeln!(out, "{}", reply(&store, &question)?)?;
    }
    Ok(())
}

fn reply(store: &Store<ReadOnly>, question: &Json) -> Result<Json, Failure> {
    let text = |name: &str| question[name].as_str().unwrap_or_default();
    let lane = question["lane"].as_u64().map(|lane| lane as u32);
    Ok(match text("ask") {
        "query" => ids(&store.query(&region(question)?)),
        "query_after" => {
            let limit = question["limit"].as_u64().unwrap_or(0) as usize;
            ids(&store.query_entries_after(&region(question)?, question["after"].as_u64(), limit))
        }
        "stream" => ids(&match lane {
            Some(lane) => store.by_entity_lane(text("entity"), lane),
            None => store.by_entity(text("entity")),
        }),
        "latest" => json!(store.latest_lane(text("entity"), lane.unwrap_or(0)).as_ref().map(id)),
        "get" => json!(store.read_raw(event_id(text("id"))?).is_ok()),
        "walk" => {
            let limit = question["limit"].as_u64().unwrap_or(u64::from(u32::MAX)) as usize;
            let walk = store.walk_ancestors_outcome(event_id(text("id"))?, limit);
            let events: Vec<String> =
                walk.ancestors.iter().map(|one| hex_id(one.event.header.event_id.as_u128())).collect();
            json!({"events": events, "end": format!("{:?}", walk.boundary)})
        }
        other => return Err(Failure::usage(format!("unknown question {other}"))),
    })
}

fn event_id(text: &str) -> Result<EventId, Failure> {
    u128::from_str_radix(text, 16).map(EventId::from_u128).map_err(|error| Failure::usage(error.to_string()))
}

fn id(entry: &IndexEntry) -> String {
    hex_id(entry.event_id().as_u128())
}

fn ids(entries: &[IndexEntry]) -> Json {
    json!(entries.iter().map(id).collect::<Vec<_>>())
}

fn region(question: &Json) -> Result<Region, Failure> {
    let mut region = Region::all();
    if let Some(entity) = question["entity"].as_str() {
        region = Region::entity(entity);
    }
    if let Some(scope) = question["scope"].as_str() {
        region = region.with_scope(scope);
    }
    if let Some(kind) = question["kind"].as_u64() {
        let kind: EventKind = serde_json::from_value(json!(kind))?;
        region = region.with_fact(KindFilter::Exact(kind));
    }
    if let Some(category) = question["category"].as_u64() {
        region = region.with_fact(KindFilter::Category(category as u8));
    }
    if let Some([start, end]) = question["clock"].as_array().map(Vec::as_slice) {
        let (start, end) = (start.as_u64().unwrap_or(0) as u32, end.as_u64().unwrap_or(0) as u32);
        let range = ClockRange::new(start, end).map_err(|error| Failure::usage(format!("{error:?}")))?;
        region = region.with_clock_range(range);
    }
    if let Some(lane) = question["lane"].as_u64() {
        region = region.with_lane(lane as u32);
    }
    Ok(region)
}
