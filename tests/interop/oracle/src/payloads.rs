//! What the events carry: everyday records, awkward but legal values, and bytes that are not MessagePack.

use serde::{Deserialize, Serialize};

use crate::chance::Chance;
use crate::value::{record, text, Value};

/// Typed appends stamp the version into the header; nothing else does.
#[derive(Serialize, Deserialize, batpak::EventPayload)]
#[batpak(category = 1, type_id = 0x0a1)]
pub struct Shipped {
    pub parcel: u64,
    pub carrier: String,
}

#[derive(Serialize, Deserialize, batpak::EventPayload)]
#[batpak(category = 2, type_id = 0x0b2, version = 3)]
pub struct Refunded {
    pub cents: i64,
    pub reason: Option<String>,
}

pub fn everyday(chance: &mut Chance) -> Value {
    match chance.below(7) {
        0 => record(vec![
            ("amount", Value::Double((chance.between(0, 100_000) as f64) / 100.0)),
            ("currency", text(chance.pick(&["EUR", "USD", "JPY"]))),
            (
                "items",
                Value::List(vec![record(vec![
                    ("qty", Value::Int(chance.between(1, 10))),
                    ("sku", Value::Text(format!("S-{}", chance.below(100)))),
                ])]),
            ),
        ]),
        1 => record(vec![
            ("neg", Value::Int(-chance.between(1, 1 << 40))),
            ("note", text("Grüße 🚀 日本語")),
            ("tags", Value::List(vec![text("a"), text("b"), Value::Nil])),
        ]),
        2 => record(vec![
            ("ok", Value::Bool(chance.percent(50))),
            ("status", text(chance.pick(&["open", "paid", "shipped"]))),
            ("total", Value::Int(chance.between(0, 10_000))),
        ]),
        3 => record(vec![
            ("deep", record(vec![("a", record(vec![("b", Value::List(vec![Value::Int(7)]))]))])),
            ("empty", Value::Map(vec![])),
            ("list", Value::List(vec![])),
        ]),
        4 => Value::List(vec![Value::Int(1), Value::Int(2), Value::List(vec![Value::Int(3)])]),
        5 => Value::Uint(chance.bits() % 1000),
        _ => record(vec![("text", text(&"word ".repeat(chance.below(60))))]),
    }
}

pub const ODD_KINDS: usize = 12;
pub const RAW_KINDS: usize = 16;

pub fn odd(kind: usize, chance: &mut Chance) -> Value {
    match kind {
        0 => record(vec![("u64", Value::Uint(u64::MAX)), ("i64", Value::Int(i64::MIN))]),
        1 => record(vec![("u64", Value::Uint(1 << 63)), ("i64", Value::Int(-1)), ("big", Value::Int(i64::MAX))]),
        2 => record(vec![("x", odd_double(chance)), ("y", odd_double(chance)), ("z", Value::Int(3))]),
        3 => record(vec![("x", Value::Single(odd_single(chance)))]),
        4 => record(vec![("blob", Value::Bytes(chance.bytes(5))), ("name", text("binary"))]),
        5 => Value::Nil,
        6 => odd_double(chance),
        7 => text(chance.pick(&["", "\u{0}nul", "line\nbreak \"quoted\" \\ \u{7f}\u{1b}", "\u{10FFFF}\u{FEFF}é"])),
        8 => record(vec![
            ("", text("empty key")),
            ("日本", Value::Nil),
            ("a.b", Value::Bool(true)),
            ("\"q\"", Value::Int(0)),
        ]),
        9 => Value::Map(vec![(Value::Int(1), text("integer key")), (text("k"), Value::Nil)]),
        10 => nested(chance.pick(&[3, 31, 32, 33, 64, 200])),
        _ => record(vec![
            ("amount", text("not a number this time")),
            ("total", Value::Double(0.5)),
            ("ok", Value::Nil),
        ]),
    }
}

pub const WILD_KINDS: usize = 18;

/// What everyday applications do not write: sizes at the edges of every form, keys and values that collide with
/// those of a table. `any` allows what JSON cannot hold, which makes the engine give up a compaction.
pub fn wild(kind: usize, chance: &mut Chance, any: bool) -> Value {
    let size = chance.pick(&[0, 1, 31, 32, 127, 128, 255, 256, 257]);
    match kind {
        0 => record(vec![("long", Value::Text("é".repeat(chance.pick(&[32_767, 32_768, 40_000]))))]),
        1 => record(vec![("list", Value::List((0..chance.pick(&[15, 16, 65_535, 65_536])).map(Value::Int).collect()))]),
        2 => Value::Map((0..chance.pick(&[15, 16, 300])).map(|n| (Value::Text(format!("k{n}")), Value::Int(n))).collect()),
        3 => record(vec![("s", Value::Text("x".repeat(size))), ("t", Value::Text("\u{0}".repeat(size)))]),
        4 => {
            let taken = ["entity", "payload", "event_id", "global_sequence", "kind", "payload.x", ".", " ", "a..b", "x.y"];
            Value::Map(taken.iter().map(|name| (text(name), Value::Int(chance.between(-3, 3)))).collect())
        }
        5 => record(vec![("v", changing(chance, any))]),
        6 => record(vec![("v", changing(chance, any)), ("w", changing(chance, any)), ("v2", changing(chance, any))]),
        7 => record(vec![("n", Value::Int(boundary(chance))), ("total", Value::Int(boundary(chance)))]),
        8 => record(vec![("inner", record(vec![("f", odd_double(chance)), ("g", Value::List(vec![odd_double(chance)]))]))]),
        9 => record(vec![("t", text(chance.pick(&["\u{D7FF}\u{E000}", "\u{FFFF}", "\\ud800", "\u{1F468}\u{200D}\u{1F469}", "\r\n"])))]),
        10 if any => record(vec![("total", Value::Int(1)), ("total", text("two")), ("total", Value::Nil)]),
        11 if any => record(vec![("bin", Value::Bytes(chance.bytes(size))), ("in", Value::List(vec![Value::Bytes(vec![0])]))]),
        12 if any => Value::Map(vec![(Value::Bool(true), Value::Nil), (Value::Double(0.5), Value::Nil), (Value::Nil, Value::Int(1))]),
        13 => nested(if any { chance.pick(&[60, 120, 126, 127, 128, 129, 300]) } else { 60 }),
        14 => Value::List((0..size as i64).map(|n| record(vec![("n", Value::Int(n)), ("v", changing(chance, any))])).collect()),
        15 => changing(chance, any),
        16 => record(vec![("f", Value::Single(odd_single(chance))), ("d", odd_double(chance)), ("total", odd_double(chance))]),
        _ => record(vec![("a", record(vec![("b", changing(chance, any)), ("c", Value::List(vec![changing(chance, any)]))])), ("a.b", Value::Int(5))]),
    }
}

/// One field whose type is another every time.
fn changing(chance: &mut Chance, any: bool) -> Value {
    match chance.below(if any { 12 } else { 11 }) {
        0 => Value::Int(boundary(chance)),
        1 => Value::Uint(u64::MAX - chance.bits() % 3),
        2 => odd_double(chance),
        3 => Value::Bool(chance.percent(50)),
        4 => Value::Nil,
        5 => text(chance.pick(&["", "12", "true", "null", "2024-01-01T00:00:00Z", "é"])),
        6 => Value::List(vec![]),
        7 => Value::List(vec![Value::Int(1), text("x"), Value::Nil]),
        8 => Value::Map(vec![]),
        9 => record(vec![("b", Value::Int(boundary(chance)))]),
        10 => Value::Single(odd_single(chance)),
        _ => Value::Bytes(chance.bytes(3)),
    }
}

fn boundary(chance: &mut Chance) -> i64 {
    let bits = chance.pick(&[0, 5, 7, 8, 15, 16, 31, 32, 52, 53, 62]);
    let near = (1i64 << bits) + chance.between(-1, 2);
    chance.pick(&[near, -near, i64::MAX, i64::MIN])
}

fn odd_double(chance: &mut Chance) -> Value {
    Value::Double(chance.pick(&[
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        -0.0,
        0.0,
        1.0,
        1e16,
        1e17,
        5e-324,
        f64::MAX,
        1e-7,
        123_456_789.123,
        9_007_199_254_740_993.0,
        0.1 + 0.2,
    ]))
}

fn odd_single(chance: &mut Chance) -> f32 {
    chance.pick(&[0.1, f32::NAN, f32::INFINITY, -0.0, f32::MIN_POSITIVE, 16_777_217.0, f32::MAX])
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(Value::Int(7), |inner, level| {
        if level % 2 == 0 {
            record(vec![("in", inner)])
        } else {
            Value::List(vec![inner])
        }
    })
}

/// Stored bytes for the batch constructor that takes them unchecked.
pub fn raw(kind: usize, chance: &mut Chance) -> Vec<u8> {
    match kind {
        0 => vec![],
        1 => vec![0xc1],
        2 => vec![0x82, 0xa1, b'a', 0x01],                   // map cut short
        3 => vec![0x81, 0xa1, b's', 0xa2, 0xff, 0xfe],       // invalid UTF-8
        4 => vec![0xd4, 0x05, 0x01],                         // ext
        5 => vec![0x81, 0xa1, b't', 0xd6, 0xff, 0, 0, 0, 1], // timestamp ext in a field
        6 => vec![0x82, 0xa1, b'd', 0x01, 0xa1, b'd', 0x02], // duplicate key
        7 => vec![0x01, 0x02, 0x03],                         // trailing bytes
        8 => vec![0x81, 0xa1, b'n', 0xcf, 0, 0, 0, 0, 0, 0, 0, 9], // integer wider than needed
        9 => vec![0xde, 0x00, 0x01, 0xd9, 0x01, b'k', 0xd3, 0, 0, 0, 0, 0, 0, 0, 5],
        10 => vec![0xc4, 0x02, 0x00, 0xff], // bin at the top
        11 => deep(chance.pick(&[500, 1100, 3000])),
        12 => vec![0x81, 0xc4, 0x01, b'k', 0x01],       // bin as a key
        13 => vec![0xdf, 0xff, 0xff, 0xff, 0xff],       // absurd count
        14 => vec![0x82, 0xa1, b'a', 0x01, 0xc0, 0x02], // nil as a key
        _ => {
            let count = 1 + chance.below(40);
            chance.bytes(count)
        }
    }
}

fn deep(depth: usize) -> Vec<u8> {
    let mut bytes = vec![0x91; depth];
    bytes.push(0xc0);
    bytes
}
