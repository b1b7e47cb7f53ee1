//! What somebody meant whose command line makes no sense.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::units;

/// The error, with a hint where a value stands apart from an option that takes it behind "=" alone: such an option may go
/// without one, so what follows it is taken for something else.
pub(crate) fn explained(mut error: clap::Error, command: &clap::Command, words: &[String]) -> clap::Error {
    if error.kind() == ErrorKind::UnknownArgument
        && let Some((option, value)) = detached(command, words)
    {
        let hint = format!("a value of '{option}' follows an equals sign: '{option}={value}'");
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![hint.into()]));
    }
    error
}

/// An option of the verb that wants an equals sign, and the time that follows it without one.
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
