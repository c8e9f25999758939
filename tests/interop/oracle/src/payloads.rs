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
