//! Snapshots, forks and imports, with what the engine reports of them.

use std::path::Path;

use batpak::coordinate::Region;
use batpak::store::{
    encode_fork_evidence_wire, CopyPreference, ForkOptions, ImportOptions, ImportSelector, KeysetPolicy, Open,
    SnapshotOptions, Store,
};
use serde_json::{json, Value as Json};

use crate::args::Args;
use crate::dump::hex;
use crate::setup::{granularity_of, Setup};
use crate::Failure;

fn open(directory: &Path) -> Result<Store<Open>, Failure> {
    let setup = Setup { granularity: granularity_of(directory)?, ..Setup::default() };
    Store::open(setup.config(directory)).map_err(Failure::open)
}

fn policy(args: &Args) -> KeysetPolicy {
    if args.text("keys") == Some("exclude") {
        KeysetPolicy::ExcludeKeys
    } else {
        KeysetPolicy::Refuse
    }
}

/// `end` tells how the source is left: `drop`, which seals its last segment, or `close`.
fn leave(store: Store<Open>, args: &Args) -> Result<(), Failure> {
    match args.text("end") {
        Some("drop") => drop(store),
        _ => store.close().map(drop)?,
    }
    Ok(())
}

pub fn snapshot(args: &mut Args) -> Result<Json, Failure> {
    let directory = args.directory()?;
    let destination = args.directory()?;
    let store = open(&directory)?;
    let options = SnapshotOptions { keyset_policy: policy(args) };
    let report = store.snapshot_with_evidence_with_options(&destination, options)?;
    leave(store, args)?;
    Ok(json!({"body_hash": hex(&report.body_hash), "body": report.body}))
}

pub fn fork(args: &mut Args) -> Result<Json, Failure> {
    let directory = args.directory()?;
    let destination = args.directory()?;
    let store = open(&directory)?;
    let copy_preference = match args.text("copy") {
        Some("copy") => CopyPreference::DeepCopyOnly,
        Some("hardlink") => CopyPreference::HardlinkOnly,
        _ => CopyPreference::ReflinkThenHardlink,
    };
    let exclude_caches = args.text("caches") != Some("keep");
    let options = ForkOptions { copy_preference, exclude_caches, keyset_policy: policy(args) };
    let report = store.fork_with_evidence(&destination, options)?;
    leave(store, args)?;
    let wire = encode_fork_evidence_wire(&report.body)?;
    Ok(json!({"body_hash": hex(&report.body_hash), "wire": hex(&wire), "body": report.body}))
}

pub fn import(args: &mut Args) -> Result<Json, Failure> {
    let directory = args.directory()?;
    let source_path = args.directory()?;
    let namespace: String = args.required("namespace")?;
    let region = args.text("entity").map_or_else(Region::all, Region::entity);
    let mut selector = ImportSelector::region(region);
    if let Some(after) = args.number("after")? {
        selector = selector.with_after_global_sequence(after);
    }
    let options = ImportOptions::new(namespace)?.with_chunk_size(args.number_or("chunk", 256)?);
    let destination = open(&directory)?;
    let report = if source_path == directory {
        destination.import_events(&destination, &selector, &options)?
    } else {
        let setup = Setup { granularity: granularity_of(&source_path)?, ..Setup::default() };
        let source = Store::open_read_only(setup.config(&source_path)).map_err(Failure::open)?;
        destination.import_events(&source, &selector, &options)?
    };
    leave(destination, args)?;
    Ok(json!({
        "imported": report.imported, "deduplicated": report.deduplicated,
        "skipped_reserved": report.skipped_reserved, "skipped_filtered": report.skipped_filtered,
        "skipped_reimported": report.skipped_reimported, "source_high_watermark": report.source_high_watermark,
    }))
}
