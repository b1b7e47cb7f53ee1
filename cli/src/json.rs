//! File names and times in JSON. JSON is UTF-8, while file names are bytes.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};

/// A path: a string, or `{"base64": ...}` if it is not UTF-8.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Name(Vec<u8>);

impl Name {
    pub(crate) fn of(path: &Path) -> Self {
        Self(path.as_os_str().as_bytes().to_vec())
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => serializer.collect_map([("base64", STANDARD.encode(&self.0))]),
        }
    }
}

/// All of a time's nanoseconds, up to 584 years.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    #[test]
    fn every_path_comes_back() {
        let json =
            |bytes: &[u8]| serde_json::to_string(&Name::of(Path::new(OsStr::from_bytes(bytes)))).unwrap();
        assert_eq!(json(b"/dev/shm/a\x1b[31m"), r#""/dev/shm/a\u001b[31m""#);
        assert_eq!(json(b"/\xff"), r#"{"base64":"L/8="}"#);
    }
}
