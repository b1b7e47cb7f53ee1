//! Escapes text from files and other processes before it is shown.
//!
//! Other processes choose names, paths and kinds. Unescaped, they could move the terminal's cursor, change its
//! colours, hide a line, or imitate output of this program.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A path: bytes that are not UTF-8 are shown as `\xNN`; the rest is escaped as in [`text`].
pub(crate) fn path(path: &Path) -> String {
    bytes(path.as_os_str().as_bytes())
}

/// Bytes that should be text.
pub(crate) fn bytes(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        append(chunk.valid(), &mut shown);
        for byte in chunk.invalid() {
            shown.push_str(&format!("\\x{byte:02x}"));
        }
    }
    shown
}

/// Escapes every character that a terminal would act on.
pub(crate) fn text(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    append(text, &mut shown);
    shown
}

fn append(text: &str, shown: &mut String) {
    for character in text.chars() {
        if is_obeyed(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
}

/// Control characters, line separators, direction marks, and invisible characters.
fn is_obeyed(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    #[test]
    fn text_is_shown_and_not_obeyed() {
        assert_eq!(text("grün ✓ C:\\x"), "grün ✓ C:\\x");
        assert_eq!(text("a\x1b[2Jb\r\n\t\x07"), "a\\u{1b}[2Jb\\r\\n\\t\\u{7}");
        assert_eq!(text("\u{9b}31m\u{7f}\u{202e}\u{2028}"), "\\u{9b}31m\\u{7f}\\u{202e}\\u{2028}");
    }

    #[test]
    fn paths_need_no_encoding() {
        assert_eq!(path(Path::new(OsStr::from_bytes(b"/x/\xff\xfe\n\xc3\xbc"))), "/x/\\xff\\xfe\\n\u{fc}");
    }
}
