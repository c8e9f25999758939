//! A store as JSON lines: one object per visible event in commit order, keys sorted.

use std::io::Write;
use std::path::Path;

use batpak::coordinate::Region;
use batpak::event::StoredEvent;
use batpak::id::EntityIdType;
use batpak::store::{IndexEntry, KeyScopeGranularity, ReadDisposition, ReadOnly, Store};
use serde_json::{json, Map, Value};

use crate::setup::Setup;
use crate::Failure;

pub fn dump(
    directory: &Path,
    granularity: Option<KeyScopeGranularity>,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let setup = Setup { granularity, ..Setup::default() };
    let store = Store::open_read_only(setup.config(directory)).map_err(Failure::open)?;
    for entry in store.query(&Region::all()) {
        serde_json::to_writer(&mut *out, &row(&store, &entry))?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

fn row(store: &Store<ReadOnly>, entry: &IndexEntry) -> Value {
    let mut row = index_part(entry);
    frame_part(&mut row, store.read_raw(entry.event_id()));
    row.insert("payload".into(), payload(store, entry));
    Value::Object(row)
}

fn index_part(entry: &IndexEntry) -> Map<String, Value> {
    let place = entry.disk_pos();
    let extensions: Map<String, Value> = entry
        .receipt_extensions()
        .iter()
        .map(|(key, value)| (key.as_str().to_owned(), Value::String(hex(value))))
        .collect();
    let row = json!({
        "global_sequence": entry.global_sequence(),
        "event_id": hex_id(entry.event_id().as_u128()),
        "correlation_id": hex_id(entry.correlation_id()),
        "causation_id": entry.causation_id().map(hex_id),
        "entity": entry.coord().entity(),
        "scope": entry.coord().scope(),
        "kind": entry.event_kind().as_raw_u16(),
        "wall_ms": entry.wall_ms(),
        "clock": entry.clock(),
        "lane": entry.dag_lane(),
        "depth": entry.dag_depth(),
        "prev_hash": hex(&entry.hash_chain().prev_hash),
        "event_hash": hex(&entry.hash_chain().event_hash),
        "segment_id": place.segment_id(),
        "offset": place.offset(),
        "length": place.length(),
        "extensions": extensions,
    });
    match row {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn frame_part(row: &mut Map<String, Value>, raw: Result<StoredEvent<Vec<u8>>, batpak::store::StoreError>) {
    let part = match raw {
        Ok(stored) => {
            let header = &stored.event.header;
            json!({
                "timestamp_us": header.timestamp_us,
                "flags": header.flags,
                "payload_version": header.payload_version,
                "payload_size": header.payload_size,
                "encrypted": header.payload_encryption.is_some(),
                "payload_raw": hex(&stored.event.payload),
            })
        }
        Err(_) => json!({
            "timestamp_us": null, "flags": null, "payload_version": null, "payload_size": null,
            "encrypted": null, "payload_raw": null,
        }),
    };
    if let Value::Object(part) = part {
        row.extend(part);
    }
}

fn payload(store: &Store<ReadOnly>, entry: &IndexEntry) -> Value {
    match store.get_shreddable(entry.event_id()) {
        Ok(ReadDisposition::Present(stored)) => stored.event.payload,
        Ok(ReadDisposition::Shredded) => json!({"$shredded": true}),
        Err(error) => json!({"$error": error.to_string()}),
    }
}

pub fn hex_id(id: u128) -> String {
    format!("{id:032x}")
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
