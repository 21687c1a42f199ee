//! `mount` and `unmount`.

use std::env;
use std::path;

use crate::cli::args::{Cli, MountArgs, UnmountArgs};
use crate::cli::command_line::SourceText;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::output::tell;
use crate::cli::{config, logging};
use crate::mount::{
    self, CaughtSignals, MountError, MountedFs, Prepared, Promise, Side, Unmounted,
};

/// `mount`. In the background this runs on in two processes: the one that was called returns when the mount
/// is usable, the daemon when it is gone.
pub(super) fn mount(cli: &Cli, args: &MountArgs) -> Outcome {
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
    if args.foreground {
        let (signals, mut mounted) = start(&prepared, || false)?;
        mounted.be_service();
        return Ok(mounted.serve(signals, logging::obey, |_| Ok(()))?);
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
            Ok(serve_in_background(&prepared, promise)?)
        }
    }
}

fn serve_in_background(prepared: &Prepared, promise: Promise) -> Result<(), MountError> {
    let started = start(prepared, || promise.is_forgotten());
    let mut promise = Some(promise);
    let mut keep = |notices: &[String]| match promise.take() {
        // If the caller was interrupted: whoever did that wants no mount.
        Some(promise) => promise.fulfil(notices),
        None => Ok(()),
    };
    let served =
        started.and_then(|(signals, mounted)| mounted.serve(signals, logging::obey, &mut keep));
    if let (Err(error), Some(promise)) = (&served, promise) {
        promise.fail(error);
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
