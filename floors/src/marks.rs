//! Sections of a page that programs write, between two marks. Everything else of the page is somebody's text.

/// The marks of the section of this name.
pub fn marks(name: &str) -> [String; 2] {
    [format!("<!-- {name} -->"), format!("<!-- end of {name} -->")]
}

/// The page with something else in the section; `None`: it has no such marks.
pub fn put(page: &str, name: &str, section: &str) -> Option<String> {
    let [begin, end] = marks(name);
    let (before, rest) = page.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n\n{}\n\n{end}{after}", section.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let page = |section: &str| format!("above\n<!-- x -->{section}<!-- end of x -->\nbelow\n");
        assert_eq!(put(&page("\nold\n"), "x", "new").unwrap(), page("\n\nnew\n\n"));
        assert_eq!(put("no marks", "x", "new"), None);
    }
}
