//! `-o a,b=c` words, as mount(8) and /etc/fstab give them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use super::args::Dialect;
use super::log_lines::LogFormat;
use super::mount_values::{
    parse_count, parse_duration, parse_id, parse_keeping, parse_metrics_addr, parse_size,
    parse_timeout, parse_ttl, parse_umask,
};

/// Words that say what every mount of storefs does, that ask for what makes no difference here, or that are meant for
/// mount(8), systemd or an automounter.
const IGNORED: [&str; 37] = [
    "_netdev",
    "async",
    "atime",
    "auto",
    "comment",
    "default_permissions",
    "defaults",
    "dev",
    "diratime",
    "dirsync",
    "group",
    "iversion",
    "lazytime",
    "loud",
    "noatime",
    "noauto",
    "nodev",
    "nodiratime",
    "nofail",
    "nogroup",
    "noiversion",
    "nolazytime",
    "nomand",
    "noowner",
    "norelatime",
    "nostrictatime",
    "nosuid",
    "nouser",
    "nousers",
    "owner",
    "relatime",
    "silent",
    "strictatime",
    "suid",
    "sync",
    "user",
    "users",
];

/// What the words of one `-o` say.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct MountWords {
    pub(super) read_only: Option<bool>,
    pub(super) no_exec: Option<bool>,
    pub(super) allow_other: bool,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) umask: Option<u32>,
    pub(super) file_mode: Option<u32>,
    pub(super) dir_mode: Option<u32>,
    pub(super) store: Option<String>,
    pub(super) no_delete: bool,
    pub(super) no_overwrite: bool,
    pub(super) keep_purged: Option<Duration>,
    pub(super) ttl: Option<Duration>,
    pub(super) dialect: Option<Dialect>,
    pub(super) input_key: Option<String>,
    pub(super) nonempty: bool,
    pub(super) strict: bool,
    pub(super) show_sidecars: bool,
    pub(super) no_passthrough: bool,
    pub(super) no_xattr: bool,
    pub(super) log_file: Option<PathBuf>,
    pub(super) log_format: Option<LogFormat>,
    pub(super) syslog: bool,
    pub(super) timeout: Option<Duration>,
    pub(super) cache_dir: Option<PathBuf>,
    pub(super) cache_size: Option<u64>,
    pub(super) metrics_addr: Option<SocketAddr>,
    pub(super) retry: Option<Duration>,
    pub(super) supervise: Option<bool>,
    pub(super) most_restarts: Option<u32>,
    /// What is there already is to be changed, not mounted.
    pub(super) remount: bool,
    /// Words that nobody knows. They are wrong usage, unless mount(8) is told to tolerate them.
    pub(super) unknown: Vec<String>,
}

impl MountWords {
    /// Takes `a,b=c` apart. The last of several words about one thing holds.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut words = Self::default();
        for word in text.split(',').filter(|word| !word.is_empty()) {
            words.take(word)?;
        }
        Ok(words)
    }

    fn take(&mut self, word: &str) -> Result<(), String> {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        match (name, value) {
            ("ro", None) => self.read_only = Some(true),
            ("rw", None) => self.read_only = Some(false),
            ("noexec", None) => self.no_exec = Some(true),
            ("exec", None) => self.no_exec = Some(false),
            ("allow_other", None) => self.allow_other = true,
            ("uid", Some(value)) => self.uid = Some(parse_id(value)?),
            ("gid", Some(value)) => self.gid = Some(parse_id(value)?),
            ("umask", Some(value)) => self.umask = Some(parse_umask(value)?),
            ("file_mode", Some(value)) => self.file_mode = Some(parse_umask(value)?),
            ("dir_mode", Some(value)) => self.dir_mode = Some(parse_umask(value)?),
            ("store", Some(value)) if !value.is_empty() => self.store = Some(value.to_owned()),
            ("no_delete", None) => self.no_delete = true,
            ("no_overwrite", None) => self.no_overwrite = true,
            ("keep_purged", Some(value)) => self.keep_purged = Some(parse_keeping(value)?),
            ("ttl", Some(value)) => self.ttl = Some(parse_ttl(value)?),
            ("dialect", Some(value)) => self.dialect = Some(Dialect::from_str(value, false)?),
            ("input_key", Some(value)) if !value.is_empty() => {
                self.input_key = Some(value.to_owned());
            }
            ("nonempty", None) => self.nonempty = true,
            ("strict", None) => self.strict = true,
            ("show_sidecars", None) => self.show_sidecars = true,
            ("no_passthrough", None) => self.no_passthrough = true,
            ("no_xattr", None) => self.no_xattr = true,
            ("log_file", Some(value)) if !value.is_empty() => self.log_file = Some(value.into()),
            ("log_format", Some(value)) => {
                self.log_format = Some(LogFormat::from_str(value, false)?);
            }
            ("syslog", None) => self.syslog = true,
            ("timeout", Some(value)) => self.timeout = Some(parse_timeout(value)?),
            ("cache_dir", Some(value)) if !value.is_empty() => self.cache_dir = Some(value.into()),
            ("cache_size", Some(value)) => self.cache_size = Some(parse_size(value)?),
            ("retry", Some(value)) => self.retry = Some(parse_duration(value)?),
            ("supervise", None) => self.supervise = Some(true),
            ("no_supervise", None) => self.supervise = Some(false),
            ("most_restarts", Some(value)) => self.most_restarts = Some(parse_count(value)?),
            ("remount", None) => self.remount = true,
            ("metrics_addr", Some(value)) => {
                self.metrics_addr = Some(parse_metrics_addr(value)?);
            }
            _ if is_ignored(name) => {}
            _ => self.unknown.push(word.to_owned()),
        }
        Ok(())
    }

    /// Adds the words of a later `-o`.
    pub(super) fn followed_by(self, later: Self) -> Self {
        Self {
            read_only: later.read_only.or(self.read_only),
            no_exec: later.no_exec.or(self.no_exec),
            allow_other: later.allow_other || self.allow_other,
            uid: later.uid.or(self.uid),
            gid: later.gid.or(self.gid),
            umask: later.umask.or(self.umask),
            file_mode: later.file_mode.or(self.file_mode),
            dir_mode: later.dir_mode.or(self.dir_mode),
            store: later.store.or(self.store),
            no_delete: later.no_delete || self.no_delete,
            no_overwrite: later.no_overwrite || self.no_overwrite,
            keep_purged: later.keep_purged.or(self.keep_purged),
            ttl: later.ttl.or(self.ttl),
            dialect: later.dialect.or(self.dialect),
            input_key: later.input_key.or(self.input_key),
            nonempty: later.nonempty || self.nonempty,
            strict: later.strict || self.strict,
            show_sidecars: later.show_sidecars || self.show_sidecars,
            no_passthrough: later.no_passthrough || self.no_passthrough,
            no_xattr: later.no_xattr || self.no_xattr,
            log_file: later.log_file.or(self.log_file),
            log_format: later.log_format.or(self.log_format),
            syslog: later.syslog || self.syslog,
            timeout: later.timeout.or(self.timeout),
            cache_dir: later.cache_dir.or(self.cache_dir),
            cache_size: later.cache_size.or(self.cache_size),
            metrics_addr: later.metrics_addr.or(self.metrics_addr),
            retry: later.retry.or(self.retry),
            supervise: later.supervise.or(self.supervise),
            most_restarts: later.most_restarts.or(self.most_restarts),
            remount: later.remount || self.remount,
            unknown: [self.unknown, later.unknown].concat(),
        }
    }
}

fn is_ignored(name: &str) -> bool {
    // `x-systemd.automount`, `X-mount.mkdir`: notes of other programs.
    IGNORED.contains(&name) || name.starts_with("x-") || name.starts_with("X-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_understood() {
        let words = MountWords::parse(
            "rw,ro,exec,noexec,allow_other,uid=1000,gid=100,umask=027,file_mode=640,dir_mode=0750,store=s,no_delete,no_overwrite,keep_purged=7d,ttl=0.5,dialect=js3,input_key=IN,nonempty,strict,\
             show_sidecars,no_passthrough,no_xattr,log_file=/tmp/l,log_format=json,syslog,timeout=2.5,cache_dir=/tmp/c,cache_size=2G,retry=2m,remount,\
             supervise,no_supervise,most_restarts=3,\
             metrics_addr=[::1]:9105",
        )
        .unwrap();
        assert_eq!(
            words,
            MountWords {
                read_only: Some(true),
                no_exec: Some(true),
                allow_other: true,
                uid: Some(1000),
                gid: Some(100),
                umask: Some(0o27),
                file_mode: Some(0o640),
                dir_mode: Some(0o750),
                store: Some("s".to_owned()),
                no_delete: true,
                no_overwrite: true,
                keep_purged: Some(Duration::from_secs(7 * 24 * 60 * 60)),
                ttl: Some(Duration::from_millis(500)),
                dialect: Some(Dialect::Js3),
                input_key: Some("IN".to_owned()),
                nonempty: true,
                strict: true,
                show_sidecars: true,
                no_passthrough: true,
                no_xattr: true,
                log_file: Some("/tmp/l".into()),
                log_format: Some(LogFormat::Json),
                syslog: true,
                timeout: Some(Duration::from_millis(2500)),
                cache_dir: Some("/tmp/c".into()),
                cache_size: Some(2 << 30),
                retry: Some(Duration::from_secs(120)),
                supervise: Some(false),
                most_restarts: Some(3),
                remount: true,
                unknown: Vec::new(),
                metrics_addr: Some("[::1]:9105".parse().unwrap()),
            }
        );
    }

    #[test]
    fn words_for_others_are_passed_over() {
        let text = "defaults,nofail,_netdev,x-systemd.automount,x-a=b,X-mount.mkdir=0755,noauto,auto,user=me,users,\
                    nosuid,nodev,suid,dev,sync,async,relatime,,comment=c";
        assert_eq!(MountWords::parse(text).unwrap(), MountWords::default());
        assert_eq!(MountWords::parse("").unwrap(), MountWords::default());
    }

    #[test]
    fn unknown_words_are_kept_and_bad_values_are_errors() {
        let words = MountWords::parse("rx,ro=1,ro,ttl").unwrap();
        assert_eq!(
            (words.unknown.join(" "), words.read_only),
            ("rx ro=1 ttl".to_owned(), Some(true))
        );
        for text in ["uid=", "uid=root", "uid=-1", "uid=4294967295", "dialect=x", "cache_size=x"] {
            assert!(MountWords::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn later_words_win() {
        let first = MountWords::parse("ro,uid=1,strict").unwrap();
        let both = first.followed_by(MountWords::parse("rw,gid=2").unwrap());
        assert_eq!((both.read_only, both.uid, both.gid), (Some(false), Some(1), Some(2)));
        assert!(both.strict);
    }
}
