//! What other people chose, as it may be shown: names of files and consumers can hold anything, escape sequences that
//! a terminal obeys included.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::Path;

/// The text with everything escaped that is not seen, or changes how the rest is seen.
pub(crate) fn text(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_seen(character) {
            shown.push(character);
        } else {
            shown.extend(character.escape_debug());
        }
    }
    shown
}

/// The same of a name of a file, or of part of one; bytes that are no UTF-8 as `\xff`.
pub(crate) fn os(name: &OsStr) -> String {
    let mut shown = String::new();
    for chunk in name.as_encoded_bytes().utf8_chunks() {
        shown.push_str(&text(chunk.valid()));
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown
}

/// The same of a path.
pub(crate) fn path(path: &Path) -> String {
    os(path.as_os_str())
}

/// Neither a control character, nor one that turns the direction of what follows, breaks the line, or has no width.
fn is_seen(character: char) -> bool {
    let unseen = matches!(character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    !unseen && !character.is_control()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn what_is_seen_stays_and_the_rest_is_spelt_out() {
        for plain in ["", "audit", "with space", "größe", "価格", "e\u{301}", "a\\b", "it's \"so\"", "🦀"]
        {
            assert_eq!(text(plain), plain);
        }
        assert_eq!(text("a\u{1b}[31mred\u{1b}[0m"), "a\\u{1b}[31mred\\u{1b}[0m");
        assert_eq!(text("two\nlines\r\tand \0"), "two\\nlines\\r\\tand \\0");
        assert_eq!(text("\u{9b}31m\u{7f}"), "\\u{9b}31m\\u{7f}");
        assert_eq!(
            text("\u{202e}txt.exe\u{2066}\u{200b}\u{feff}"),
            "\\u{202e}txt.exe\\u{2066}\\u{200b}\\u{feff}"
        );
        assert_eq!(os(OsStr::from_bytes(b"a\xff\xc3\x28\x1b")), "a\\xff\\xc3(\\u{1b}");
        assert_eq!(path(Path::new("/dev/shm/a\nb")), "/dev/shm/a\\nb");
    }
}
