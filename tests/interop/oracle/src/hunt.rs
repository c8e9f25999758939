//! One session of an application that uses everything at once, under a configuration of its own.
//!
//! Each session of a store may be opened otherwise than the one before: sizes, index images, sync cadence and mode,
//! scan topology, how long keys are remembered, a signing key, a clock. `--side DIR` is where copies of the store go.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use batpak::event::StoredEvent;
use batpak::id::{CausationId, CorrelationId, EntityIdType};
use batpak::store::{
    AppendOptions, CopyPreference, ForkOptions, IdempotencyRetention, ImportOptions, ImportSelector, IndexTopology,
    KeysetPolicy, Open, SigningKey, SnapshotOptions, Store, StoreConfig, StoreError, SyncMode,
};
use serde_json::{json, Value as Json};

use crate::args::Args;
use crate::chance::Chance;
use crate::payloads::{wild, WILD_KINDS};
use crate::session::{compact_by, Mix, Session};
use crate::setup::{granularity_from_number, granularity_of, Setup, SteppedClock};
use crate::uncommon;
use crate::Failure;

/// The epoch and before it, the years of today, those after which a date has five digits or no nanoseconds, the last.
const STARTS_US: [i64; 11] = [
    0,
    -1,
    -86_400_000_000,
    999,
    1_700_000_000_000_000,
    1_800_000_000_000_000,
    4_000_000_000_000_000,
    9_223_372_036_854_775,
    253_402_300_799_999_999,
    1 << 62,
    i64::MAX - 10_000_000,
];

struct Plan {
    side: PathBuf,
    /// Whether payloads that make a compaction give up are written.
    undecodable: bool,
    encrypted: Option<batpak::store::KeyScopeGranularity>,
    compactions: u64,
    number: u64,
}

pub fn run(args: &mut Args) -> Result<Json, Failure> {
    let directory = args.directory()?;
    let seed: u64 = args.required("seed")?;
    let chance = &mut Chance::new(seed, 77);
    let granularity = match args.number("granularity")? {
        Some(number) => Some(granularity_from_number(number)?),
        None => granularity_of(&directory)?,
    };
    let plan = Plan {
        side: args.required::<PathBuf>("side")?,
        undecodable: args.number_or("undecodable", 1u8)? != 0,
        encrypted: granularity,
        compactions: args.number_or("compactions", 10)?,
        number: seed,
    };
    let cache = chance.percent(15).then(|| directory.join("cache"));
    let store = uncommon::open(config(&directory, granularity, chance), cache.as_deref())?;
    let mix = Mix {
        entities: 1 + chance.below(9),
        lanes: chance.pick(&[0, 20, 60]),
        keys: chance.pick(&[0, 10, 40]),
        flags: 20,
        extensions: chance.pick(&[0, 15, 50]),
        causes: 45,
        odd: if plan.undecodable { chance.pick(&[0, 10, 40]) } else { 0 },
        names: chance.pick(&[0, 10, 40]),
    };
    let keys = (0..20).map(|stream| Chance::new(seed % 7, 1000 + stream).wide()).collect();
    let mut session = Session::new(&store, chance, mix).with_keys(keys);
    let operations = session.chance.below(args.number_or("operations", 30)?);
    let outcome = (0..operations).try_for_each(|_| operation(&mut session, &plan));
    let told = std::mem::take(&mut session.counts);
    let end = session.chance.weighted(&[(45, "close"), (20, "drop"), (20, "crash"), (7, "crash-in-fence"), (8, "close-in-fence")]);
    finish(store, &mut session_chance(seed), mix, end, told, outcome)
}

fn session_chance(seed: u64) -> Chance {
    Chance::new(seed, 78)
}

fn finish(
    store: Store<Open>,
    chance: &mut Chance,
    mix: Mix,
    end: &str,
    told: BTreeMap<&'static str, u64>,
    outcome: Result<(), Failure>,
) -> Result<Json, Failure> {
    let failure = outcome.err().map(|failure| failure.to_string());
    let report = json!({"end": end, "did": told, "failure": failure});
    if end.ends_with("in-fence") {
        let fence = store.begin_visibility_fence()?;
        Session::new(&store, chance, mix).fenced_writes(&fence, end == "close-in-fence")?;
        store.sync()?;
        std::mem::forget(fence);
    }
    match end {
        "close" | "close-in-fence" => store.close().map(drop)?,
        "drop" => drop(store),
        _ => {
            println!("{report}");
            std::process::exit(0);
        }
    }
    Ok(report)
}

fn config(
    directory: &Path,
    granularity: Option<batpak::store::KeyScopeGranularity>,
    chance: &mut Chance,
) -> StoreConfig {
    let clock = chance.percent(15).then(|| SteppedClock {
        start_us: chance.pick(&STARTS_US),
        step_us: chance.pick(&[0, 1, 700, 250_000, -1_000_000, 40_000_000_000]),
    });
    let setup = Setup {
        segment_bytes: chance.pick(&[1, 700, 2_000, 4_000, 9_000, 60_000, 1 << 24]),
        checkpoint: chance.percent(50),
        mmap_index: chance.percent(50),
        granularity,
        clock,
    };
    let topologies =
        [IndexTopology::aos(), IndexTopology::scan(), IndexTopology::entity_local(), IndexTopology::tiled()];
    let mut config = setup
        .config(directory)
        .with_sync_every_n_events(chance.pick(&[1, 3, 1000]))
        .with_sync_mode(if chance.percent(50) { SyncMode::SyncAll } else { SyncMode::SyncData })
        .with_index_topology(topologies[chance.below(4)].clone())
        .with_batch_max_size(chance.pick(&[64, 4096]));
    if chance.percent(25) {
        config = config.with_idempotency_retention(IdempotencyRetention::Window { keep_sequences: 5 });
    }
    if chance.percent(25) {
        config = config.with_signing_key(SigningKey::from_bytes([7; 32]));
    }
    config
}

fn operation(session: &mut Session<'_>, plan: &Plan) -> Result<(), Failure> {
    let raw_bytes = u64::from(plan.undecodable);
    let shred = 30 * u64::from(plan.encrypted.is_some());
    match session.chance.weighted(&[
        (300, 0),
        (50, 1),
        (100, 2),
        (40 * raw_bytes, 3),
        (25, 4),
        (25, 5),
        (15, 6),
        (15, 7),
        (shred, 8),
        (plan.compactions, 9),
        (20, 10),
        (60, 11),
        (40, 12),
        (20, 13),
        (20, 14),
        (20, 15),
        (20, 16),
        (8, 17),
        (25, 18),
    ]) {
        0 => session.append(),
        1 => session.append_typed(),
        2 => session.batch(false),
        3 => session.batch(true),
        4 => session.fence(true),
        5 => session.fence(false),
        6 => session.denial(),
        7 => session.failing_batch(),
        8 => plan.encrypted.map_or(Ok(()), |granularity| session.shred(granularity)),
        9 => compaction(session),
        10 => Ok(session.store.sync()?),
        11 => wild_append(session, plan),
        12 => reaction(session),
        13 => reactions(session),
        14 => tickets(session),
        15 => compare_and_set(session),
        16 => outbox(session),
        17 => copy(session, plan),
        _ => {
            let way = session.chance.below(uncommon::WAYS);
            uncommon::write(session, way)
        }
    }
}

/// Keeps by kind, by entity, by time or by nothing that has a name: the lowest bits of the id.
fn compaction(session: &mut Session<'_>) -> Result<(), Failure> {
    let strategy = session.chance.pick(&["merge", "retention", "tombstone"]);
    session.count(strategy);
    let percent = session.chance.pick(&[3, 30, 80, 100]);
    let salt = session.chance.bits() as u128;
    let rule = session.chance.below(4);
    let keep = move |stored: &StoredEvent<Json>| match rule {
        0 => (stored.event.header.event_id.as_u128() ^ salt) % 101 >= percent,
        1 => !stored.coordinate.entity().starts_with("order"),
        2 => stored.event.header.event_kind.category() != 1,
        _ => stored.event.header.position.sequence() % 2 == 0,
    };
    match compact_by(session.store, strategy, Box::new(keep)) {
        Ok(report) => {
            if report["outcome"] != "Performed" {
                session.count("compaction_not_performed");
            }
        }
        Err(_) => session.count("compaction_failed"),
    }
    Ok(())
}

fn wild_append(session: &mut Session<'_>, plan: &Plan) -> Result<(), Failure> {
    session.count("wild");
    let (coordinate, kind, options) = (session.coordinate(), session.kind(), session.options());
    let payload = wild(session.chance.below(WILD_KINDS), session.chance, plan.undecodable);
    let receipt = session.store.append_with_options(&coordinate, kind, &payload, options)?;
    session.known.push(receipt.event_id.as_u128());
    Ok(())
}

fn reaction(session: &mut Session<'_>) -> Result<(), Failure> {
    session.count("reaction");
    let (coordinate, kind, payload) = (session.coordinate(), session.kind(), session.payload());
    let (group, cause) = (CorrelationId::from_u128(session.cause()), CausationId::from_u128(session.cause()));
    let receipt = session.store.append_reaction(&coordinate, kind, &payload, group, cause)?;
    session.known.push(receipt.event_id.as_u128());
    Ok(())
}

fn reactions(session: &mut Session<'_>) -> Result<(), Failure> {
    session.count("reaction_batch");
    let items = session.items(false)?;
    let keyed = items.iter().any(|item| item.options().idempotency_key.is_some());
    let (group, cause) = (CorrelationId::from_u128(session.cause()), CausationId::from_u128(session.cause()));
    match session.store.append_reaction_batch(group, cause, items) {
        Ok(receipts) => session.known.extend(receipts.iter().map(|one| one.event_id.as_u128())),
        Err(_) if keyed => session.count("refused_batch"),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Appends that are all submitted before the first is waited for.
fn tickets(session: &mut Session<'_>) -> Result<(), Failure> {
    session.count("tickets");
    let count = 1 + session.chance.below(12);
    let mut waiting = Vec::new();
    for _ in 0..count {
        let (coordinate, kind, payload) = (session.coordinate(), session.kind(), session.payload());
        waiting.push(session.store.submit(&coordinate, kind, &payload)?);
    }
    for ticket in waiting {
        session.known.push(ticket.wait()?.event_id.as_u128());
    }
    Ok(())
}

fn compare_and_set(session: &mut Session<'_>) -> Result<(), Failure> {
    session.count("compare_and_set");
    let (coordinate, kind, payload) = (session.coordinate(), session.kind(), session.payload());
    let head = session.store.latest_lane(coordinate.entity(), 0).map_or(0, |entry| entry.clock());
    let wrong = session.chance.percent(30);
    let options = AppendOptions::new().with_cas(if wrong { head.wrapping_add(5) } else { head });
    match session.store.append_with_options(&coordinate, kind, &payload, options) {
        Ok(receipt) => session.known.push(receipt.event_id.as_u128()),
        Err(StoreError::SequenceMismatch { .. }) => session.count("mismatch"),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn outbox(session: &mut Session<'_>) -> Result<(), Failure> {
    session.count("outbox");
    let count = 1 + session.chance.below(5);
    let mut staged = Vec::new();
    for _ in 0..count {
        let mut options = session.options();
        options.idempotency_key = None;
        staged.push((session.coordinate(), session.kind(), session.payload(), options));
    }
    let mut outbox = session.store.outbox();
    for (coordinate, kind, payload, options) in staged {
        outbox.stage_with_options(coordinate, kind, &payload, options)?;
    }
    let receipts = outbox.flush()?;
    session.known.extend(receipts.iter().map(|one| one.event_id.as_u128()));
    Ok(())
}

/// A snapshot, a fork, or an import of the last of these, in the middle of the session.
fn copy(session: &mut Session<'_>, plan: &Plan) -> Result<(), Failure> {
    std::fs::create_dir_all(&plan.side)?;
    let keyset_policy = KeysetPolicy::ExcludeKeys;
    let name = plan.side.join(format!("{}-{}", plan.number, session.counts.get("copy").unwrap_or(&0)));
    session.count("copy");
    if session.chance.percent(50) {
        session.store.snapshot_with_evidence_with_options(&name, SnapshotOptions { keyset_policy })?;
    } else {
        let copy_preference = session.chance.pick(&[CopyPreference::DeepCopyOnly, CopyPreference::ReflinkThenHardlink]);
        let exclude_caches = session.chance.percent(50);
        session.store.fork_with_evidence(&name, ForkOptions { copy_preference, exclude_caches, keyset_policy })?;
    }
    if plan.encrypted.is_none() && session.chance.percent(40) {
        session.count("import");
        // A copy of the copy: opening it, even to read, leaves a lock file.
        let options = ImportOptions::new("side")?.with_chunk_size(1 + session.chance.below(9));
        let scratch = name.with_extension("opened");
        std::fs::create_dir_all(&scratch)?;
        for entry in std::fs::read_dir(&name)? {
            let entry = entry?;
            std::fs::copy(entry.path(), scratch.join(entry.file_name()))?;
        }
        {
            let source = Store::open_read_only(Setup::default().config(&scratch))?;
            session.store.import_events(&source, &ImportSelector::all(), &options)?;
        }
        std::fs::remove_dir_all(&scratch)?;
    }
    Ok(())
}
