//! How a store is opened: sizes, index images, encryption and the clock.

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};

use batpak::event::EventPayloadValidation;
use batpak::store::{KeyScopeGranularity, StoreConfig};

use crate::Failure;

#[derive(Clone, Copy)]
pub struct Setup {
    pub segment_bytes: u64,
    pub checkpoint: bool,
    pub mmap_index: bool,
    pub granularity: Option<KeyScopeGranularity>,
    pub clock: Option<SteppedClock>,
}

/// A clock of our own: it starts anywhere and each reading moves it by `step_us`.
#[derive(Clone, Copy)]
pub struct SteppedClock {
    pub start_us: i64,
    pub step_us: i64,
}

impl Default for Setup {
    fn default() -> Self {
        Self { segment_bytes: 256 << 20, checkpoint: true, mmap_index: true, granularity: None, clock: None }
    }
}

impl Setup {
    pub fn segments_of(segment_bytes: u64) -> Self {
        Self { segment_bytes, ..Self::default() }
    }

    pub fn config(&self, directory: &Path) -> StoreConfig {
        // The typed payloads have no upcast chain: nothing here decodes an old version.
        let mut config = StoreConfig::new(directory)
            .with_segment_max_bytes(self.segment_bytes)
            .with_enable_checkpoint(self.checkpoint)
            .with_enable_mmap_index(self.mmap_index)
            .with_event_payload_validation(EventPayloadValidation::Silent);
        if let Some(granularity) = self.granularity {
            config = config.with_payload_encryption(granularity);
        }
        if let Some(clock) = self.clock {
            let now = AtomicI64::new(clock.start_us);
            config = config.with_clock_fn(move || now.fetch_add(clock.step_us, Ordering::SeqCst));
        }
        config
    }
}

const KEYSET_FILE: &str = "keyset.fbatk";
/// Magic, version and CRC, then a two-entry map whose first key is `granularity`.
const KEYSET_GRANULARITY_AT: usize = 12 + 1 + 12;

pub fn granularity_from_number(number: u8) -> Result<KeyScopeGranularity, Failure> {
    match number {
        1 => Ok(KeyScopeGranularity::PerEntity),
        2 => Ok(KeyScopeGranularity::PerCategory),
        3 => Ok(KeyScopeGranularity::PerTypeId),
        4 => Ok(KeyScopeGranularity::PerEvent),
        _ => Err(Failure::usage(format!("granularity {number} is none of 1, 2, 3, 4"))),
    }
}

/// The granularity an existing store was written with, read from its keyset; none without a keyset.
pub fn granularity_of(directory: &Path) -> Result<Option<KeyScopeGranularity>, Failure> {
    match std::fs::read(directory.join(KEYSET_FILE)) {
        Ok(bytes) => bytes.get(KEYSET_GRANULARITY_AT).map(|byte| granularity_from_number(*byte)).transpose(),
        Err(_) => Ok(None),
    }
}
