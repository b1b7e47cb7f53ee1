//! Hints for an invalid command line.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::units;

/// Adds a hint to the error where a value is separated by a space from an option that takes it only after "=". Such
/// an option is valid without a value, so the parser takes the next word for another argument.
pub(crate) fn explained(mut error: clap::Error, command: &clap::Command, words: &[String]) -> clap::Error {
    if error.kind() == ErrorKind::UnknownArgument
        && let Some((option, value)) = detached(command, words)
    {
        let hint = format!("a value of '{option}' follows an equals sign: '{option}={value}'");
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![hint.into()]));
    }
    error
}

/// An option of the verb that requires an equals sign, and the time that follows it without one.
fn detached<'a>(command: &clap::Command, words: &'a [String]) -> Option<(&'a str, &'a str)> {
    let verb = command.find_subcommand(words.iter().find(|word| !word.starts_with('-'))?)?;
    words.windows(2).find_map(|two| {
        let [option, value] = two else { return None };
        let name = option.strip_prefix("--")?;
        let wants_equals =
            verb.get_arguments().any(|arg| arg.get_long() == Some(name) && arg.is_require_equals_set());
        (wants_equals && units::duration(value).is_ok()).then_some((option.as_str(), value.as_str()))
    })
}
