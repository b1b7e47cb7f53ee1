//! The checks behind quoit's claims. Each check prints its counts and ends with an error if anything failed;
//! `docs/verification.md` says what each count means.

mod adopt;
mod burial;
mod child;
mod fuzz;
mod kills;
mod litmus;
mod orderings;
mod outcome;
mod place;
mod report;
mod sabotage;
mod sanitizers;
mod sleeps;
mod steps;
mod syscalls;
mod tracee;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::outcome::{Form, Outcome};

/// Checks what quoit claims, and counts.
#[derive(Debug, Parser)]
#[command(name = "cargo verify")]
struct Command {
    #[command(subcommand)]
    check: Check,
    /// The short form, which every CI run includes
    #[arg(long, global = true)]
    quick: bool,
}

#[derive(Clone, Debug, Subcommand)]
enum Check {
    /// Every ordering and every step of the protocol, weakened: a model must fail for each
    Orderings(orderings::Args),
    /// The shapes around full fences under the axioms of C11, exhaustively: a second opinion on what loom cannot show
    Litmus(litmus::Args),
    /// Kills, and stops, at every instruction of every operation, in a grid of ring states
    Steps(steps::Args),
    /// Kills at random moments under load
    Kills(kills::Args),
    /// Every system call failed once at every call site, with every documented error
    Syscalls(syscalls::Args),
    /// Sleeps and wakes without a time limit, with random delays at every site
    Sleeps(sleeps::Args),
    /// How long a dead consumer holds up its producer, by its size
    Burial(burial::Args),
    /// The fuzz targets
    Fuzz(fuzz::Args),
    /// Thread tests under ThreadSanitizer and AddressSanitizer, and what Miri can run
    Sanitizers(sanitizers::Args),
    /// The source spoiled on purpose: the quick check named for each way has to notice
    Sabotage(sabotage::Args),
    /// All of them, one after the other; the full form then writes the report
    All,
    /// Writes the figures of the last runs into docs/verification.md and docs/mutants.md
    Report,
}

impl Check {
    /// Their names, as they are kept and reported.
    const NAMES: [&'static str; 10] = [
        "orderings",
        "litmus",
        "steps",
        "kills",
        "syscalls",
        "sleeps",
        "burial",
        "fuzz",
        "sanitizers",
        "sabotage",
    ];

    /// As what their outcomes are kept and reported.
    fn kept() -> Vec<String> {
        let of_one = |name: &&str| match *name {
            "steps" => outcome::parts_of::<steps::Part>(name),
            "kills" => outcome::parts_of::<kills::Part>(name),
            _ => vec![(*name).to_owned()],
        };
        Self::NAMES.iter().flat_map(of_one).collect()
    }

    /// Runs it, prints what it found, and keeps that. One with parts runs one after the other. True: nothing failed.
    fn run(&self, form: Form) -> bool {
        let outcome = match self {
            Self::Steps(args) => {
                return args.parts().fold(true, |good, part| good & finished(steps::run(args, part, form)));
            }
            Self::Kills(args) => {
                return args.parts().fold(true, |good, part| good & finished(kills::run(args, part, form)));
            }
            Self::Orderings(args) => orderings::run(args, form).map(|outcome| whole_if(args, outcome)),
            Self::Litmus(args) => litmus::run(args, form).map(|outcome| whole_if(args, outcome)),
            Self::Syscalls(args) => syscalls::run(args, form).map(|outcome| whole_if(args, outcome)),
            Self::Sleeps(args) => sleeps::run(args, form).map(|outcome| whole_if(args, outcome)),
            Self::Burial(args) => burial::run(args, form).map(|outcome| whole_if(args, outcome)),
            Self::Fuzz(args) => fuzz::run(args, form).map(|outcome| whole_if(args, outcome)),
            Self::Sanitizers(args) => sanitizers::run(args, form).map(|outcome| whole_if(args, outcome)),
            // Parts of its list add up.
            Self::Sabotage(args) => sabotage::run(args, form),
            Self::All | Self::Report => unreachable!("not checks of their own"),
        };
        finished(outcome)
    }
}

/// Only a check without options of its own is kept for the report: others look at a part.
fn whole_if<A: Default + PartialEq>(args: &A, mut outcome: Outcome) -> Outcome {
    outcome.whole = *args == A::default();
    outcome
}

/// Prints and keeps what a check found. True: nothing failed.
fn finished(outcome: Result<Outcome>) -> bool {
    outcome.and_then(Outcome::finish).unwrap_or_else(|error| {
        eprintln!("cannot check: {error:#}");
        false
    })
}

/// Each check in a process of its own: none finds another's pinning, signals or children. True: nothing failed.
fn all(form: Form) -> Result<bool> {
    let program = std::env::current_exe()?;
    let mut good = true;
    for name in Check::NAMES {
        let mut command = std::process::Command::new(&program);
        command.arg(name);
        if form == Form::Quick {
            command.arg("--quick");
        }
        let status = command.status()?;
        if status.code().is_none() {
            // It had no time to say so itself.
            eprintln!("{name} was ended from outside: {status}");
        }
        good &= status.success();
    }
    Ok(good)
}

fn main() -> ExitCode {
    let command = Command::parse();
    let form = if command.quick { Form::Quick } else { Form::Full };
    let result = match &command.check {
        Check::Report => report::write(&Check::kept()).map(|()| true),
        Check::All => all(form).and_then(|good| {
            if good && form == Form::Full {
                report::write(&Check::kept())?;
            }
            Ok(good)
        }),
        check => Ok(check.run(form)),
    };
    match result {
        Ok(good) => ExitCode::from(u8::from(!good)),
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
