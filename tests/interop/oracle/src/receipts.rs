//! What the engine has acknowledged, written down event by event for a reader that checks it meanwhile.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use batpak::id::EntityIdType;
use batpak::store::AppendReceipt;

use crate::Failure;

const ENTITY_BYTES: usize = 16;
const RECORD_BYTES: usize = 16 + 32 + 8 + ENTITY_BYTES;

/// A file of records in commit order: event id (big-endian), content hash, global sequence (little-endian), entity.
pub struct Receipts(File);

impl Receipts {
    pub fn append_to(path: &Path) -> Result<Self, Failure> {
        Ok(Self(OpenOptions::new().create(true).append(true).open(path)?))
    }

    /// One write, so that whoever reads the file sees a whole record or none of it.
    pub fn note(&mut self, receipt: &AppendReceipt, entity: &str) -> Result<(), Failure> {
        let mut record = Vec::with_capacity(RECORD_BYTES);
        record.extend_from_slice(&receipt.event_id.as_u128().to_be_bytes());
        record.extend_from_slice(&receipt.content_hash);
        record.extend_from_slice(&receipt.global_sequence.to_le_bytes());
        record.extend(entity.bytes().take(ENTITY_BYTES));
        record.resize(RECORD_BYTES, 0);
        Ok(self.0.write_all(&record)?)
    }
}
