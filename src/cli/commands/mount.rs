//! `mount` and `unmount`.

use std::env;
use std::path::{self, PathBuf};

use crate::cli::args::{Cli, MountArgs, UnmountArgs, UpgradeArgs};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::output::tell;
use crate::cli::{command_line, config, logging};
use crate::mount::{
    self, Caller, CaughtSignals, Handed, MountError, MountedFs, Prepared, Promise, Side,
    Supervision, Unmounted,
};

/// `mount`. In the background this runs on in two processes: the one that was called returns when the mount
/// is usable, the daemon when it is gone.
pub(super) fn mount(cli: &Cli, args: &MountArgs) -> Outcome {
    if let Some((handed, mountpoint)) = mount::handed_over()? {
        return serve_handed(cli, args, handed, mountpoint);
    }
    let prepared = Prepared::check(config::mount_config(args, &cli.common)?)?;
    // Neither this process nor its daemon has a database open yet.
    prepared.source().check_header()?;
    let supervision = is_supervised(args, prepared.is_read_only()).then(|| Supervision {
        most_restarts: args.most_restarts,
        arguments: command_line::arguments(),
        directory: env::current_dir().unwrap_or_else(|_| "/".into()),
    });
    if args.foreground {
        return Ok(serve(&prepared, supervision.as_ref(), &mut Caller::default())?);
    }
    let log = logging::log_file(cli)?.or_else(|| mount::open_default_log(prepared.mountpoint()));
    match mount::fork_daemon(log.as_ref())? {
        Side::Parent(answer) => {
            answer.wait()?.lines().for_each(tell);
            Ok(())
        }
        Side::Daemon(promise) => Ok(serve_in_background(&prepared, supervision.as_ref(), promise)?),
    }
}

/// Serves what another program, which supervises it, has mounted.
fn serve_handed(cli: &Cli, args: &MountArgs, handed: Handed, mountpoint: PathBuf) -> Outcome {
    let prepared = Prepared::mounted(config::mount_config(args, &cli.common)?, mountpoint)?;
    env::set_current_dir("/")
        .map_err(|error| Failure::Failed(format!("cannot go to /: {error}")))?;
    Ok(mount::work(&prepared, handed)?)
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
fn is_supervised(args: &MountArgs, is_read_only: bool) -> bool {
    let is_wanted = args.supervise || !(args.no_supervise || args.foreground || is_read_only);
    if args.supervise && !mount::can_supervise() {
        tell("this kernel cannot send requests again (Linux 6.9 can): the mount is not supervised");
    }
    is_wanted && mount::can_supervise()
}

/// Serves by this process, or by workers that it supervises.
fn serve(
    prepared: &Prepared,
    supervision: Option<&Supervision>,
    caller: &mut Caller,
) -> Result<(), MountError> {
    if let Some(supervision) = supervision {
        return mount::supervise(prepared, supervision, caller);
    }
    let (signals, mounted) = start(prepared)?;
    mounted.serve(signals, |notices| caller.fulfil(notices))
}

fn serve_in_background(
    prepared: &Prepared,
    supervision: Option<&Supervision>,
    promise: Promise,
) -> Result<(), MountError> {
    let mut caller = Caller::waiting(promise);
    let served = serve(prepared, supervision, &mut caller);
    if let Err(error) = &served {
        caller.fail(error);
    }
    served
}

/// Catches signals before there is a mount that they could leave behind.
fn start(prepared: &Prepared) -> Result<(CaughtSignals, MountedFs), MountError> {
    mount::settle()?;
    let signals = CaughtSignals::catch()?;
    Ok((signals, MountedFs::start(prepared)?))
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
