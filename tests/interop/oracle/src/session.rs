//! The things one application does to an open store. Every choice comes from the session's `Chance`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;

use batpak::coordinate::{Coordinate, Region};
use batpak::event::EventKind;
use batpak::guard::{Denial, GateSet};
use batpak::id::{CausationId, CorrelationId, EntityIdType, IdempotencyKey};
use batpak::store::{
    AppendOptions, AppendPositionHint, AppendReceipt, BatchAppendItem, CausationRef, CompactionConfig,
    CompactionStrategy, DenialRequest, ExtensionKey, KeyScopeGranularity, Open, ShredScope, Store,
    VisibilityFence,
};
use serde_json::{json, Value as Json};

use crate::chance::Chance;
use crate::payloads::{everyday, odd, raw, Refunded, Shipped, ODD_KINDS, RAW_KINDS};
use crate::Failure;

/// How often each peculiarity occurs, in percent.
#[derive(Clone, Copy, Default)]
pub struct Mix {
    pub entities: usize,
    pub lanes: u64,
    pub keys: u64,
    pub flags: u64,
    pub extensions: u64,
    pub causes: u64,
    pub odd: u64,
}

impl Mix {
    pub const RICH: Self = Self { entities: 7, lanes: 0, keys: 15, flags: 10, extensions: 10, causes: 40, odd: 8 };
}

/// The entity that compactions drop and profiles shred.
pub const SINGLED_OUT: &str = "order:2";

/// The scope of every event whose fence will be cancelled: a reader that shows one shows what was taken back.
pub const CANCELLED_SCOPE: &str = "shop:cancelled";

pub struct Session<'a> {
    pub store: &'a Store<Open>,
    pub chance: &'a mut Chance,
    pub mix: Mix,
    /// Events that later ones may name as their cause, correlation or key.
    pub known: Vec<u128>,
    keys: Vec<u128>,
    doomed: bool,
    /// Takes the id and the content hash, 48 bytes, of every event the engine has acknowledged, in commit order.
    receipts: Option<File>,
    pub counts: BTreeMap<&'static str, u64>,
}

impl<'a> Session<'a> {
    /// `keys` are idempotency keys that may be used again, in this session or a later one.
    pub fn with_keys(mut self, keys: Vec<u128>) -> Self {
        self.keys = keys;
        self
    }

    pub fn with_receipts(mut self, receipts: Option<File>) -> Self {
        self.receipts = receipts;
        self
    }

    pub fn new(store: &'a Store<Open>, chance: &'a mut Chance, mix: Mix) -> Self {
        let known = store.query(&Region::all()).iter().map(|entry| entry.event_id().as_u128()).collect();
        Self { store, chance, mix, known, keys: Vec::new(), doomed: false, receipts: None, counts: BTreeMap::new() }
    }

    pub fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn remember(&mut self, receipt: &AppendReceipt) -> Result<(), Failure> {
        let id = receipt.event_id.as_u128();
        self.known.push(id);
        if let Some(file) = &mut self.receipts {
            let mut record = [0; 48];
            record[..16].copy_from_slice(&id.to_be_bytes());
            record[16..].copy_from_slice(&receipt.content_hash);
            file.write_all(&record)?;
        }
        Ok(())
    }

    pub fn coordinate(&mut self) -> Coordinate {
        let number = self.chance.below(self.mix.entities.max(1));
        let family = self.chance.pick(&["order", "order", "cart"]);
        let scope = self.chance.pick(&["shop:web", "shop:web", "shop:app"]);
        let scope = if self.doomed { CANCELLED_SCOPE } else { scope };
        coordinate(&format!("{family}:{number}"), scope)
    }

    pub fn kind(&mut self) -> EventKind {
        let category = self.chance.pick(&[1, 1, 1, 2, 2, 0xF]);
        EventKind::custom(category, 1 + self.chance.below(4) as u16)
    }

    fn payload(&mut self) -> crate::value::Value {
        if self.chance.percent(self.mix.odd) {
            odd(self.chance.below(ODD_KINDS), self.chance)
        } else {
            everyday(self.chance)
        }
    }

    pub fn options(&mut self) -> AppendOptions {
        let mut options = AppendOptions::new();
        if self.chance.percent(self.mix.lanes) {
            options = options.with_position_hint(self.position());
        }
        if self.chance.percent(self.mix.flags) {
            options = options.with_flags(self.chance.pick(&[0x01, 0x02, 0x08, 0x0a, 0xff]));
        }
        if self.chance.percent(self.mix.extensions) {
            options = self.with_extensions(options);
        }
        if self.chance.percent(self.mix.keys) {
            options = options.with_idempotency(IdempotencyKey::from_u128(self.key()));
        }
        if self.chance.percent(self.mix.causes) {
            options = options.with_causation(CausationId::from_u128(self.cause()));
            if self.chance.percent(60) {
                options = options.with_correlation(CorrelationId::from_u128(self.cause()));
            }
        }
        options
    }

    fn position(&mut self) -> AppendPositionHint {
        let lane = self.chance.pick(&[0, 1, 2, 3, 5, u32::MAX]);
        let depth = self.chance.pick(&[0, 1, 2, 7, u32::MAX]);
        if self.chance.percent(20) {
            AppendPositionHint::branch_root(lane, depth)
        } else {
            AppendPositionHint::new(lane, depth)
        }
    }

    fn with_extensions(&mut self, mut options: AppendOptions) -> AppendOptions {
        for name in ["app.audit", "zz.trace", "app.A-very_odd+key"] {
            if self.chance.percent(50) {
                let size = self.chance.pick(&[0, 1, 6, 40]);
                let value = self.chance.bytes(size);
                if let Ok(key) = ExtensionKey::new(name) {
                    options = options.with_extension(key, value);
                }
            }
        }
        options
    }

    /// Mostly a new key; sometimes one used before, which the engine answers without writing.
    fn key(&mut self) -> u128 {
        if !self.keys.is_empty() && self.chance.percent(10) {
            return self.chance.pick(&self.keys);
        }
        let key = self.chance.wide();
        self.keys.push(key);
        key
    }

    /// Mostly an event of this store; sometimes an id that no event has.
    fn cause(&mut self) -> u128 {
        if self.known.is_empty() || self.chance.percent(10) {
            return self.chance.wide();
        }
        let recent = self.known.len().saturating_sub(20);
        self.known[recent + self.chance.below(self.known.len() - recent)]
    }

    pub fn append(&mut self) -> Result<(), Failure> {
        self.count("append");
        let (coordinate, kind, payload, options) =
            (self.coordinate(), self.kind(), self.payload(), self.options());
        let receipt = self.store.append_with_options(&coordinate, kind, &payload, options)?;
        self.remember(&receipt)
    }

    /// Every payload that is hard to hold: several of each kind, since some choose among values.
    pub fn append_every_payload(&mut self) -> Result<(), Failure> {
        for number in 0..4 * ODD_KINDS {
            let (coordinate, kind) = (self.coordinate(), self.kind());
            let payload = odd(number % ODD_KINDS, self.chance);
            let receipt = self.store.append(&coordinate, kind, &payload)?;
            self.remember(&receipt)?;
        }
        for number in 0..2 * RAW_KINDS {
            let (coordinate, kind) = (self.coordinate(), self.kind());
            let bytes = raw(number % RAW_KINDS, self.chance);
            let (options, cause) = (AppendOptions::new(), CausationRef::None);
            let item = BatchAppendItem::from_msgpack_bytes(coordinate, kind, bytes, options, cause);
            self.store.append_batch(vec![item])?.iter().try_for_each(|receipt| self.remember(receipt))?;
        }
        Ok(())
    }

    pub fn append_typed(&mut self) -> Result<(), Failure> {
        self.count("typed");
        let (coordinate, options) = (self.coordinate(), self.options());
        let receipt = if self.chance.percent(50) {
            let payload = Shipped { parcel: self.chance.bits(), carrier: "post".into() };
            self.store.append_typed_with_options(&coordinate, &payload, options)?
        } else {
            let payload = Refunded { cents: self.chance.bits() as i64, reason: None };
            self.store.append_typed_with_options(&coordinate, &payload, options)?
        };
        self.remember(&receipt)
    }

    /// Batches key all their items or none.
    pub fn items(&mut self, raw_bytes: bool) -> Result<Vec<BatchAppendItem>, Failure> {
        let keyed = self.chance.percent(self.mix.keys);
        let count = 1 + self.chance.below(9);
        (0..count).map(|index| self.item(index, keyed, raw_bytes)).collect()
    }

    fn item(&mut self, index: usize, keyed: bool, raw_bytes: bool) -> Result<BatchAppendItem, Failure> {
        let (coordinate, kind) = (self.coordinate(), self.kind());
        let mut options = self.options();
        options.idempotency_key = keyed.then(|| IdempotencyKey::from_u128(self.key()));
        let causation = match self.chance.below(4) {
            0 if index > 0 => CausationRef::PriorItem(self.chance.below(index)),
            1 => CausationRef::Absolute(self.cause()),
            _ => CausationRef::None,
        };
        if raw_bytes {
            let bytes = raw(self.chance.below(RAW_KINDS), self.chance);
            return Ok(BatchAppendItem::from_msgpack_bytes(coordinate, kind, bytes, options, causation));
        }
        let payload = self.payload();
        Ok(BatchAppendItem::new(coordinate, kind, &payload, options, causation)?)
    }

    pub fn batch(&mut self, raw_bytes: bool) -> Result<(), Failure> {
        self.count(if raw_bytes { "raw_batch" } else { "batch" });
        let items = self.items(raw_bytes)?;
        let keyed = items.iter().any(|item| item.options().idempotency_key.is_some());
        match self.store.append_batch(items) {
            Ok(receipts) => receipts.iter().try_for_each(|receipt| self.remember(receipt))?,
            // A key that was used before refuses the whole batch.
            Err(_) if keyed => self.count("refused_batch"),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// A batch the writer refuses after it has taken sequence numbers: they are never given out again.
    pub fn failing_batch(&mut self) -> Result<(), Failure> {
        let mut items = self.items(false)?;
        if items.iter().any(|item| item.options().idempotency_key.is_some()) {
            return Ok(());
        }
        self.count("failed_batch");
        let (coordinate, kind) = (self.coordinate(), self.kind());
        let options = AppendOptions::new();
        items.push(BatchAppendItem::new(coordinate, kind, &Json::Null, options, CausationRef::PriorItem(99))?);
        match self.store.append_batch(items) {
            Ok(_) => Err(Failure::usage("a batch with an impossible cause was accepted")),
            Err(_) => Ok(()),
        }
    }

    pub fn denial(&mut self) -> Result<(), Failure> {
        self.count("denial");
        let (coordinate, proposed_kind) = (self.coordinate(), self.kind());
        let gates: GateSet<()> = GateSet::new();
        let failing = Denial::new("limit", "over the limit").with_code("LIMIT").with_context("limit", "3");
        let receipt = self.store.append_denial(DenialRequest {
            coord: &coordinate,
            proposed_kind,
            gate_set: &gates,
            failing: &failing,
            proposed_content_hash: None,
            pipeline_id: None,
            options: AppendOptions::new(),
        })?;
        self.known.push(receipt.event_id.as_u128());
        Ok(())
    }

    /// Writes under a fence; the caller ends the fence as announced by `cancel`.
    pub fn fenced_writes(&mut self, fence: &VisibilityFence<'_>, cancel: bool) -> Result<(), Failure> {
        self.doomed = cancel;
        for _ in 0..1 + self.chance.below(5) {
            if self.chance.percent(30) {
                let items = self.items(false)?;
                drop(fence.submit_batch(items)?);
            } else {
                let (coordinate, kind, payload) = (self.coordinate(), self.kind(), self.payload());
                drop(fence.submit(&coordinate, kind, &payload)?);
            }
        }
        self.doomed = false;
        Ok(())
    }

    pub fn fence(&mut self, cancel: bool) -> Result<(), Failure> {
        self.count(if cancel { "fence_cancelled" } else { "fence_committed" });
        let fence = self.store.begin_visibility_fence()?;
        self.fenced_writes(&fence, cancel)?;
        if cancel {
            fence.cancel()?
        } else {
            fence.commit()?
        }
        Ok(())
    }

    pub fn compact(&mut self, strategy: &'static str) -> Result<Json, Failure> {
        self.count(strategy);
        compact(self.store, strategy, SINGLED_OUT)
    }

    pub fn shred(&mut self, granularity: KeyScopeGranularity) -> Result<(), Failure> {
        self.count("shred");
        let (coordinate, kind) = (self.coordinate(), self.kind());
        let event = batpak::id::EventId::from_u128(self.cause());
        self.store.shred_scope(match granularity {
            KeyScopeGranularity::PerEntity => ShredScope::Entity(&coordinate),
            KeyScopeGranularity::PerCategory | KeyScopeGranularity::PerTypeId => ShredScope::Kind(kind),
            _ => ShredScope::Event(event),
        })?;
        Ok(())
    }
}

pub fn coordinate(entity: &str, scope: &str) -> Coordinate {
    Coordinate::new(entity, scope).unwrap_or_else(|error| panic!("{entity}@{scope}: {error:?}"))
}

/// Compacts all sealed segments; `retention` and `tombstone` strike the events of one entity.
pub fn compact(store: &Store<Open>, strategy: &str, strike: &str) -> Result<Json, Failure> {
    let struck = strike.to_owned();
    let keep = Box::new(move |stored: &batpak::event::StoredEvent<Json>| stored.coordinate.entity() != struck);
    let strategy = match strategy {
        "merge" => CompactionStrategy::Merge,
        "retention" => CompactionStrategy::Retention(keep),
        "tombstone" => CompactionStrategy::Tombstone(keep),
        other => return Err(Failure::usage(format!("strategy {other} is none of merge, retention, tombstone"))),
    };
    let (result, _) = store.compact(&CompactionConfig { strategy, min_segments: 2 })?;
    Ok(json!({
        "outcome": format!("{:?}", result.outcome),
        "segments_removed": result.segments_removed,
        "bytes_reclaimed": result.bytes_reclaimed,
    }))
}
