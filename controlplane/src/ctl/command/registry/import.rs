//! `agency import`: a directory of any length in bounded batches; every bad line is named, every good one taken.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use lgsp_shared::agency_code::AgencyCode;
use serde_json::{Value, json};

use crate::ctl::arguments::registry::ImportArguments;
use crate::ctl::client::Client;
use crate::ctl::failure::{Exit, Failure};
use crate::ctl::output::{Output, items, note};
use crate::registry::directory::{self, IMPORT_BATCH_MAX};
use crate::registry::fold::fold;

/// What a byte-order mark looks like in UTF-8; spreadsheets write one.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// The longest file, in bytes, held once: it is looked at as a whole before any of it is sent. About a million lines.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Lines with open quotes that are named; where one is open, those behind it are mostly misread.
const LINES_SHOWN: usize = 10;

/// One line that can be sent.
struct Entry {
    line: u64,
    code: AgencyCode,
    title: String,
}

/// What was done so far.
#[derive(Default)]
struct Tally {
    added: u64,
    updated: u64,
    unchanged: u64,
    bad: u64,
}

pub fn import(client: &Client, output: &Output, arguments: &ImportArguments) -> Result<Exit, Failure> {
    let ImportArguments { file, dry_run } = arguments;
    let bytes = read(file)?;
    let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes);
    closed_quotes(file, text)?;
    let mut reader = reader(text);
    let columns = columns(reader.headers().map_err(|error| unreadable(file, &error))?)?;
    let (mut tally, mut batch) = (Tally::default(), Vec::with_capacity(IMPORT_BATCH_MAX));
    let mut lines_of_codes: HashMap<AgencyCode, u64> = HashMap::new();
    let mut record = csv::StringRecord::new();
    loop {
        let line = reader.position().line();
        match reader.read_record(&mut record) {
            Ok(false) => break,
            Ok(true) if record.iter().all(|field| field.trim().is_empty()) => {}
            Ok(true) => match entry(line, &record, columns, &mut lines_of_codes) {
                Ok(entry) => batch.push(entry),
                Err(message) => bad(&mut tally, line, &message),
            },
            Err(error) if error.is_io_error() => return Err(unreadable(file, &error)),
            Err(error) => bad(&mut tally, line, &error.to_string()),
        }
        if batch.len() == IMPORT_BATCH_MAX {
            send(client, &mut batch, &mut tally, *dry_run)?;
        }
    }
    send(client, &mut batch, &mut tally, *dry_run)?;
    let Tally { added, updated, unchanged, bad } = tally;
    let answer = json!({"added": added, "updated": updated, "unchanged": unchanged, "bad": bad, "dry_run": dry_run});
    output.write(&answer, || match dry_run {
        true => format!("{} lines are good, {bad} bad; nothing was sent\n", lines_of_codes.len()),
        false => format!("{added} added, {updated} renamed, {unchanged} unchanged, {bad} bad\n"),
    })?;
    Ok(if bad == 0 { Exit::Done } else { Exit::Refused })
}

fn bad(tally: &mut Tally, line: u64, message: &str) {
    tally.bad += 1;
    note(&format!("line {line}: {message}"));
}

fn entry(
    line: u64,
    record: &csv::StringRecord,
    (code, title): (usize, usize),
    lines_of_codes: &mut HashMap<AgencyCode, u64>,
) -> Result<Entry, String> {
    let field = |at: usize| record.get(at).unwrap_or_default();
    let code: AgencyCode = field(code).trim().parse().map_err(|error| format!("{error}"))?;
    let title = directory::title(field(title)).map_err(|error| format!("`{code}`: {error}"))?;
    if let Some(first) = lines_of_codes.get(&code) {
        return Err(format!("`{code}` is in line {first} too; the first one counts"));
    }
    lines_of_codes.insert(code.clone(), line);
    Ok(Entry { line, code, title })
}

fn send(client: &Client, batch: &mut Vec<Entry>, tally: &mut Tally, dry_run: bool) -> Result<(), Failure> {
    if !dry_run && !batch.is_empty() {
        let agencies: Vec<Value> =
            batch.iter().map(|entry| json!({"code": entry.code, "title": entry.title})).collect();
        let answer = client.post("/v1/agencies/import", &json!({"agencies": agencies}))?;
        let count = |field: &str| answer.get(field).and_then(Value::as_u64).unwrap_or(0);
        tally.added += count("added");
        tally.updated += count("updated");
        tally.unchanged += count("unchanged");
        for error in items(&answer, "errors") {
            let at = error.get("at").and_then(Value::as_u64).and_then(|at| usize::try_from(at).ok());
            let line = at.and_then(|at| batch.get(at)).map_or(0, |entry| entry.line);
            bad(tally, line, error.get("message").and_then(Value::as_str).unwrap_or_default());
        }
    }
    batch.clear();
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let cannot = |error: std::io::Error| {
        let message = format!("cannot read `{}`: {error}", path.display());
        Failure::new(Exit::Unreachable, message, "Give a CSV file, or `-` for standard input.")
    };
    let input: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).map_err(cannot)?)
    };
    let mut bytes = Vec::new();
    input.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len <= FILE_BYTES_MAX) {
        return Ok(bytes);
    }
    let message = format!("`{}` is longer than {FILE_BYTES_MAX} bytes", path.display());
    Err(Failure::new(Exit::Usage, message, "Split the file, each part with the line that names the columns."))
}

fn reader(text: &[u8]) -> csv::Reader<&[u8]> {
    // The carriage return before a line's end belongs to its last field, where space is cut off: so lines count as an
    // editor counts them.
    let mut builder = csv::ReaderBuilder::new();
    builder.delimiter(separator(text)).flexible(true).terminator(csv::Terminator::Any(b'\n'));
    builder.from_reader(text)
}

/// Refuses a file with a quote that is not closed in its line: it swallows the lines behind it, up to the next quote or
/// the end. No code and no name holds a line break, so a record of several lines is that.
fn closed_quotes(path: &Path, text: &[u8]) -> Result<(), Failure> {
    let mut reader = reader(text);
    reader.set_headers(csv::StringRecord::new());
    let mut record = csv::ByteRecord::new();
    let mut lines = Vec::new();
    loop {
        let line = reader.position().line();
        match reader.read_byte_record(&mut record) {
            Ok(true) if record.iter().any(|field| field.contains(&b'\n')) => lines.push(line),
            Ok(true) => {}
            // What else is wrong is named line by line.
            Ok(false) | Err(_) => break,
        }
    }
    if lines.is_empty() {
        return Ok(());
    }
    let message = format!("`{}` has quotes that are not closed in their line; nothing was taken", path.display());
    let failure =
        Failure::new(Exit::Refused, message, "Close each quote in its line; write a quote within one as `\"\"`.");
    let details = lines.iter().take(LINES_SHOWN).map(|line| format!("line {line}: a quote is not closed")).collect();
    Err(Failure { details, ..failure })
}

/// The separator that is most often in the first line; spreadsheets in Vietnamese write `;`.
fn separator(head: &[u8]) -> u8 {
    let first = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |separator: u8| first.iter().filter(|byte| **byte == separator).count();
    [b',', b';', b'\t'].into_iter().rev().max_by_key(|separator| count(*separator)).unwrap_or(b',')
}

/// Where code and title are, by the names in the first line.
fn columns(names: &csv::StringRecord) -> Result<(usize, usize), Failure> {
    const CODES: [&str; 5] = ["code", "ma", "ma dinh danh", "ma co quan", "ma don vi"];
    const TITLES: [&str; 6] = ["title", "name", "ten", "ten co quan", "ten don vi", "ten co quan don vi"];
    let find = |known: &[&str]| names.iter().position(|name| known.contains(&fold(name).as_str()));
    find(&CODES).zip(find(&TITLES)).ok_or_else(|| {
        let found = names.iter().collect::<Vec<_>>().join("`, `");
        let message = format!("the first line names the columns `{found}`: code or title is missing");
        Failure::new(Exit::Refused, message, "Begin the file with a line such as `code,title` or `Mã;Tên`.")
    })
}

fn unreadable(path: &Path, error: &csv::Error) -> Failure {
    let message = format!("cannot read `{}`: {error}", path.display());
    Failure::new(Exit::Unreachable, message, "Write it as CSV in UTF-8.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_that_is_not_closed_names_its_line_and_stops_the_import() {
        let lines = |text: &str| closed_quotes(Path::new("a.csv"), text.as_bytes()).map_err(|failure| failure.details);
        let good = "code,title\nH61.1,\"Sở \"\"A\"\", B\"\r\nH61.2,C\n";
        assert_eq!(lines(good), Ok(()));
        let open = "code,title\nH61.1,A\nH61.2,\"B\nH61.3,C\nH61.4,D\n";
        assert_eq!(lines(open), Err(vec!["line 3: a quote is not closed".to_owned()]));
        let header = "code,\"title\nH61.1,A\n";
        assert_eq!(lines(header), Err(vec!["line 1: a quote is not closed".to_owned()]));
        let last = "code,title\nH61.1,\"A";
        assert_eq!(lines(last), Ok(()), "what is open at the very end swallows nothing");
    }

    #[test]
    fn a_file_of_a_spreadsheet_in_either_language_is_understood() {
        for (head, separated_by) in
            [("code,title\n", b','), ("Mã;Tên cơ quan\n", b';'), ("mã\ttên\n1", b'\t'), ("", b',')]
        {
            assert_eq!(separator(head.as_bytes()), separated_by, "{head}");
        }
        let names = |names: &[&str]| csv::StringRecord::from(names.to_vec());
        assert_eq!(columns(&names(&["STT", "Tên đơn vị", "Mã định danh"])).unwrap(), (2, 1));
        assert!(columns(&names(&["STT", "Tên"])).unwrap_err().message.contains("`STT`, `Tên`"));
    }
}
