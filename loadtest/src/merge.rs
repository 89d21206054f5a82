//! Several generators, one result: shards of the same plan are added up, histograms as histograms.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::engine::Pulse;
use crate::measurement::Measurement;
use crate::record::{Record, RecordError};

/// Why results cannot be merged.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// A file is of no use.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Not shards of one plan.
    #[error("`{}` is not a shard of the same plan as `{}`: it has another {what}", one.display(), other.display())]
    Different {
        /// The file.
        one: PathBuf,
        /// The first file.
        other: PathBuf,
        /// In what they differ.
        what: &'static str,
    },
    /// Too few or one twice.
    #[error("a whole plan takes the shards 1 to {of}, each once; here are {here:?}")]
    Shards {
        /// How many there are.
        of: u64,
        /// Those that were given.
        here: Vec<u64>,
    },
    /// Nothing given.
    #[error("name the results of all shards")]
    Nothing,
}

/// Merges the results of all shards of one plan.
pub fn merge(files: &[PathBuf]) -> Result<Measurement, MergeError> {
    let mut records = files.iter().map(|file| Ok((file.as_path(), Record::load(file)?)));
    let (first_file, first) = records.next().ok_or(MergeError::Nothing)?.map_err(MergeError::Record)?;
    let mut whole = first.measurement(first_file)?;
    for record in records {
        let (file, record) = record.map_err(MergeError::Record)?;
        check(file, &record, first_file, &first)?;
        let part = record.measurement(file)?;
        add(&mut whole, part);
    }
    let conditions = &mut whole.conditions;
    conditions.shards.sort_unstable();
    let of = conditions.shard.1;
    if conditions.shards != (1..=of).collect::<Vec<_>>() {
        return Err(MergeError::Shards { of, here: conditions.shards.clone() });
    }
    conditions.shard = (1, 1);
    Ok(whole)
}

fn check(file: &Path, record: &Record, first_file: &Path, first: &Record) -> Result<(), MergeError> {
    let (one, other) = (&record.conditions, &first.conditions);
    let differences = [
        ("scenario", one.scenario_sha256 == other.scenario_sha256),
        ("load", one.load == other.load),
        ("number of shards", one.shard.1 == other.shard.1),
        ("interval", record.interval_seconds == first.interval_seconds),
        ("window", one.window_seconds.to_bits() == other.window_seconds.to_bits()),
    ];
    match differences.iter().find(|(_, same)| !same) {
        Some((what, _)) => Err(MergeError::Different { one: file.to_owned(), other: first_file.to_owned(), what }),
        None => Ok(()),
    }
}

fn add(whole: &mut Measurement, part: Measurement) {
    let Measurement { conditions, measured } = part;
    whole.conditions.connections += conditions.connections;
    whole.conditions.workers += conditions.workers;
    whole.conditions.shards.extend(conditions.shards);
    whole.conditions.command.push("&".to_owned());
    whole.conditions.command.extend(conditions.command);
    let into = &mut whole.measured;
    into.tally.add(&measured.tally);
    into.sending = into.sending.max(measured.sending);
    into.own_cpu += measured.own_cpu;
    into.own_resident_bytes += measured.own_resident_bytes;
    into.interrupted |= measured.interrupted;
    into.pulses_lost += measured.pulses_lost;
    let mut series: BTreeMap<u64, Pulse> = into.series.drain(..).map(|pulse| (pulse.index, pulse)).collect();
    for pulse in measured.series {
        series.entry(pulse.index).or_insert_with(|| Pulse::empty(pulse.index)).add(&pulse);
    }
    into.series = series.into_values().collect();
    // The processes are the same whoever watched them: the first who did is enough.
    if into.samples.is_empty() {
        into.samples = measured.samples;
        whole.conditions.measured = conditions.measured;
        whole.conditions.cores = conditions.cores;
    }
}
