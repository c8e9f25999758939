//! The reference engine as a test tool.
//!
//! ```text
//! write PROFILE DIR                            a named store; [--seed N] [--events N] [--segment-bytes N]
//! write random DIR --seed N                    a seeded random store
//! write-many DIR --from N --to N               random stores, their dumps and their histories
//! dump DIR [--granularity 1..4]                JSON lines, one per visible event
//! append DIR --seed N --events N               [--segment-bytes N] [--odd PERCENT] [--end close|drop|crash]
//!                                              [--fences PERCENT] [--shared-keys N]
//! replay DIR --script FILE                     a session given as JSON, with its clock and ids
//! verify DIR                                   what the engine's own check of hashes and links says
//! compact DIR --strategy merge|retention|tombstone [--strike ENTITY] [--strike-ids FILE]
//! snapshot DIR DEST, fork DIR DEST             [--copy reflink|hardlink|copy] [--caches keep] [--keys exclude]
//! import DIR SOURCE --namespace NAME           [--entity E] [--after N] [--chunk N]; all three: [--end close|drop]
//! bench DIR                                    seconds for open, query and get
//! verify-chain DIR                             the same, timed, with the read-only open before it
//! bulk DIR --events N --segment-bytes N        [--payload-bytes N] [--entities N] [--batch N] [--seed N]
//! graph DIR --events N --segment-bytes N       events that cause each other; [--entities N] [--roots PERCENT] [--seed N]
//! open DIR                                     seconds for a read-only open
//! totals DIR [--entity ENTITY]                 a projection of one entity of a `bulk` store, timed
//! live DIR --events N --segment-bytes N        [--compact-at N,N] [--strategy S] [--pause-us N] [--fences 0|1]
//!                                              [--receipts FILE] [--ask 0|1]
//! typed write DIR --seed N --events N          typed payloads of every version; typed copy SOURCE DIR reads them
//! project DIR [--cache DIR] [--incremental 0|1] [--clock-us N]
//!                                              projections: steps and questions on stdin, one JSON object a line
//! hunt DIR --seed N --side DIR                 a session of everything at once, configured by the seed
//!                                              [--granularity 1..4] [--undecodable 0|1] [--compactions N] [--operations N]
//! marks DIR                                    visibility and watermarks along a fixed course in a new store
//! queries DIR                                  answers the questions on stdin, one JSON object a line
//! profiles                                     the names that `write` knows
//! ```
//!
//! Exit code 3: the engine refused to open the store (a JSON object on stderr says why); 2: anything else.

mod args;
mod bulk;
mod chance;
mod choices;
mod copies;
mod dump;
mod graph;
mod hunt;
mod live;
mod maintain;
mod many;
mod marks;
mod payloads;
mod profiles;
mod project;
mod queries;
mod random;
mod receipts;
mod replay;
mod session;
mod setup;
mod totals;
mod typed;
mod uncommon;
mod value;
mod verify;

use std::fmt;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use args::Args;
use serde_json::json;

#[derive(Debug)]
pub struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    pub fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into() }
    }

    /// The engine does not open this store.
    pub fn open(error: batpak::store::StoreError) -> Self {
        Self { code: 3, message: format!("{error} ({error:?})") }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl From<batpak::store::StoreError> for Failure {
    fn from(error: batpak::store::StoreError) -> Self {
        Self::usage(format!("{error} ({error:?})"))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::usage(error.to_string())
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{}", json!({"error": failure.message}));
            ExitCode::from(failure.code)
        }
    }
}

fn run() -> Result<(), Failure> {
    let mut args = Args::parse(std::env::args().skip(1))?;
    match args.word("command")?.as_str() {
        "write" => write(&mut args),
        "round" => random::round(args.required("seed")?, args.required("number")?, &args.directory()?),
        "write-many" => many::write(args.required("from")?, args.required("to")?, &args.directory()?),
        "dump" => dump_command(&mut args),
        "append" => append(&mut args),
        "compact" => {
            let directory = args.directory()?;
            let strategy = args.text("strategy").unwrap_or("merge");
            let strike = args.text("strike").unwrap_or(session::SINGLED_OUT);
            print(&maintain::compact(&directory, strategy, strike, args.text("strike-ids"))?)
        }
        "snapshot" => print(&copies::snapshot(&mut args)?),
        "fork" => print(&copies::fork(&mut args)?),
        "import" => print(&copies::import(&mut args)?),
        "replay" => {
            let directory = args.directory()?;
            print(&replay::run(&directory, &args.required::<PathBuf>("script")?)?)
        }
        "verify" => print(&maintain::verify(&args.directory()?)?),
        "verify-chain" => print(&verify::verify(&args.directory()?)?),
        "bench" => print(&maintain::bench(&args.directory()?)?),
        "bulk" => bulk_command(&mut args),
        "graph" => graph_command(&mut args),
        "live" => live_command(&mut args),
        "totals" => print(&totals::project(&args.directory()?, args.text("entity").unwrap_or("order:0"))?),
        "open" => print(&graph::open(&args.directory()?)?),
        "typed" => typed::run(&mut args),
        "hunt" => print(&hunt::run(&mut args)?),
        "marks" => print(&marks::course(&args.directory()?)?),
        "project" => project_command(&mut args),
        "queries" => queries::answer(&args.directory()?),
        "profiles" => print(&json!(profiles::NAMES)),
        other => Err(Failure::usage(format!("unknown command {other}"))),
    }
}

fn print(value: &serde_json::Value) -> Result<(), Failure> {
    writeln!(std::io::stdout().lock(), "{value}")?;
    Ok(())
}

fn write(args: &mut Args) -> Result<(), Failure> {
    let name = args.word("PROFILE")?;
    let directory = args.directory()?;
    let report = match name.as_str() {
        "random" => random::write(args.required("seed")?, &directory)?,
        _ => {
            let plan = profiles::Plan {
                seed: args.number_or("seed", 1)?,
                events: args.number("events")?,
                segment_bytes: args.number_or("segment-bytes", 16 << 10)?,
            };
            profiles::write(&name, &plan, &directory)?
        }
    };
    print(&report)
}

fn project_command(args: &mut Args) -> Result<(), Failure> {
    let directory = args.directory()?;
    let cache = args.text("cache").map(PathBuf::from);
    let options = project::Options {
        cache: cache.as_deref(),
        incremental: args.number_or("incremental", 0u8)? != 0,
        clock_us: args.number("clock-us")?,
    };
    project::answer(&directory, &options)
}

fn dump_command(args: &mut Args) -> Result<(), Failure> {
    let directory = args.directory()?;
    let granularity = match args.number("granularity")? {
        Some(number) => Some(setup::granularity_from_number(number)?),
        None => setup::granularity_of(&directory)?,
    };
    let mut out = BufWriter::new(std::io::stdout().lock());
    dump::dump(&directory, granularity, &mut out)?;
    out.flush()?;
    Ok(())
}

fn append(args: &mut Args) -> Result<(), Failure> {
    let directory = args.directory()?;
    let growth = maintain::Growth {
        seed: args.required("seed")?,
        events: args.required("events")?,
        segment_bytes: args.number_or("segment-bytes", 16 << 10)?,
        odd: args.number_or("odd", 0)?,
        fences: args.number_or("fences", 0)?,
        shared_keys: args.number_or("shared-keys", 0)?,
        end: args.text("end").unwrap_or("close"),
    };
    print(&maintain::append(&directory, &growth)?)
}

fn bulk_command(args: &mut Args) -> Result<(), Failure> {
    let directory = args.directory()?;
    let bulk = bulk::Bulk {
        seed: args.number_or("seed", 1)?,
        events: args.required("events")?,
        segment_bytes: args.required("segment-bytes")?,
        payload_bytes: args.number_or("payload-bytes", 60)?,
        entities: args.number_or("entities", 500)?,
        batch: args.number_or("batch", 0)?,
        wait: args.number_or("wait", 0u8)? != 0,
    };
    print(&bulk::write(&directory, &bulk)?)
}

fn graph_command(args: &mut Args) -> Result<(), Failure> {
    let directory = args.directory()?;
    let graph = graph::Graph {
        seed: args.number_or("seed", 1)?,
        events: args.required("events")?,
        segment_bytes: args.required("segment-bytes")?,
        entities: args.number_or("entities", 500)?,
        roots: args.number_or("roots", 10)?,
    };
    print(&graph::write(&directory, &graph)?)
}

fn live_command(args: &mut Args) -> Result<(), Failure> {
    let directory = args.directory()?;
    let compact_at = match args.text("compact-at") {
        Some(text) => text
            .split(',')
            .map(|number| number.parse().map_err(|_| Failure::usage(format!("--compact-at {text}: not numbers"))))
            .collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    let strategy = match args.text("strategy").unwrap_or("merge") {
        "retention" => "retention",
        "tombstone" => "tombstone",
        _ => "merge",
    };
    live::run(
        &directory,
        &live::Live {
            seed: args.number_or("seed", 1)?,
            events: args.required("events")?,
            segment_bytes: args.required("segment-bytes")?,
            compact_at,
            strategy,
            pause_us: args.number_or("pause-us", 0)?,
            fences: args.number_or("fences", 0u8)? != 0,
            receipts: args.text("receipts").map(PathBuf::from),
            ask: args.number_or("ask", 0u8)? != 0,
        },
    )
}
