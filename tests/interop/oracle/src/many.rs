//! Many random stores in one run: `seed-N/`, what the engine reads from it (`seed-N.jsonl`) and how it came about.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde_json::{json, Value as Json};

use crate::{dump, random, setup, Failure};

pub fn write(from: u64, to: u64, directory: &Path) -> Result<(), Failure> {
    fs::create_dir_all(directory)?;
    for seed in from..to {
        let store = directory.join(format!("seed-{seed}"));
        let mut notes = random::write(seed, &store)?;
        let _ = fs::remove_file(store.with_extension("rounds.json"));
        notes["dump_error"] = match dump_copy(&store) {
            Ok(()) => Json::Null,
            Err(failure) => json!(failure.to_string()),
        };
        fs::write(store.with_extension("json"), serde_json::to_string(&notes)?)?;
    }
    Ok(())
}

/// Dumps a copy: opening takes the lock, leaves a lock file and probes the directory.
fn dump_copy(store: &Path) -> Result<(), Failure> {
    let copy = store.with_extension("copy");
    let _ = fs::remove_dir_all(&copy);
    fs::create_dir_all(&copy)?;
    for entry in fs::read_dir(store)? {
        let entry = entry?;
        fs::copy(entry.path(), copy.join(entry.file_name()))?;
    }
    let mut out = BufWriter::new(fs::File::create(store.with_extension("jsonl"))?);
    let outcome = dump::dump(&copy, setup::granularity_of(&copy)?, &mut out);
    out.flush()?;
    fs::remove_dir_all(&copy)?;
    outcome
}
