//! The things one application does to an open store. Every choice comes from the session's `Chance`.

use std::collections::BTreeMap;

use batpak::coordinate::{Coordinate, Region};
use batpak::guard::{Denial, GateSet};
use batpak::id::{EntityIdType, IdempotencyKey};
use batpak::store::{
    AppendOptions, AppendReceipt, BatchAppendItem, CausationRef, CompactionConfig, CompactionStrategy,
    DenialRequest, KeyScopeGranularity, Open, ShredScope, Store, VisibilityFence,
};
use serde_json::{json, Value as Json};

use crate::chance::Chance;
use crate::payloads::{odd, raw, Refunded, Shipped, ODD_KINDS, RAW_KINDS};
use crate::receipts::Receipts;
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
    /// Entities and scopes whose names are hard to hold.
    pub names: u64,
}

impl Mix {
    pub const RICH: Self =
        Self { entities: 7, lanes: 0, keys: 15, flags: 10, extensions: 10, causes: 40, odd: 8, names: 0 };
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
    pub keys: Vec<u128>,
    /// Whether the fence that is open will be cancelled.
    pub doomed: bool,
    receipts: Option<Receipts>,
    pub counts: BTreeMap<&'static str, u64>,
}

impl<'a> Session<'a> {
    /// `keys` are idempotency keys that may be used again, in this session or a later one.
    pub fn with_keys(mut self, keys: Vec<u128>) -> Self {
        self.keys = keys;
        self
    }

    /// Notes every append the engine acknowledges.
    pub fn with_receipts(mut self, receipts: Option<Receipts>) -> Self {
        self.receipts = receipts;
        self
    }

    pub fn new(store: &'a Store<Open>, chance: &'a mut Chance, mix: Mix) -> Self {
        let known = store.query(&Region::all()).iter().map(|entry| entry.event_id().as_u128()).collect();
        Self {
            store,
            chance,
            mix,
            known,
            keys: Vec::new(),
            doomed: false,
            receipts: None,
            counts: BTreeMap::new(),
        }
    }

    pub fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn remember(&mut self, receipt: &AppendReceipt, entity: &str) -> Result<(), Failure> {
        self.known.push(receipt.event_id.as_u128());
        self.receipts.as_mut().map_or(Ok(()), |receipts| receipts.note(receipt, entity))
    }

    pub fn append(&mut self) -> Result<(), Failure> {
        self.count("append");
        let (coordinate, kind, payload, options) =
            (self.coordinate(), self.kind(), self.payload(), self.options());
        let receipt = self.store.append_with_options(&coordinate, kind, &payload, options)?;
        self.remember(&receipt, coordinate.entity())
    }

    /// Every payload that is hard to hold: several of each kind, since some choose among values.
    pub fn append_every_payload(&mut self) -> Result<(), Failure> {
        for number in 0..4 * ODD_KINDS {
            let (coordinate, kind) = (self.coordinate(), self.kind());
            let payload = odd(number % ODD_KINDS, self.chance);
            let receipt = self.store.append(&coordinate, kind, &payload)?;
            self.remember(&receipt, coordinate.entity())?;
        }
        for number in 0..2 * RAW_KINDS {
            let (coordinate, kind) = (self.coordinate(), self.kind());
            let bytes = raw(number % RAW_KINDS, self.chance);
            let (options, cause) = (AppendOptions::new(), CausationRef::None);
            let item = BatchAppendItem::from_msgpack_bytes(coordinate.clone(), kind, bytes, options, cause);
            for receipt in self.store.append_batch(vec![item])? {
                self.remember(&receipt, coordinate.entity())?;
            }
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
        self.remember(&receipt, coordinate.entity())
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
        let entities: Vec<String> = items.iter().map(|item| item.coord().entity().to_owned()).collect();
        match self.store.append_batch(items) {
            Ok(receipts) => {
                let mut pairs = receipts.iter().zip(&entities);
                pairs.try_for_each(|(receipt, entity)| self.remember(receipt, entity))?
            }
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
    compact_by(store, strategy, Box::new(move |stored| stored.coordinate.entity() != struck))
}

type Keep = Box<dyn Fn(&batpak::event::StoredEvent<Json>) -> bool + Send + Sync>;

/// The same, with any rule of what to keep.
pub fn compact_by(store: &Store<Open>, strategy: &str, keep: Keep) -> Result<Json, Failure> {
    let strategy = match strategy {
        "merge" => CompactionStrategy::Merge,
        "retention" => CompactionStrategy::Retention(keep),
        "tombstone" => CompactionStrategy::Tombstone(keep),
        other => return Err(Failure::usage(format!("strategy {other} is none of merge, retention, tombstone"))),
    };
    let (result, body) = store.compact(&CompactionConfig { strategy, min_segments: 2 })?;
    let hash = body.body_hash().map_err(|error| Failure::usage(error.to_string()))?;
    Ok(json!({
        "outcome": format!("{:?}", result.outcome),
        "segments_removed": result.segments_removed,
        "bytes_reclaimed": result.bytes_reclaimed,
        "body": serde_json::to_value(&body)?,
        "body_hash": hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
    }))
}
