//! Typed payloads: two structs that differ by their versions, with the steps between them, and one of every shape.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use batpak::coordinate::{Coordinate, Region};
use batpak::event::{DecodeTyped, Event, EventKind, EventPayload, Upcast, UpcastError};
use batpak::id::EntityIdType;
use batpak::store::{AppendOptions, BatchAppendItem, CausationRef, Open, Store};
use serde::{Deserialize, Serialize};
use serde_json::{json, Value as Json};

use crate::args::Args;
use crate::chance::Chance;
use crate::session::coordinate;
use crate::setup::Setup;
use crate::Failure;

#[derive(Serialize, Deserialize, batpak::EventPayload)]
#[batpak(category = 1, type_id = 0x0c1)]
struct OrderV1 {
    note: Option<String>,
    cents: i64,
}

#[derive(Serialize, Deserialize, batpak::EventPayload)]
#[batpak(category = 1, type_id = 0x0c1, version = 2)]
struct OrderV2 {
    note: Option<String>,
    total: f64,
}

#[derive(Serialize, Deserialize, batpak::EventPayload)]
#[batpak(category = 1, type_id = 0x0c1, version = 3)]
struct Order {
    total: f64,
    currency: String,
    note: Option<String>,
}

struct ToTotal;
struct ToCurrency;

fn pairs(value: rmpv::Value) -> Result<Vec<(rmpv::Value, rmpv::Value)>, UpcastError> {
    match value {
        rmpv::Value::Map(pairs) => Ok(pairs),
        other => Err(UpcastError::ValueCodec(format!("{other} is no map"))),
    }
}

impl Upcast for ToTotal {
    const KIND: EventKind = Order::KIND;
    const FROM_VERSION: u16 = 1;

    fn upcast(value: rmpv::Value) -> Result<rmpv::Value, UpcastError> {
        let mut lifted = Vec::new();
        for (key, value) in pairs(value)? {
            match key.as_str() {
                Some("cents") => {
                    let cents = value.as_i64().ok_or_else(|| UpcastError::ValueCodec("cents".to_owned()))?;
                    lifted.push(("total".into(), rmpv::Value::F64(cents as f64 / 100.0)));
                }
                _ => lifted.push((key, value)),
            }
        }
        Ok(rmpv::Value::Map(lifted))
    }
}

impl Upcast for ToCurrency {
    const KIND: EventKind = Order::KIND;
    const FROM_VERSION: u16 = 2;

    fn upcast(value: rmpv::Value) -> Result<rmpv::Value, UpcastError> {
        let mut lifted = pairs(value)?;
        lifted.push(("currency".into(), "EUR".into()));
        Ok(rmpv::Value::Map(lifted))
    }
}

batpak::register_upcast!(ToTotal);
batpak::register_upcast!(ToCurrency);

#[derive(Serialize, Deserialize)]
struct Inner {
    x: f64,
    tags: Vec<String>,
}

#[derive(Serialize, Deserialize, Clone, Copy)]
enum Status {
    Open,
    Paid,
}

#[derive(Serialize, Deserialize, batpak::EventPayload)]
#[batpak(category = 2, type_id = 0x0c2)]
struct Wide {
    zeta: bool,
    signed: i64,
    unsigned: u64,
    ratio: f64,
    name: String,
    maybe: Option<String>,
    amount: Option<f64>,
    levels: Vec<f64>,
    counts: BTreeMap<String, i64>,
    inner: Inner,
    inners: Vec<Inner>,
    nested: Option<Inner>,
    status: Status,
    pair: (i64, String),
    blob: Vec<u8>,
    any: Json,
    alpha: Vec<Option<bool>>,
}

const INTEGERS: [i64; 14] = [0, 1, -1, 127, 128, -32, -33, 255, 256, 65_535, 65_536, -40_000, i64::MAX, i64::MIN];
const FLOATS: [f64; 8] = [0.0, -0.0, 1.0, 0.1, f64::MAX, 5e-324, f64::INFINITY, 3e10];
const TEXTS: [&str; 5] = ["", "a", "Grüße 🚀 日本語", "a text of more than thirty-one bytes, so str8", "\u{0}\n"];

fn inner(chance: &mut Chance) -> Inner {
    let tags = chance.below(3);
    Inner { x: chance.pick(&FLOATS), tags: (0..tags).map(|_| chance.pick(&TEXTS).to_owned()).collect() }
}

fn wide(chance: &mut Chance) -> Wide {
    let (levels, counts, inners) = (chance.below(18), chance.below(4), chance.below(3));
    Wide {
        zeta: chance.percent(50),
        signed: chance.pick(&INTEGERS),
        unsigned: chance.pick(&[0, 7, 1 << 31, 1 << 32, u64::MAX]),
        ratio: chance.pick(&FLOATS),
        name: chance.pick(&TEXTS).to_owned(),
        maybe: chance.percent(50).then(|| chance.pick(&TEXTS).to_owned()),
        amount: chance.percent(50).then(|| chance.pick(&FLOATS)),
        levels: (0..levels).map(|_| chance.pick(&FLOATS)).collect(),
        counts: (0..counts).map(|_| (chance.pick(&TEXTS).to_owned(), chance.pick(&INTEGERS))).collect(),
        inner: inner(chance),
        inners: (0..inners).map(|_| inner(chance)).collect(),
        nested: chance.percent(50).then(|| inner(chance)),
        status: chance.pick(&[Status::Open, Status::Paid]),
        pair: (chance.pick(&INTEGERS), chance.pick(&TEXTS).to_owned()),
        blob: chance.bytes(5),
        any: json!({"b": [1, 2.5, null], "a": {"z": true, "y": "text"}}),
        alpha: vec![None, Some(chance.percent(50))],
    }
}

fn note(chance: &mut Chance) -> Option<String> {
    chance.percent(50).then(|| chance.pick(&TEXTS).to_owned())
}

/// Events of every version, most of them stamped with it; a tenth through a batch, where 0.9.0 leaves version 0.
fn write(directory: &Path, seed: u64, events: usize) -> Result<(), Failure> {
    let store = Store::<Open>::open(Setup::segments_of(1 << 20).config(directory)).map_err(Failure::open)?;
    let chance = &mut Chance::new(seed, 0);
    let coordinate = coordinate("order:1", "shop");
    for _ in 0..events {
        let (note, cents) = (note(chance), chance.between(-10_000, 10_000_000));
        let total = cents as f64 / 100.0;
        let _receipt = match chance.below(10) {
            0 | 1 => store.append_typed(&coordinate, &OrderV1 { note, cents })?,
            2 | 3 => store.append_typed(&coordinate, &OrderV2 { note, total })?,
            4 | 5 => store.append_typed(&coordinate, &Order { total, currency: "USD".to_owned(), note })?,
            6 => batch_of_one(&store, &coordinate, &Order { total, currency: "JPY".to_owned(), note })?,
            _ => store.append_typed(&coordinate, &wide(chance))?,
        };
    }
    store.close()?;
    Ok(())
}

fn batch_of_one(
    store: &Store<Open>,
    coordinate: &Coordinate,
    order: &Order,
) -> Result<batpak::store::AppendReceipt, Failure> {
    let item = BatchAppendItem::typed(coordinate.clone(), order, AppendOptions::new(), CausationRef::None)?;
    let mut receipts = store.append_batch(vec![item])?;
    receipts.pop().ok_or_else(|| Failure::usage("a batch of one gave no receipt"))
}

/// Decodes every typed event of a store as its current type and appends that to another; prints what was not decoded.
fn copy(source: &Path, target: &Path) -> Result<(), Failure> {
    let from = Store::<Open>::open(Setup::default().config(source)).map_err(Failure::open)?;
    let to = Store::<Open>::open(Setup::default().config(target)).map_err(Failure::open)?;
    let mut out = std::io::stdout().lock();
    for entry in from.query(&Region::all()) {
        let event = from.read_raw(entry.event_id())?.event;
        let failed = match entry.event_kind() {
            kind if kind == Order::KIND => append::<Order>(&to, entry.coord(), &event)?,
            kind if kind == Wide::KIND => append::<Wide>(&to, entry.coord(), &event)?,
            _ => continue,
        };
        let id = format!("{:032x}", entry.event_id().as_u128());
        writeln!(out, "{}", json!({"event_id": id, "error": failed}))?;
    }
    to.close()?;
    from.close()?;
    Ok(())
}

fn append<T: EventPayload>(
    store: &Store<Open>,
    coordinate: &Coordinate,
    event: &Event<Vec<u8>>,
) -> Result<Option<String>, Failure> {
    match event.decode_typed::<T>() {
        Ok(payload) => store.append_typed(coordinate, &payload).map(|_| None).map_err(Failure::from),
        Err(error) => Ok(Some(error.to_string())),
    }
}

/// `typed write DIR --seed N --events N` and `typed copy SOURCE DIR`.
pub fn run(args: &mut Args) -> Result<(), Failure> {
    match args.word("what to do")?.as_str() {
        "write" => write(&args.directory()?, args.number_or("seed", 1)?, args.required("events")?),
        "copy" => copy(&args.directory()?, &args.directory()?),
        other => Err(Failure::usage(format!("typed {other}: write or copy"))),
    }
}
