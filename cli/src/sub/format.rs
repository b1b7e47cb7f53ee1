//! How records, and events between them, are written.

use std::io::Write;

use base64::prelude::{BASE64_STANDARD, Engine};
use quoit::{Loss, Record, Rfc3339};
use serde::Serialize;

use super::args::Args;

/// How a payload is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Lines,
    Raw,
    Json,
    LengthPrefixed,
}

/// One line of JSON per record.
#[derive(Debug, Serialize)]
struct Line<'a> {
    sequence: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    payload: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
}

/// Events between records, each under its own key.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Notice {
    Lost {
        records: u64,
        bytes: u64,
        cause: String,
        first: u64,
        next: u64,
    },
    /// A group has lost records.
    GroupLost {
        records: u64,
        first: u64,
        next: u64,
    },
    Evicted(bool),
    ProducerChanged {
        epoch: u64,
    },
    Resumed {
        sequence: u64,
    },
    /// Another ring is at the path: sequences start again.
    RingChanged(bool),
}

impl Notice {
    pub(crate) fn lost(loss: &Loss) -> Self {
        Self::Lost {
            records: loss.records,
            bytes: loss.bytes,
            cause: loss.cause.to_string(),
            first: loss.first,
            next: loss.next,
        }
    }
}

impl Format {
    pub(crate) fn of(args: &Args) -> Self {
        match (args.raw, args.json, args.length_prefixed) {
            (true, _, _) => Self::Raw,
            (_, true, _) => Self::Json,
            (_, _, true) => Self::LengthPrefixed,
            _ => Self::Lines,
        }
    }

    /// Appends a record. `time`: when it was published, if that is to be written.
    pub(crate) fn record(self, record: &Record<'_>, time: Option<Rfc3339>, out: &mut Vec<u8>) {
        match self {
            Self::Lines => {
                if let Some(time) = time {
                    // Writing to a vector cannot fail.
                    let _ = write!(out, "{time} ");
                }
                payload(record, out);
                out.push(b'\n');
            }
            Self::Raw => payload(record, out),
            Self::LengthPrefixed => {
                // A record is shorter than 2^31 bytes by its format.
                out.extend((record.len() as u32).to_le_bytes());
                payload(record, out);
            }
            Self::Json => json_record(record.sequence(), time, &record.bytes(), out),
        }
    }

    /// Appends an event, if the format has a place for it.
    pub(crate) fn notice(self, notice: &Notice, out: &mut Vec<u8>) {
        if self == Self::Json {
            json(notice, out);
        }
    }
}

fn payload(record: &Record<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + record.len(), 0);
    record.copy_to(&mut out[start..]);
}

fn json_record(sequence: u64, time: Option<Rfc3339>, payload: &[u8], out: &mut Vec<u8>) {
    let time = time.map(|time| time.to_string());
    match str::from_utf8(payload) {
        Ok(payload) => json(&Line { sequence, time, payload, encoding: None }, out),
        Err(_) => {
            let payload = BASE64_STANDARD.encode(payload);
            json(&Line { sequence, time, payload: &payload, encoding: Some("base64") }, out);
        }
    }
}

fn json(line: &impl Serialize, out: &mut Vec<u8>) {
    // Neither a vector nor these types can fail.
    let _ = serde_json::to_writer(&mut *out, line);
    let _ = out.write_all(b"\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(sequence: u64, payload: &[u8]) -> String {
        let mut out = Vec::new();
        json_record(sequence, None, payload, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn records_in_json() {
        assert_eq!(line(7, "grün \"\n".as_bytes()), "{\"sequence\":7,\"payload\":\"grün \\\"\\n\"}\n");
        assert_eq!(line(u64::MAX, b""), "{\"sequence\":18446744073709551615,\"payload\":\"\"}\n");
        assert_eq!(line(8, &[0xff, 0]), "{\"sequence\":8,\"payload\":\"/wA=\",\"encoding\":\"base64\"}\n");
    }

    #[test]
    fn notices_in_json_alone() {
        let notice = Notice::Lost { records: 3, bytes: 30, cause: "overrun".into(), first: 1, next: 4 };
        let mut out = Vec::new();
        Format::Raw.notice(&notice, &mut out);
        Format::Lines.notice(&notice, &mut out);
        Format::LengthPrefixed.notice(&notice, &mut out);
        assert!(out.is_empty());
        Format::Json.notice(&notice, &mut out);
        Format::Json.notice(&Notice::Evicted(true), &mut out);
        Format::Json.notice(&Notice::ProducerChanged { epoch: 2 }, &mut out);
        Format::Json.notice(&Notice::Resumed { sequence: 9 }, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"lost\":{\"records\":3,\"bytes\":30,\"cause\":\"overrun\",\"first\":1,\"next\":4}}\n\
             {\"evicted\":true}\n\
             {\"producer_changed\":{\"epoch\":2}}\n\
             {\"resumed\":{\"sequence\":9}}\n"
        );
    }
}
