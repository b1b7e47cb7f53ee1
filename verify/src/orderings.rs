//! Every ordering and every step of the protocol, weakened: a model must fail for each.
//!
//! An *ordering mutant* is a named site one step weaker. One build runs them all: under loom the environment sets the
//! strength of a site. A *structural mutant* is a step of the protocol in another order, or left out; these are built
//! into a copy of the source, each behind a switch. `docs/ordering.md` names the models that must fail.
//!
//! A mutant is killed if a model named for it fails by an assertion of its own, or by a deadlock or race that loom
//! reports. A time-out, the branch limit, or a panic anywhere else proves nothing and counts as a failure of this
//! check. So does a survivor, unless the document has a reason for it. A model that fails without a mutant would kill
//! every mutant. So each runs without one first, and if it fails nothing else is run.

#[allow(dead_code, reason = "`tests/sources.rs` uses the rest")]
pub(crate) mod catalogue;
mod models;
mod places;
mod schemata;

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::outcome::{Form, Outcome, root};

use self::catalogue::{Document, Mutant, Row, Site};
use self::models::{Models, Ran, Verdict};

/// Options of this check alone.
#[derive(Clone, Debug, Default, PartialEq, clap::Args)]
pub(crate) struct Args {
    /// Only mutants whose name contains this
    #[arg(long)]
    only: Option<String>,
    /// How many models run at a time; as many as there are processors if not given
    #[arg(long)]
    jobs: Option<usize>,
}

/// How long a model that must fail for a mutant may run.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long a model may run to its end without a mutant, in the full form. The longest takes three minutes of a processor.
const TO_THE_END: Duration = Duration::from_secs(900);
/// How long every model runs under a mutant that is listed as surviving. Models fail early, if at all.
const SHORT: Duration = Duration::from_secs(3);
/// How long a model runs without a mutant before it is believed not to fail by itself, where its end is not waited for:
/// in the quick form, and in the full one on a copy with mutants, which is the source of the build where it does come to
/// its end.
const TRIAL: Duration = Duration::from_millis(1500);
const TRIAL_OF_COPIES: Duration = Duration::from_secs(20);

/// A mutant of either kind, ready to be run.
struct Case {
    name: String,
    variable: &'static str,
    /// Which build has it.
    build: usize,
    killed_by: Vec<String>,
    survives: bool,
}

/// One model to be run.
struct Job<'a> {
    build: usize,
    /// None: as it is.
    case: Option<&'a Case>,
    model: String,
    patience: Duration,
    /// The places that it comes by are noted.
    listing: bool,
}

/// What became of all runs.
type Results = BTreeMap<(String, String), Ran>;

pub(crate) fn run(args: &Args, form: Form) -> Result<Outcome> {
    let mut outcome = Outcome::begin("orderings", form);
    let path = root().join("docs/ordering.md");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let document = Document::read(&text);
    let path = root().join("verify/mutants/structural.toml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mutants = catalogue::mutants(&text).context("cannot understand the structural mutants")?;

    eprintln!("building the models");
    let mut builds = vec![Models::build(root(), "quoit-models")?];
    let sources = schemata::sources()?;
    let copies = schemata::plan(&sources, &mutants)?;
    for (number, copy) in copies.iter().enumerate() {
        eprintln!("building {} structural mutants", copy.mutants.len());
        builds.push(Models::build(&copy.write(number, &sources)?, &schemata::package(number))?);
    }
    let mut cases = ordering_cases(&document);
    let orderings = cases.len();
    cases.extend(mutants.iter().map(|mutant| structural_case(mutant, &copies)));
    if let Some(only) = &args.only {
        cases.retain(|case| case.name.contains(only));
        outcome.note(format!("only mutants whose name contains {only:?}"));
    }

    let jobs = args.jobs.or_else(|| std::thread::available_parallelism().ok().map(usize::from)).unwrap_or(1);
    let mut executions = 0;
    let listing = form == Form::Full;
    let mutated: Vec<_> = cases
        .iter()
        .flat_map(|case| {
            let (models, patience) = match form {
                Form::Quick => (case.killed_by.get(..1).unwrap_or_default(), PATIENCE),
                Form::Full if case.survives => (&builds[case.build].names[..], SHORT),
                Form::Full => (&case.killed_by[..], PATIENCE),
            };
            let (build, case) = (case.build, Some(case));
            models.iter().map(move |model| Job {
                build,
                case,
                model: model.clone(),
                patience,
                listing: false,
            })
        })
        .collect();
    let mut chosen: BTreeSet<_> = mutated.iter().map(|job| (job.build, job.model.clone())).collect();
    if listing {
        chosen.extend(builds[0].names.iter().map(|model| (0, model.clone())));
    }
    let plain = chosen.into_iter().map(|(build, model)| Job {
        build,
        case: None,
        model,
        patience: match (form, build) {
            (Form::Quick, _) => TRIAL,
            (Form::Full, 0) => TO_THE_END,
            (Form::Full, _) => TRIAL_OF_COPIES,
        },
        listing: listing && build == 0,
    });
    let plain = work(&builds, plain.collect(), jobs)?;
    all_pass(&plain, form, &mut outcome)?;
    if listing {
        let mut unreached = places::to_reach(&sources, &document);
        outcome.count("places in the source that a model has to reach", unreached.len() as u64);
        for ran in plain.iter().filter(|((build, _), _)| build == "build 0").map(|(_, ran)| ran) {
            if let Verdict::Passed { executions: more } = ran.verdict {
                executions += more;
            }
            unreached.retain(|place| !ran.places.contains(place));
        }
        for place in unreached {
            outcome.fail(format!("no model reaches {place}"));
        }
    }
    let results = work(&builds, mutated, jobs)?;

    let mut table = String::from("| mutant | killed by | how |\n|---|---|---|\n");
    let (mut killed, mut survivors) = (0, 0);
    for case in &cases {
        let (kills, how) = judge(case, &results, &mut outcome);
        if case.survives {
            survivors += 1;
        } else if !kills.is_empty() {
            killed += 1;
        }
        let models = kills.iter().map(|model| format!("`{model}`")).collect::<Vec<_>>().join(" ");
        let models = if case.survives { "survives: see docs/ordering.md".to_owned() } else { models };
        table.push_str(&format!("| `{}` | {models} | {how} |\n", case.name));
    }

    let sites =
        |wanted: &dyn Fn(&Site) -> bool| document.sites.iter().filter(|site| wanted(site)).count() as u64;
    outcome.count("named sites", document.sites.len() as u64);
    outcome.count("of these Relaxed: nothing to weaken", sites(&|site| site.ordering == "Relaxed"));
    outcome.count(
        "of these order something outside the protocol, where there are no models",
        sites(&|site| !site.modelled && site.ordering != "Relaxed"),
    );
    outcome.count(
        "of these order something in the protocol",
        sites(&|site| site.modelled && site.ordering != "Relaxed"),
    );
    let weakened = cases.iter().filter(|case| case.variable == "QUOIT_WEAKEN").count();
    debug_assert!(args.only.is_some() || weakened == orderings);
    outcome.count("ordering mutants", weakened as u64);
    outcome.count("structural mutants", (cases.len() - weakened) as u64);
    outcome.count("mutants killed by a model named for them", killed);
    outcome.count("mutants that survive, each with its reason in docs/ordering.md", survivors);
    outcome.count("runs of a model under a mutant", results.len() as u64);
    if form == Form::Full {
        outcome.count("models", builds[0].names.len() as u64);
        outcome.count("executions explored by the models without a mutant", executions);
        outcome.table = Some(table);
    }
    for Row { name, cells } in &document.survivors {
        outcome.note(format!("{name} survives: {}", cells.first().map_or("", String::as_str)));
    }
    for mutant in &mutants {
        if let Some(reason) = &mutant.survives {
            outcome.note(format!("{} survives: {reason}", mutant.name));
        }
    }
    Ok(outcome)
}

/// Refuses to go on with a model that fails without any mutant. One that should have come to its end and did not is a
/// failure as well, which tells nothing of the mutants.
fn all_pass(plain: &Results, form: Form, outcome: &mut Outcome) -> Result<()> {
    for ((build, model), ran) in plain {
        let whole = form == Form::Full && build == "build 0";
        let how = match &ran.verdict {
            Verdict::Passed { .. } => continue,
            Verdict::TimedOut => {
                if whole {
                    outcome.fail(format!("the model {model} comes to no end in {TO_THE_END:?}"));
                }
                continue;
            }
            Verdict::Killed(by) => format!("fails ({by})"),
            Verdict::Odd(what) => format!("fails ({what})"),
        };
        let (binary, test) = model.split_once("::").unwrap_or((model, ""));
        bail!(
            "the model {model} {how} without any mutant ({build}), so that it proves nothing of any: \
             cargo test -p quoit-models --test {binary} {test}"
        );
    }
    Ok(())
}

fn ordering_cases(document: &Document) -> Vec<Case> {
    let survives = |name: &str| document.survivors.iter().any(|row| row.name == name);
    let sites = document.sites.iter().filter(|site| site.modelled);
    sites
        .flat_map(|site| site.weakenings().into_iter().map(move |weakening| (site, weakening)))
        .map(|(site, name)| Case {
            survives: survives(&name),
            name,
            variable: "QUOIT_WEAKEN",
            build: 0,
            killed_by: site.models.clone(),
        })
        .collect()
}

fn structural_case(mutant: &Mutant, copies: &[schemata::Copy]) -> Case {
    let copy =
        copies.iter().position(|copy| copy.mutants.contains(&mutant.name)).expect("every mutant is planned");
    Case {
        name: mutant.name.clone(),
        variable: "QUOIT_MUTANT",
        build: copy + 1,
        killed_by: mutant.killed_by.clone(),
        survives: mutant.survives.is_some(),
    }
}

/// What the runs of one mutant say. Returns the models that killed it, and how.
fn judge(case: &Case, results: &Results, outcome: &mut Outcome) -> (Vec<String>, String) {
    let again = |model: &str| {
        let (binary, test) = model.split_once("::").unwrap_or((model, ""));
        match case.variable {
            "QUOIT_WEAKEN" => {
                format!("QUOIT_WEAKEN={} cargo test -p quoit-models --test {binary} {test}", case.name)
            }
            _ => format!(
                "cd target/verify/mutants/{} && QUOIT_MUTANT={} cargo test --test {binary} {test}",
                case.build - 1,
                case.name
            ),
        }
    };
    let (mut kills, mut how) = (Vec::new(), BTreeSet::new());
    for ((name, model), ran) in results.range((case.name.clone(), String::new())..) {
        if *name != case.name {
            break;
        }
        match &ran.verdict {
            Verdict::Killed(by) => {
                kills.push(model.clone());
                how.insert(*by);
            }
            Verdict::Passed { .. } | Verdict::TimedOut if case.survives => {}
            Verdict::Passed { .. } => {
                outcome.fail(format!("{} is not noticed by {model}: {}", case.name, again(model)));
            }
            Verdict::Odd(what) => {
                outcome.fail(format!("{}: {model} failed, but by {what}: {}", case.name, again(model)));
            }
            Verdict::TimedOut => {
                outcome.fail(format!("{}: {model} came to no end: {}", case.name, again(model)));
            }
        }
    }
    if case.survives && !kills.is_empty() {
        outcome.fail(format!("{} is listed as a survivor, and {} kills it", case.name, kills[0]));
    }
    if !case.survives && case.killed_by.is_empty() {
        outcome.fail(format!("no model is named for {}", case.name));
    }
    (kills, how.into_iter().collect::<Vec<_>>().join(", "))
}

/// Runs all jobs, so many at a time.
fn work(builds: &[Models], jobs: Vec<Job<'_>>, at_a_time: usize) -> Result<Results> {
    let bar = indicatif::ProgressBar::new(jobs.len() as u64);
    let style = "{elapsed_precise} [{bar:40}] {pos}/{len} runs of models";
    bar.set_style(indicatif::ProgressStyle::with_template(style)?);
    let (next, results) = (AtomicUsize::new(0), Mutex::new((Results::new(), Ok(()), Instant::now())));
    std::thread::scope(|scope| {
        for _ in 0..at_a_time.clamp(1, jobs.len().max(1)) {
            scope.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let ran = run_job(builds, job);
                    let mut results = results.lock().expect("no worker panics");
                    match ran {
                        Ok(ran) => {
                            let name = job
                                .case
                                .map_or_else(|| format!("build {}", job.build), |case| case.name.clone());
                            results.0.insert((name, job.model.clone()), ran);
                        }
                        Err(error) => {
                            results.1 = Err(error);
                            next.store(jobs.len(), Ordering::Relaxed);
                        }
                    }
                    bar.inc(1);
                    if !std::io::stderr().is_terminal() && results.2.elapsed() > Duration::from_secs(10) {
                        results.2 = Instant::now();
                        eprintln!("{} of {} runs of models", results.0.len(), jobs.len());
                    }
                }
            });
        }
    });
    bar.finish_and_clear();
    let (results, ended, _) = results.into_inner().expect("no worker panics");
    ended.map(|()| results)
}

fn run_job(builds: &[Models], job: &Job<'_>) -> Result<Ran> {
    let environment = match job.case {
        Some(case) => vec![(case.variable, case.name.as_str())],
        None if job.listing => vec![("QUOIT_WEAKEN", "?")],
        None => vec![],
    };
    builds[job.build].run(&job.model, &environment, job.patience)
}
