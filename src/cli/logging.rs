//! Which lines are logged, and by whom.
//!
//! Commands report at standard error, as `storefs: warning: ...`. A mount's log goes to where `log_output` says, as
//! `log_lines` says: to standard error until it is a daemon, or for as long as it stays in the foreground. A line is not
//! written twice a day (`told`), and what is logged can be raised while the mount lives.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use env_logger::{Builder, Env, Logger, WriteStyle};
use log::{Level, LevelFilter, Log, Metadata, Record};
use parking_lot::Mutex;

use super::args::{Cli, MountArgs};
use super::config;
use super::failure::{Failure, Outcome};
use super::log_lines::{self, LogFormat};
use super::log_output::LogOutput;
use super::output::printable;
use super::told::ToldOnce;
use crate::mount::{self, LogRequest};

/// The variable that decides instead of `-v`.
const FILTER_VARIABLE: &str = "RUST_LOG";

/// Where a mount's log goes. A leaf without a rank: lines are written whatever lock is held.
static OUTPUT: Mutex<LogOutput> = Mutex::new(LogOutput::Terminal);

/// The level up to which everything of ours is logged besides, since somebody has asked for it; 0 for none.
static RAISED: AtomicUsize = AtomicUsize::new(0);

/// The level up to which anything is logged at first.
static AT_FIRST: AtomicUsize = AtomicUsize::new(0);

/// Whose levels are raised.
const OURS: &str = "storefs";

/// Sets up the log of this process.
///
/// # Errors
/// If a mount's log file cannot be opened.
pub(super) fn start(cli: &Cli) -> Outcome {
    let filters = filter(cli.common.verbose, cli.daemon().is_some());
    let Some(mount) = cli.daemon() else {
        let mut builder = filtering(filters);
        builder.format(|line, record| {
            let level = match record.level() {
                Level::Error => "error",
                Level::Warn => "warning",
                Level::Info => "info",
                Level::Debug => "debug",
                Level::Trace => "trace",
            };
            writeln!(line, "storefs: {level}: {}", printable(&record.args().to_string()))
        });
        let log = builder.build();
        set(log.filter(), ToldOnce::new(log));
        return Ok(());
    };
    if mount.foreground {
        *OUTPUT.lock() = output_in_foreground(mount)?;
    }
    let filter = filtering(filters).build();
    let mut terminal = Builder::new();
    terminal.filter_level(LevelFilter::Trace).format_timestamp_millis();
    if !mount.foreground {
        terminal.write_style(WriteStyle::Never);
    }
    let (terminal, format) = (terminal.build(), config::log_format(mount));
    set(filter.filter(), ToldOnce::new(MountLog { filter, terminal, format }));
    Ok(())
}

fn filtering(filters: &str) -> Builder {
    let mut builder = Builder::new();
    builder.parse_filters(filters);
    builder.parse_env(Env::new().filter(FILTER_VARIABLE));
    builder
}

fn set(filter: LevelFilter, log: impl Log + 'static) {
    log::set_max_level(filter);
    AT_FIRST.store(filter as usize, Ordering::Relaxed);
    // It is set only once in the life of a process, so it cannot be there already.
    let _ = log::set_boxed_logger(Box::new(log));
}

/// The log of a mount that is about to go into the background.
pub(super) struct DaemonLog {
    output: LogOutput,
    /// What standard error leads to, where that is kept.
    journal: Option<File>,
}

impl DaemonLog {
    /// What is to be the daemon's standard error; `None` for nothing.
    pub(super) fn stderr(&self) -> Option<&File> {
        match &self.output {
            LogOutput::File { file, .. } => Some(file),
            _ => self.journal.as_ref(),
        }
    }

    /// What the daemon has to keep open besides.
    pub(super) fn descriptor(&self) -> Option<RawFd> {
        match &self.output {
            LogOutput::System(socket) => Some(socket.as_raw_fd()),
            _ => None,
        }
    }
}

/// Opens the log of a mount that is about to go into the background.
///
/// # Errors
/// If it was named, and cannot be opened.
pub(super) fn of_daemon(mount: &MountArgs, mountpoint: &Path) -> Outcome<DaemonLog> {
    let output = output_in_background(mount, mountpoint)?;
    let journal = match &output {
        LogOutput::Journal => rustix::io::dup(rustix::stdio::stderr()).ok().map(File::from),
        _ => None,
    };
    Ok(DaemonLog { output, journal })
}

/// From here on, lines go where the daemon's go.
pub(super) fn become_daemon(log: DaemonLog) {
    *OUTPUT.lock() = log.output;
}

/// What somebody asks of the log while the mount lives.
pub(super) fn obey(request: LogRequest) {
    match request {
        LogRequest::Reopen => {
            // The lock is released before anything is logged.
            let reopened = OUTPUT.lock().reopen();
            match reopened {
                Ok(()) => log::debug!("the log is opened again"),
                Err(error) => log::error!("the log cannot be opened again: {error}"),
            }
        }
        LogRequest::Raise => {
            let next = next_level();
            if next.is_none() {
                log::debug!("the log tells what it told at first");
            }
            raise(next);
            if let Some(level) = next {
                log::debug!("the log tells more: {level}");
            }
        }
    }
}

/// Does the same in a process whose child is asked too, and speaks of it.
pub(super) fn follow(request: LogRequest) {
    match request {
        LogRequest::Reopen => drop(OUTPUT.lock().reopen()),
        LogRequest::Raise => raise(next_level()),
    }
}

/// What the log is to tell next: debugging, then everything, then what it told at first.
fn next_level() -> Option<LevelFilter> {
    let (at_first, now) = (AT_FIRST.load(Ordering::Relaxed), RAISED.load(Ordering::Relaxed));
    LevelFilter::iter().nth(now.max(at_first).max(LevelFilter::Info as usize) + 1)
}

/// Has the log tell so much, or what it told at first.
fn raise(level: Option<LevelFilter>) {
    let at_first = LevelFilter::iter().nth(AT_FIRST.load(Ordering::Relaxed));
    RAISED.store(level.map_or(0, |level| level as usize), Ordering::Relaxed);
    log::set_max_level(level.or(at_first).unwrap_or(LevelFilter::Trace));
}

/// The log file that is named, as it is opened.
fn named(path: PathBuf, is_stderr: bool) -> Outcome<LogOutput> {
    let shown = path.display().to_string();
    LogOutput::file(path, is_stderr)
        .map_err(|error| Failure::Failed(format!("cannot open log file '{shown}': {error}")))
}

fn system() -> Outcome<LogOutput> {
    LogOutput::system().map_err(|error| {
        Failure::Failed(format!("the system's log cannot be reached at /dev/log: {error}"))
    })
}

fn output_in_foreground(mount: &MountArgs) -> Outcome<LogOutput> {
    if let Some(path) = config::log_file(mount) {
        return named(path, false);
    }
    if config::logs_to_system(mount) {
        return system();
    }
    Ok(LogOutput::journal().unwrap_or(LogOutput::Terminal))
}

/// Who is called at boot has nobody's directory to log to.
fn output_in_background(mount: &MountArgs, mountpoint: &Path) -> Outcome<LogOutput> {
    if let Some(path) = config::log_file(mount) {
        return named(path, true);
    }
    if config::logs_to_system(mount) {
        return system();
    }
    let own = || mount::default_log(mountpoint).and_then(|path| LogOutput::file(path, true).ok());
    let system = || LogOutput::system().ok();
    let found = match (LogOutput::journal(), mount.is_helper) {
        (Some(journal), _) => Some(journal),
        (None, true) => system().or_else(own),
        (None, false) => own().or_else(system),
    };
    Ok(found.unwrap_or(LogOutput::Nowhere))
}

/// The log of a mount.
struct MountLog {
    /// Says which lines are logged, and writes none.
    filter: Logger,
    /// Writes to a terminal, where levels are coloured.
    terminal: Logger,
    format: LogFormat,
}

/// Whether a line is logged since somebody has asked for more.
fn is_raised(metadata: &Metadata<'_>) -> bool {
    metadata.level() as usize <= RAISED.load(Ordering::Relaxed)
        && metadata.target().starts_with(OURS)
}

impl Log for MountLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_raised(metadata) || self.filter.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !is_raised(record.metadata()) && !self.filter.matches(record) {
            return;
        }
        let output = OUTPUT.lock();
        match (&*output, self.format) {
            (LogOutput::Terminal, LogFormat::Text) => {
                drop(output);
                self.terminal.log(record);
            }
            (output, format) => {
                let line = log_lines::line(format, record, !output.keeps_times());
                output.write(record.level(), &line);
            }
        }
    }

    fn flush(&self) {}
}

fn filter(verbose: u8, is_mount: bool) -> &'static str {
    match verbose {
        0 if is_mount => "warn,storefs::mount=info",
        0 => "warn",
        1 => "warn,storefs=info",
        2 => "info,storefs=debug",
        _ => "trace",
    }
}
