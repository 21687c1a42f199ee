//! `mount`, `unmount` and `upgrade`.

use std::env;
use std::path::{self, PathBuf};

use crate::cli::args::{Cli, MountArgs, UnmountArgs, UpgradeArgs};
use crate::cli::command_line::SourceText;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::output::tell;
use crate::cli::{command_line, config, logging};
use crate::mount::{
    self, Caller, CaughtSignals, Handed, MountError, MountedFs, Prepared, Promise, Side,
    Supervision, Ties, Unmounted,
};

/// `mount`. In the background this runs on in two processes: the one that was called returns when the mount
/// is usable, the daemon when it is gone. A mount that is supervised runs on in one more.
pub(super) fn mount(cli: &Cli, args: &MountArgs) -> Outcome {
    if let Some((handed, mountpoint)) = mount::handed()? {
        return serve_handed(cli, args, handed, mountpoint);
    }
    if let Some(change) = config::remount(args) {
        // mount(8) gives the words of the mount as it is, too, which are the kernel's.
        return Ok(mount::remount(&args.mountpoint, change)?);
    }
    let config = config::mount_config(args, &cli.common)?;
    if args.fake {
        mount::check_source(&config)?.check_header()?;
        return Ok(());
    }
    if args.is_helper && mount::is_mounted(&config) {
        // Of a source that it does not know in our words, `mount -a` asks again and again.
        log::info!("'{}' is mounted already", config.mountpoint.display());
        return Ok(());
    }
    if args.is_helper && args.storage.as_ref().is_some_and(SourceText::is_secret) {
        log::warn!(
            "the password in the source is seen by everybody who reads the table of mounts; name a file that has it with \
             ?passfile=FILE"
        );
    }
    let prepared = Prepared::check(config)?;
    // Neither this process nor its daemon has a database open yet.
    prepared.source().check_header()?;
    let supervision = is_supervised(args, &prepared).then(|| Supervision {
        ties: ties(args),
        log: logging::follow,
        most_restarts: config::most_restarts(args),
        arguments: command_line::arguments(),
        directory: env::current_dir().unwrap_or_else(|_| "/".into()),
    });
    if args.foreground {
        return Ok(serve(&prepared, supervision.as_ref(), ties(args), &mut Caller::default())?);
    }
    let log = logging::of_daemon(args, prepared.mountpoint())?;
    let kept = Vec::from_iter(log.descriptor().into_iter().chain(prepared.descriptor()));
    match mount::fork_daemon(log.stderr(), &kept)? {
        Side::Parent(answer) => {
            answer.wait()?.lines().for_each(tell);
            Ok(())
        }
        Side::Daemon(promise) => {
            logging::become_daemon(log);
            Ok(serve_in_background(&prepared, supervision.as_ref(), ties(args), promise)?)
        }
    }
}

fn ties(args: &MountArgs) -> Ties {
    Ties { log: logging::obey, is_service: args.foreground }
}

/// Serves what another program, which supervises it, has mounted.
fn serve_handed(cli: &Cli, args: &MountArgs, handed: Handed, mountpoint: PathBuf) -> Outcome {
    if !args.foreground {
        logging::become_daemon(logging::of_daemon(args, &mountpoint)?);
    }
    let prepared = Prepared::mounted(config::mount_config(args, &cli.common)?, mountpoint)?;
    env::set_current_dir("/")
        .map_err(|error| Failure::Failed(format!("cannot go to /: {error}")))?;
    Ok(mount::work(&prepared, handed, ties(args))?)
}

/// `upgrade`.
pub(super) fn upgrade(args: &UpgradeArgs) -> Outcome {
    let failed = |error| Failure::Failed(format!("cannot find this program: {error}"));
    let program = env::current_exe().map_err(failed)?;
    let shown = args.mountpoint.display();
    let process = mount::upgrade(&args.mountpoint, &program, args.force)?;
    tell(&format!("'{shown}' is served by '{}', process {process}", program.display()));
    Ok(())
}

/// Nothing is lost with a mount that is only read, and one that is supervised is asked for each open.
fn is_supervised(args: &MountArgs, prepared: &Prepared) -> bool {
    let asked = config::supervise(args);
    let lack = if prepared.descriptor().is_some() {
        Some("others have made it, and hold its connection to the kernel")
    } else if !mount::can_supervise() {
        Some("this kernel cannot send requests again (Linux 6.9 can)")
    } else {
        None
    };
    match (asked, lack) {
        (Some(true), Some(lack)) => {
            tell(&format!("the mount is not supervised: {lack}"));
            false
        }
        (_, Some(_)) => false,
        (asked, None) => asked.unwrap_or(!args.foreground && !prepared.is_read_only()),
    }
}

/// Serves by this process, or by workers that it supervises.
fn serve(
    prepared: &Prepared,
    supervision: Option<&Supervision>,
    ties: Ties,
    caller: &mut Caller,
) -> Result<(), MountError> {
    if let Some(supervision) = supervision {
        return mount::supervise(prepared, supervision, caller);
    }
    let (signals, mut mounted) = start(prepared, || caller.is_forgotten())?;
    if ties.is_service {
        mounted.be_service();
    }
    mounted.serve(signals, ties.log, |notices| caller.fulfil(notices))
}

fn serve_in_background(
    prepared: &Prepared,
    supervision: Option<&Supervision>,
    ties: Ties,
    promise: Promise,
) -> Result<(), MountError> {
    let mut caller = Caller::waiting(promise);
    let served = serve(prepared, supervision, ties, &mut caller);
    if let Err(error) = &served {
        caller.fail(error);
    }
    served
}

/// Catches signals before there is a mount that they could leave behind.
fn start(
    prepared: &Prepared,
    is_forgotten: impl Fn() -> bool,
) -> Result<(CaughtSignals, MountedFs), MountError> {
    mount::settle()?;
    let mut signals = CaughtSignals::catch()?;
    let mounted = MountedFs::start(prepared, || signals.ask_to_stop() || is_forgotten())?;
    Ok((signals, mounted))
}

/// `unmount`.
pub(super) fn unmount(args: &UnmountArgs) -> Outcome {
    let failed =
        |error| Failure::Failed(format!("cannot find '{}': {error}", args.mountpoint.display()));
    let mountpoint = path::absolute(&args.mountpoint).map_err(failed)?;
    // Called from within the mount, this process itself would keep it busy.
    env::set_current_dir("/").map_err(failed)?;
    match mount::unmount(&mountpoint, args.lazy)? {
        Unmounted::Ended => {}
        Unmounted::DaemonAtWork { pid } => tell(&format!(
            "'{}' is unmounted, but its daemon, process {pid}, is still at work; its log says why",
            mountpoint.display()
        )),
        Unmounted::Detached { users } => {
            let by = if users.is_empty() { "others".to_owned() } else { users };
            tell(&format!(
                "'{}' was in use by {by}, and is detached: it ends when they are done",
                mountpoint.display()
            ));
        }
        Unmounted::HangingDetached => tell(&format!(
            "'{}' is detached, but its daemon does not answer; its log may say why",
            mountpoint.display()
        )),
    }
    Ok(())
}
