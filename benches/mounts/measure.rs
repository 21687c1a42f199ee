//! Which rows are measured with which subjects, in rounds.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::Args;
use crate::report::{self, Form, Measured, Results, print_when_told_to_end};
use crate::rows::{self, Context, Group, Values};
use crate::subjects::{Kind, Programs, Subject};
use crate::sys::Result;

/// Measures and prints; gives back whether everything could be measured.
pub(crate) fn measure(args: &Args) -> Result<bool> {
    let wanted = wanted_groups(args)?;
    if args.list {
        let context = context(args, Path::new(""));
        for row in wanted.iter().flat_map(|group| group.rows) {
            println!("{:<20} {}", row.name, context.title(row));
        }
        return Ok(true);
    }
    let form = match (args.json, args.markdown) {
        (true, _) => Form::Json,
        (_, true) => Form::Markdown,
        _ => Form::Text,
    };
    let results =
        Arc::new(Mutex::new(Results { form, places: args.places.clone(), rows: Vec::new() }));
    print_when_told_to_end(&results)?;

    let mut complete = true;
    for (place, dir) in &args.places {
        let context = context(args, dir);
        let mut run = Run { args, place, context: &context, results: &results, complete: true };
        run.measure(&wanted);
        complete &= run.complete;
    }
    results.lock().print();
    Ok(complete)
}

fn context(args: &Args, place: &Path) -> Context {
    Context {
        place: place.to_owned(),
        quick: args.quick,
        storefs: args.storefs.clone(),
        python: args.python.clone(),
        node_modules: args.node_modules.clone(),
    }
}

fn is_wanted(only: &[String], row: &str) -> bool {
    let stands_for = |name: &String| {
        row.strip_prefix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    only.is_empty() || only.iter().any(stands_for)
}

fn wanted_groups(args: &Args) -> Result<Vec<&'static Group>> {
    let mut wanted = rows::all();
    for name in &args.only {
        let known = |group: &&'static Group| {
            group.rows.iter().any(|row| is_wanted(std::slice::from_ref(name), row.name))
        };
        if !wanted.iter().any(known) {
            return Err(format!("there is no row {name:?}; --list names them").into());
        }
        if !args.list && !wanted.iter().any(|group| known(group) && group.large == args.large) {
            let how = if args.large { "without" } else { "with" };
            return Err(format!("{name:?} is measured {how} --large").into());
        }
    }
    for name in &args.subjects {
        if !Kind::ALL.iter().any(|kind| kind.label() == name) {
            return Err(format!("there is no subject {name:?}").into());
        }
    }
    let is_root = rustix::process::geteuid().is_root();
    wanted.retain(|group| group.rows.iter().any(|row| is_wanted(&args.only, row.name)));
    if args.list {
        return Ok(wanted);
    }
    wanted.retain(|group| group.large == args.large);
    if !is_root && wanted.iter().any(|group| group.cold) {
        eprintln!("mounts: SKIPPED: rows with caches dropped; only root can drop them");
        wanted.retain(|group| !group.cold);
    }
    Ok(wanted)
}

/// The measurements at one place.
struct Run<'a> {
    args: &'a Args,
    place: &'a str,
    context: &'a Context,
    results: &'a Mutex<Results>,
    /// Whether nothing has failed so far.
    complete: bool,
}

impl Run<'_> {
    fn measure(&mut self, groups: &[&'static Group]) {
        let programs =
            Programs { storefs: self.args.storefs.clone(), floor_threads: self.args.floor_threads };
        let mut subjects = Vec::new();
        for kind in Kind::ALL {
            if self.is_asked(kind, &programs)
                && groups.iter().any(|group| group.subjects.contains(&kind))
            {
                let started = Subject::start(kind, &self.context.place, &programs);
                subjects.extend(self.judge("the start", kind, started));
            }
        }
        for group in groups {
            self.measure_group(group, &mut subjects);
        }
    }

    fn is_asked(&self, kind: Kind, programs: &Programs) -> bool {
        let asked = &self.args.subjects;
        (asked.is_empty() || asked.iter().any(|name| name == kind.label()))
            && programs.has(kind)
            && match kind {
                Kind::CrawleePython => self.context.python.is_some(),
                Kind::CrawleeJs3 => self.context.node_modules.is_some(),
                _ => true,
            }
    }

    /// What came out of some work; if nothing did, says so at once.
    fn judge<T>(&mut self, what: &str, kind: Kind, outcome: Result<T>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(error) => {
                eprintln!("mounts: FAILED: {}: {what} of {}: {error}", self.place, kind.label());
                self.complete = false;
                None
            }
        }
    }

    fn measure_group(&mut self, group: &'static Group, subjects: &mut [Subject]) {
        let rounds =
            if self.args.quick { 1 } else { self.args.rounds.min(group.max_rounds).max(1) };
        let name = group.rows.first().map_or("", |row| row.name);
        let first = self.begin(group);
        let context = self.context;
        let mut taking_part: Vec<&mut Subject> =
            subjects.iter_mut().filter(|subject| group.subjects.contains(&subject.kind)).collect();
        taking_part.retain_mut(|subject| {
            let prepared = subject.attend(|subject| (group.prepare)(context, subject));
            self.judge(name, subject.kind, prepared).is_some()
        });
        for round in 1..=rounds {
            eprintln!("mounts: {}: {name}, round {round} of {rounds}", self.place);
            // Interleaved, so that a busy minute of the machine meets all subjects alike.
            taking_part.retain_mut(|subject| {
                let values = subject.attend(|subject| (group.run)(context, subject));
                let values = self.judge(name, subject.kind, values);
                values.is_some_and(|values| {
                    self.note(first, group, subject.kind, values);
                    true
                })
            });
        }
        for subject in taking_part {
            let finished = subject.attend(|subject| (group.finish)(context, subject));
            self.judge(name, subject.kind, finished);
        }
        // So that a long run leaves something, however it ends.
        let results = self.results.lock();
        eprint!("{}", report::text(&results.rows[first..], false));
    }

    /// Makes room for a group's values; gives back where it begins.
    fn begin(&self, group: &Group) -> usize {
        let mut results = self.results.lock();
        let first = results.rows.len();
        let wanted = group.rows.iter().filter(|row| is_wanted(&self.args.only, row.name));
        results.rows.extend(wanted.map(|row| Measured {
            place: self.place.to_owned(),
            row: *row,
            title: self.context.title(row),
            base: group.base,
            samples: Vec::new(),
        }));
        first
    }

    fn note(&self, first: usize, group: &Group, kind: Kind, values: Values) {
        let mut results = self.results.lock();
        for (name, value) in values {
            assert!(group.rows.iter().any(|row| row.name == name), "no row is called {name}");
            // Those that nobody asked for have no room.
            if let Some(row) = results.rows[first..].iter_mut().find(|row| row.row.name == name) {
                row.add(kind, value);
            }
        }
    }
}
