//! The list as text.

use std::os::unix::ffi::OsStrExt;

use quoit::Snapshot;

use super::found::{Found, What};
use crate::standing::{self, Standing};
use crate::{columns, object, service, shown, units};

/// Rings and what may be one; then all other objects; then why some cannot be used.
pub(super) fn table(files: &[Found]) -> String {
    let (objects, rings): (Vec<_>, Vec<_>) =
        files.iter().partition(|file| matches!(file.what, What::Object(_) | What::Service(_)));
    let (mut text, notes) = table_of_rings(&rings);
    if !objects.is_empty() {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&table_of_objects(&objects));
    }
    for note in notes {
        text.push_str(&note);
        text.push('\n');
    }
    text
}

fn table_of_objects(files: &[&Found]) -> String {
    let head = ["object", "kind", "state", "held by", "waiting", "in use"];
    let mut rows = vec![head.map(str::to_owned)];
    for file in files {
        let object = match &file.what {
            What::Object(object) => object,
            What::Service(service) => {
                rows.push(row_of_service(file, service));
                continue;
            }
            _ => continue,
        };
        let holders: Vec<String> = object::holders(object).map(object::who).collect();
        let alive = object.participants.iter().filter(|who| who.is_alive).count();
        rows.push([
            name(file),
            object.kind.to_string(),
            object::state(object),
            if holders.is_empty() { "-".into() } else { holders.join("; ") },
            units::count(object::waiting(object) as u64),
            units::count(alive as u64),
        ]);
    }
    columns::aligned(&rows, &[true, true, true, true, false, false])
}

/// Its server holds it; the clients that sleep wait.
fn row_of_service(file: &Found, service: &quoit::service::Snapshot) -> [String; 6] {
    let waiting = service.clients.iter().filter(|client| client.is_alive && client.is_waiting).count();
    [
        name(file),
        "service".into(),
        service::state(service),
        service::server(service),
        units::count(waiting as u64),
        units::count(service::in_use(service) as u64),
    ]
}

fn table_of_rings(files: &[&Found]) -> (String, Vec<String>) {
    let head = ["ring", "capacity", "producer", "consumers", "records", "records/s", "last publish"];
    let mut rows = vec![head.map(str::to_owned)];
    let mut notes = Vec::new();
    for file in files {
        let name = name(file);
        match &file.what {
            What::Ring { snapshot, records_per_second } => rows.push([
                name,
                units::bytes(snapshot.capacity),
                producer(snapshot),
                consumers(snapshot),
                units::count(snapshot.records),
                records_per_second.map_or_else(|| "-".into(), |rate| units::count(rate.round() as u64)),
                last_publish(snapshot, *records_per_second),
            ]),
            What::Object(_) | What::Service(_) => {}
            What::Refused(error) => {
                rows.push([&name, "-", "unusable", "-", "-", "-", "-"].map(str::to_owned));
                notes.push(shown::text(&error.to_string()));
            }
            What::Unreadable { user, mode } => {
                rows.push([&name, "-", "unreadable", "-", "-", "-", "-"].map(str::to_owned));
                let path = shown::path(&file.path);
                notes.push(format!(
                    "{path}: may be a ring or another object; it belongs to user {user}, mode {mode:04o}"
                ));
            }
        }
    }
    if rows.len() == 1 {
        return (String::new(), notes);
    }
    (columns::aligned(&rows, &[true, false, true, true, false, false, true]), notes)
}

/// Other processes choose it.
fn name(file: &Found) -> String {
    shown::bytes(file.name.as_bytes())
}

fn producer(snapshot: &Snapshot) -> String {
    let (word, _) = standing::producer(snapshot);
    let corrupt = if snapshot.corruption.is_some() { ", corrupt" } else { "" };
    if snapshot.producer_alive {
        format!("{word} (process {}){corrupt}", snapshot.producer_pid)
    } else {
        format!("{word}{corrupt}")
    }
}

/// Published just now, or not since the producer last noted the time.
fn last_publish(snapshot: &Snapshot, records_per_second: Option<f64>) -> String {
    match (snapshot.records, records_per_second) {
        (0, _) => "never".into(),
        (_, Some(rate)) if rate > 0.0 => "now".into(),
        _ => match units::ago(not_before(snapshot)).as_str() {
            at_most if at_most.ends_with(" ago") => format!("≤ {at_most}"),
            words => words.to_owned(),
        },
    }
}

/// Earliest possible time of the newest record.
pub(super) fn not_before(snapshot: &Snapshot) -> u64 {
    snapshot.noted_ns.unwrap_or(snapshot.created_ns)
}

/// How many of each kind; kinds with none are left out.
fn consumers(snapshot: &Snapshot) -> String {
    let kinds: Vec<String> =
        [Standing::Alive, Standing::Stopped, Standing::Attaching, Standing::Away, Standing::Dead]
            .into_iter()
            .map(|standing| (standing, count(snapshot, standing)))
            .filter(|(_, count)| *count > 0)
            .map(|(standing, count)| format!("{} {}", units::count(count), standing.word()))
            .collect();
    if kinds.is_empty() { "none".into() } else { kinds.join(", ") }
}

pub(super) fn count(snapshot: &Snapshot, standing: Standing) -> u64 {
    snapshot.consumers.iter().filter(|consumer| Standing::of(consumer) == standing).count() as u64
}
