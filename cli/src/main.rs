//! The command `quoit`: make, feed, read and inspect shared-memory rings, locks between processes, and services.

mod bench;
mod call;
mod columns;
mod create;
mod demo;
mod descriptor;
mod event;
mod evict;
mod exit;
mod forget;
mod framing;
mod get;
mod hints;
mod hold;
mod info;
mod json;
mod lock;
mod ls;
mod memory;
mod object;
mod output;
mod publish;
mod remove;
mod ring_file;
mod sem;
mod serve;
mod service;
mod set;
mod shown;
mod signals;
mod standard;
mod standing;
mod sub;
mod turn;
mod units;

use std::io;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::exit::Exit;

/// Shared-memory rings: one producer, many consumers, one memory-mapped file. Locks, semaphores, events, values and
/// services of the same kind.
#[derive(Debug, Parser)]
#[command(name = "quoit", version, after_help = exit::HELP, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Demo(demo::Args),
    /// Measure speed on this machine, relative to plain atomics and futexes doing the same work
    Bench(bench::Args),
    /// Create a ring
    Create(create::Args),
    Pub(publish::Args),
    #[command(alias = "tail")]
    Sub(sub::Args),
    Info(info::Args),
    Ls(ls::Args),
    Rm(remove::Args),
    Evict(evict::Args),
    Forget(forget::Args),
    Lock(lock::Args),
    Sem(sem::Args),
    Event(event::Args),
    Get(get::Args),
    Set(set::Args),
    Serve(serve::Args),
    Call(call::Args),
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    #[command(hide = true)]
    DemoChild(demo::ChildArgs),
    #[command(hide = true)]
    KitChild(demo::KitChildArgs),
    #[command(hide = true)]
    BenchChild(bench::ChildArgs),
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let exit = Exit::of(&error);
            // The sender of the signal takes no output, so it needs no message either.
            let signal = matches!(error.downcast_ref::<io::Error>(), Some(e) if e.kind() == io::ErrorKind::Interrupted);
            if exit != Exit::Done && !signal {
                output::say(exit::told(&error));
            }
            ExitCode::from(exit as u8)
        }
    }
}

fn run() -> anyhow::Result<u8> {
    standard::check()?;
    signals::survive_file_size_limit()?;
    let cli = Cli::try_parse().unwrap_or_else(|error| {
        let words: Vec<String> =
            std::env::args_os().skip(1).map(|word| word.to_string_lossy().into()).collect();
        hints::explained(error, &Cli::command(), &words).exit()
    });
    // Compile the measured library as other programs use it, and measure on a ring that no other process can open.
    if !matches!(cli.verb, Verb::BenchChild(_)) {
        quoit::guard_against_truncation()?;
    }
    match cli.verb {
        Verb::Demo(args) => demo::run(args),
        Verb::DemoChild(args) => demo::run_child(args),
        Verb::KitChild(args) => demo::run_kit_child(&args),
        Verb::Bench(args) => bench::run(&args).map(|exit| exit as u8),
        Verb::BenchChild(args) => bench::run_child(args).map(|exit| exit as u8),
        Verb::Create(args) => create::run(args).map(|exit| exit as u8),
        Verb::Pub(args) => publish::run(args).map(|exit| exit as u8),
        Verb::Sub(args) => sub::run(args).map(|exit| exit as u8),
        Verb::Info(args) => info::run(&args).map(|exit| exit as u8),
        Verb::Ls(args) => ls::run(&args).map(|exit| exit as u8),
        Verb::Evict(args) => evict::run(&args).map(|exit| exit as u8),
        Verb::Rm(args) => remove::run(&args).map(|exit| exit as u8),
        Verb::Forget(args) => forget::run(&args).map(|exit| exit as u8),
        Verb::Lock(args) => lock::run(&args),
        Verb::Sem(args) => sem::run(&args),
        Verb::Event(args) => event::run(&args).map(|exit| exit as u8),
        Verb::Get(args) => get::run(&args).map(|exit| exit as u8),
        Verb::Set(args) => set::run(&args).map(|exit| exit as u8),
        Verb::Serve(args) => serve::run(&args).map(|exit| exit as u8),
        Verb::Call(args) => call::run(&args).map(|exit| exit as u8),
        Verb::Completions { shell } => completions(shell).map(|exit| exit as u8),
    }
}

fn completions(shell: clap_complete::Shell) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "quoit", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
