//! Reorganisations as changes: one operation on agencies, with everything that hangs on them. Pure.

use std::collections::{BTreeMap, BTreeSet};

use lgsp_shared::agency_code::AgencyCode;
use lgsp_shared::id::{AgencyId, SystemId};
use lgsp_shared::resource::{Document, Kind, ResourceKey};
use lgsp_shared::validate::Problem;
use serde_json::json;

use super::ChangeError;
use super::change::Change;
use super::connection::{agency_document, agency_of_code, disconnect, free_agency_name, key, text};
use super::deed::Deed;
use super::ownership::{self, Door};
use super::whole::Whole;
use crate::registry::application::{Action, State as ApplicationState, Step};
use crate::registry::directory::{Agency, FormerNames};
use crate::registry::reorganisation::{Operation, Reorganisation, Succession, Successor};
use crate::store::registry::Write;

mod touch;

pub use touch::{Effect, Touch, touches};

/// What the directory and the applications say about the agencies of an operation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Its agencies, as far as they are known.
    pub agencies: BTreeMap<AgencyCode, Agency>,
    /// Names that documents of agencies had.
    pub names: FormerNames,
    /// The applications of systems that would end with a dissolution, approved or open.
    pub applications: Vec<(u64, ApplicationState)>,
}

/// The systems an operation concerns, each with its agency's code and where it goes.
pub type Moves = BTreeMap<SystemId, Move>;

/// Where a system goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// Its agency's code before.
    pub from: AgencyCode,
    /// The successor; none when the agency is dissolved.
    pub to: Option<AgencyCode>,
}

/// Carries an operation out.
pub fn carry_out(whole: &Whole, one: &Reorganisation, facts: &Facts) -> Result<Deed, ChangeError> {
    admissible(one, facts)?;
    let moves = moves(whole, &one.operation)?;
    let change = match &one.operation {
        Operation::Dissolve { code: _ } => disconnect(whole, &moves.keys().cloned().collect())?,
        Operation::Rename { .. } | Operation::Split { .. } | Operation::Merge { .. } => {
            regroup(whole, one, &moves, facts)?
        }
    };
    let mut writes = writes(one, &moves, facts);
    let bound = |Binding { from, to }| Write::Bound { from, to, by: one.author.clone(), at: one.effective };
    writes.extend(bindings(whole, &one.operation, &change)?.into_iter().map(bound));
    Ok(Deed { change, writes, door: Door::Reorganisation })
}

/// What becomes of everything that is bound to an agency by the name of its document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The document it is bound to.
    pub from: AgencyId,
    /// The one it is bound to from now on; it ends where there is none.
    pub to: Option<AgencyId>,
}

/// Documents of agencies to which nothing stays bound: those a merge or a split takes away, and those of what is dissolved.
/// A merge has one successor, which takes over; a split has several, and nobody says whose operator somebody will be.
pub fn bindings(whole: &Whole, operation: &Operation, change: &Change) -> Result<Vec<Binding>, ChangeError> {
    let named = |name: &str| name.parse::<AgencyId>().map_err(|_| ChangeError::Interrupted);
    let gone = || change.deletes.iter().filter(|key| key.kind == Kind::Agency).map(|key| named(key.name.as_str()));
    match operation {
        Operation::Rename { .. } => Ok(Vec::new()),
        Operation::Dissolve { code } => {
            let documents = agencies_of_code(whole, code).map(|document| named(&document.name));
            documents.map(|from| Ok(Binding { from: from?, to: None })).collect()
        }
        Operation::Split { .. } => gone().map(|from| Ok(Binding { from: from?, to: None })).collect(),
        Operation::Merge { codes: _, into } => {
            let is_it = |put: &&Document| put.kind == Kind::Agency.as_str() && text(put, "code") == into.code.as_str();
            let to = change.puts.iter().find(is_it).map(|put| named(&put.name)).transpose()?;
            let to = to.or_else(|| agency_of_code(whole, &into.code));
            gone().map(|from| Ok(Binding { from: from?, to: to.clone() })).collect()
        }
    }
}

/// What is only known on the day: who exists then.
fn admissible(one: &Reorganisation, facts: &Facts) -> Result<(), ChangeError> {
    for code in one.operation.from() {
        match facts.agencies.get(code) {
            Some(Agency { ended: None, .. }) => {}
            Some(Agency { ended: Some(at), .. }) => {
                let next = format!("`lgspctl agency history {code}` tells what it became");
                return Err(ChangeError::NotNow(format!("agency `{code}` ended on {at}; {next}")));
            }
            None => return Err(ChangeError::NotFound { what: format!("agency `{code}` in the directory") }),
        }
    }
    match &one.operation {
        Operation::Rename { code, to } if to.code != *code && is_there(facts, &to.code) => {
            Err(ChangeError::NotNow(format!("agency `{}` exists; to join it, `merge` into it", to.code)))
        }
        Operation::Rename { .. } | Operation::Split { .. } | Operation::Merge { .. } | Operation::Dissolve { .. } => {
            Ok(())
        }
    }
}

fn is_there(facts: &Facts, code: &AgencyCode) -> bool {
    facts.agencies.get(code).is_some_and(|agency| agency.ended.is_none())
}

/// Every system of the agencies, and where it goes; a split has to say so for each of them.
pub fn moves(whole: &Whole, operation: &Operation) -> Result<Moves, ChangeError> {
    let of: BTreeMap<&str, &AgencyCode> = operation
        .from()
        .into_iter()
        .flat_map(|code| agencies_of_code(whole, code).map(move |document| (document.name.as_str(), code)))
        .collect();
    let mut moves = Moves::new();
    let mut problems = Vec::new();
    for (key, entry) in whole.entries().iter().filter(|(key, _)| key.kind == Kind::System) {
        let Some(code) = of.get(text(entry.document(), "agency")) else { continue };
        let system: SystemId = key.name.as_str().parse().map_err(|_| ChangeError::Interrupted)?;
        let to = match operation {
            Operation::Rename { code: _, to } => Some(to.code.clone()),
            Operation::Merge { codes: _, into } => Some(into.code.clone()),
            Operation::Dissolve { code: _ } => None,
            Operation::Split { code: _, into: _, systems } => match systems.get(&system) {
                Some(to) => Some(to.clone()),
                None => {
                    let message = "the split does not say where it goes; add `--system NAME=CODE`".to_owned();
                    problems.push(Problem { document: key.to_string(), path: "systems".into(), message });
                    continue;
                }
            },
        };
        moves.insert(system, Move { from: (*code).clone(), to });
    }
    if let Operation::Split { code, into: _, systems } = operation {
        problems.extend(systems.keys().filter(|system| !moves.contains_key(*system)).map(|system| {
            let message = format!("it is no system of agency `{code}`; leave it out");
            Problem { document: format!("System/{system}"), path: "systems".into(), message }
        }));
    }
    if problems.is_empty() { Ok(moves) } else { Err(ChangeError::Refused(problems)) }
}

fn agencies_of_code<'a>(whole: &'a Whole, code: &'a AgencyCode) -> impl Iterator<Item = &'a Document> {
    let agencies = whole.entries().iter().filter(|(key, _)| key.kind == Kind::Agency);
    agencies.map(|(_, entry)| entry.document()).filter(move |document| text(document, "code") == code.as_str())
}

/// Systems under their new agencies; agencies without systems lose their documents.
fn regroup(whole: &Whole, one: &Reorganisation, moves: &Moves, facts: &Facts) -> Result<Change, ChangeError> {
    let mut change = Change { allow_large_removal: true, ..Change::default() };
    let mut names: BTreeMap<&AgencyCode, AgencyId> = BTreeMap::new();
    for successor in one.operation.to() {
        let wanted = moves.values().any(|destination| destination.to.as_ref() == Some(&successor.code));
        if let Some(name) = document_of(whole, one, successor, wanted, facts, &change)? {
            let mut document = agency_document(&name, &successor.code, &successor.title);
            let itself = whole.get(&key(Kind::Agency, name.as_str())?);
            let merged = match &one.operation {
                Operation::Merge { codes, into: _ } => codes.as_slice(),
                // After a split the platform's operators say what belongs to whom.
                Operation::Rename { .. } | Operation::Split { .. } | Operation::Dissolve { .. } => &[],
            };
            let merged = merged.iter().flat_map(|code| agencies_of_code(whole, code));
            let before: Vec<&Document> = itself.into_iter().chain(merged).collect();
            ownership::inherit(&mut document, &before);
            change.puts.push(document);
            names.insert(&successor.code, name);
        }
    }
    for (system, Move { from, to }) in moves {
        let name = to.as_ref().and_then(|code| names.get(code)).ok_or(ChangeError::Interrupted)?;
        let document = whole.get(&key(Kind::System, system.as_str())?).ok_or(ChangeError::Interrupted)?;
        let mut moved = document.clone();
        if let Some(spec) = moved.spec.as_object_mut() {
            spec.insert("agency".into(), json!(name));
            if to.as_ref() != Some(from) {
                spec.insert("former_agency".into(), json!({"code": from, "until": one.alias_until}));
            }
        }
        change.puts.push(moved);
    }
    for code in one.operation.from() {
        for document in agencies_of_code(whole, code) {
            let stays = names.values().any(|name| name.as_str() == document.name);
            if !stays {
                change.deletes.push(key(Kind::Agency, &document.name)?);
            }
        }
    }
    Ok(change)
}

/// The name of a successor's document: the one with its code, the renamed one, or a new one where a system goes.
fn document_of(
    whole: &Whole,
    one: &Reorganisation,
    successor: &Successor,
    wanted: bool,
    facts: &Facts,
    so_far: &Change,
) -> Result<Option<AgencyId>, ChangeError> {
    if let Some(name) = agency_of_code(whole, &successor.code) {
        return Ok(Some(name));
    }
    if let Operation::Rename { code, to: _ } = &one.operation
        && let Some(name) = agency_of_code(whole, code)
    {
        return Ok(Some(name));
    }
    if !wanted {
        return Ok(None);
    }
    let own = facts.agencies.get(&successor.code).filter(|agency| agency.ended.is_none());
    if let Some(name) = own.and_then(|agency| facts.names.of(agency.identity)) {
        return Ok(Some(name));
    }
    // Two successors of one title do not get one name.
    let mut title = successor.title.clone();
    let mut name = free_agency_name(whole, &facts.names, &title)?;
    while so_far.puts.iter().any(|put| put.name == name.as_str()) {
        title = format!("{} {title}", successor.code);
        name = free_agency_name(whole, &facts.names, &title)?;
    }
    Ok(Some(name))
}

fn writes(one: &Reorganisation, moves: &Moves, facts: &Facts) -> Vec<Write> {
    let (operation, at, alias_until) = (one.operation.label().to_owned(), one.effective, one.alias_until);
    let successors = one.operation.to();
    let mut writes = match &one.operation {
        Operation::Rename { code, to } if to.code != *code => {
            vec![Write::Recoded { from: code.clone(), to: to.code.clone(), title: to.title.clone(), at }]
        }
        operation => {
            let succeeds = |Successor { code, title }| Write::Succeeds { code, title, since: at };
            let succeeding = successors.iter().map(|successor| succeeds((*successor).clone()));
            let heirs = inheritance(operation, moves);
            let ends = operation.ending().into_iter().map(|code| Write::AgencyEnds { code: code.clone(), at });
            succeeding.chain(heirs).chain(ends).collect()
        }
    };
    if successors.is_empty() {
        let step = Step::decided(Action::Cancel, &one.author, at, &one.decision);
        writes.extend(moves.keys().map(|system| Write::Withdraw { system: system.clone(), step: step.clone() }));
        writes.extend(facts.applications.iter().map(|(application, from)| Write::Step {
            application: *application,
            from: *from,
            step: step.clone(),
        }));
    }
    let link = |old: &AgencyCode, new: Option<&AgencyCode>| Succession {
        old: old.clone(),
        new: new.cloned(),
        operation: operation.clone(),
        reorganisation: one.number,
        at,
        alias_until,
    };
    let mut successions = Vec::new();
    for old in one.operation.from() {
        if successors.is_empty() {
            successions.push(link(old, None));
        }
        let others = successors.iter().filter(|successor| successor.code != *old);
        successions.extend(others.map(|successor| link(old, Some(&successor.code))));
    }
    writes.push(Write::Reorganised { one: Box::new(one.clone()), successions });
    writes
}

/// Whose the papers are from now on: a merge's successor has all of them, a split's those of the systems it is given.
fn inheritance(operation: &Operation, moves: &Moves) -> Vec<Write> {
    match operation {
        Operation::Merge { codes, into } => {
            let others = codes.iter().filter(|code| **code != into.code);
            others.map(|from| Write::Inherits { from: from.clone(), to: into.code.clone() }).collect()
        }
        Operation::Split { .. } => {
            let moved = moves.iter().filter_map(|(system, Move { from, to })| Some((system, from, to.as_ref()?)));
            let moved = moved.filter(|(_, from, to)| from != to);
            let inherits = |(system, from, to): (&SystemId, &AgencyCode, &AgencyCode)| Write::InheritsSystem {
                system: system.clone(),
                from: from.clone(),
                to: to.clone(),
            };
            moved.map(inherits).collect()
        }
        Operation::Rename { .. } | Operation::Dissolve { .. } => Vec::new(),
    }
}

/// The documents of systems: what is theirs and what names them.
#[derive(Debug, Default)]
struct Belongings {
    credentials: Vec<ResourceKey>,
    services: BTreeSet<String>,
    routes: Vec<ResourceKey>,
    permissions: Vec<ResourceKey>,
}
