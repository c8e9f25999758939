//! The engine's own verification of a store's hash chain, timed.

use std::path::Path;
use std::time::Instant;

use batpak::store::Store;
use serde_json::{json, Value as Json};

use crate::setup::{granularity_of, Setup};
use crate::Failure;

/// Opens read-only and recomputes every hash. A call that gives up is an answer too: `error` says why.
pub fn verify(directory: &Path) -> Result<Json, Failure> {
    let setup = Setup { granularity: granularity_of(directory)?, ..Setup::default() };
    let start = Instant::now();
    let store = Store::open_read_only(setup.config(directory)).map_err(Failure::open)?;
    let opened = start.elapsed();
    let start = Instant::now();
    let outcome = store.verify_chain();
    let seconds = start.elapsed().as_secs_f64();
    let told = match outcome {
        Ok(report) => json!({
            "intact": report.is_intact(),
            "events": report.events_checked,
            "content_hash_mismatches": report.content_hash_mismatches.len(),
            "dangling_links": report.dangling_links.len(),
        }),
        Err(error) => json!({"intact": false, "error": error.to_string()}),
    };
    Ok(json!({"open_seconds": opened.as_secs_f64(), "verify_seconds": seconds, "report": told}))
}
