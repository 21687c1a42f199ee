//! `-o a,b=c` words, as mount(8) and /etc/fstab give them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use super::args::Dialect;

/// Words that say what every mount of storefs does, that choose how the kernel keeps access times, which here
/// it does not, or that are meant for mount(8), systemd or an automounter.
const IGNORED: [&str; 18] = [
    "_netdev",
    "async",
    "atime",
    "auto",
    "default_permissions",
    "defaults",
    "group",
    "noatime",
    "noauto",
    "nodev",
    "nodiratime",
    "nofail",
    "nosuid",
    "nouser",
    "owner",
    "relatime",
    "user",
    "users",
];

/// Longest time that the kernel may be told to trust what it knows: a year, in seconds.
const MOST_TTL_SECONDS: f64 = 365.0 * 24.0 * 3600.0;

/// Longest time that an operation may be told to take: a day, in seconds.
const MOST_TIMEOUT_SECONDS: f64 = 24.0 * 3600.0;

/// What the words of one `-o` say.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct MountWords {
    pub(super) read_only: Option<bool>,
    pub(super) no_exec: Option<bool>,
    pub(super) allow_other: bool,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) umask: Option<u32>,
    pub(super) ttl: Option<Duration>,
    pub(super) dialect: Option<Dialect>,
    pub(super) input_key: Option<String>,
    pub(super) nonempty: bool,
    pub(super) strict: bool,
    pub(super) show_sidecars: bool,
    pub(super) no_passthrough: bool,
    pub(super) no_xattr: bool,
    pub(super) log_file: Option<PathBuf>,
    pub(super) timeout: Option<Duration>,
    pub(super) cache_dir: Option<PathBuf>,
    pub(super) metrics_addr: Option<SocketAddr>,
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
            ("timeout", Some(value)) => self.timeout = Some(parse_timeout(value)?),
            ("cache_dir", Some(value)) if !value.is_empty() => self.cache_dir = Some(value.into()),
            ("metrics_addr", Some(value)) => {
                self.metrics_addr = Some(parse_metrics_addr(value)?);
            }
            _ if is_ignored(name) => {}
            _ => return Err(format!("unknown mount option '{word}'")),
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
            ttl: later.ttl.or(self.ttl),
            dialect: later.dialect.or(self.dialect),
            input_key: later.input_key.or(self.input_key),
            nonempty: later.nonempty || self.nonempty,
            strict: later.strict || self.strict,
            show_sidecars: later.show_sidecars || self.show_sidecars,
            no_passthrough: later.no_passthrough || self.no_passthrough,
            no_xattr: later.no_xattr || self.no_xattr,
            log_file: later.log_file.or(self.log_file),
            timeout: later.timeout.or(self.timeout),
            cache_dir: later.cache_dir.or(self.cache_dir),
            metrics_addr: later.metrics_addr.or(self.metrics_addr),
        }
    }
}

fn is_ignored(name: &str) -> bool {
    // `x-systemd.automount`, `x-gvfs-show`, `comment=...`: notes of other programs.
    IGNORED.contains(&name) || name.starts_with("x-") || name == "comment"
}

/// A user's or group's number.
pub(super) fn parse_id(text: &str) -> Result<u32, String> {
    match text.parse() {
        // -1 means "leave it as it is" to chown(2), and is nobody's number.
        Ok(u32::MAX) | Err(_) => Err(format!("'{text}' is not the number of a user or group")),
        Ok(id) => Ok(id),
    }
}

/// Permission bits in octal.
pub(super) fn parse_umask(text: &str) -> Result<u32, String> {
    let digits = text.bytes().all(|digit| digit.is_ascii_digit());
    match u32::from_str_radix(text, 8) {
        Ok(umask) if digits && umask <= 0o777 => Ok(umask),
        _ => Err(format!("'{text}' is not an octal number from 0 to 777")),
    }
}

/// Seconds, with a fraction if need be.
pub(super) fn parse_ttl(text: &str) -> Result<Duration, String> {
    seconds(text, MOST_TTL_SECONDS)
        .ok_or_else(|| format!("'{text}' is not a number of seconds, such as 1 or 0.5"))
}

/// Seconds that something may take, with a fraction if need be. Nothing can be done in none.
pub(super) fn parse_timeout(text: &str) -> Result<Duration, String> {
    seconds(text, MOST_TIMEOUT_SECONDS).filter(|timeout| !timeout.is_zero()).ok_or_else(|| {
        format!("'{text}' is not a number of seconds above 0 and at most a day, such as 30 or 0.5")
    })
}

/// An address with its port, or a port of this machine's own address.
pub(super) fn parse_metrics_addr(text: &str) -> Result<SocketAddr, String> {
    let port = text.parse().map(|port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    port.or_else(|_| text.parse())
        .map_err(|_| format!("'{text}' is no address with a port, such as 127.0.0.1:9100"))
}

fn seconds(text: &str, most: f64) -> Option<Duration> {
    let seconds = text.parse().ok().filter(|seconds| (0.0..=most).contains(seconds))?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_understood() {
        let words = MountWords::parse(
            "rw,ro,exec,noexec,allow_other,uid=1000,gid=100,umask=027,ttl=0.5,dialect=js3,input_key=IN,nonempty,strict,\
             show_sidecars,no_passthrough,no_xattr,log_file=/tmp/l,timeout=2.5,cache_dir=/tmp/c,\
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
                ttl: Some(Duration::from_millis(500)),
                dialect: Some(Dialect::Js3),
                input_key: Some("IN".to_owned()),
                nonempty: true,
                strict: true,
                show_sidecars: true,
                no_passthrough: true,
                no_xattr: true,
                log_file: Some("/tmp/l".into()),
                timeout: Some(Duration::from_millis(2500)),
                cache_dir: Some("/tmp/c".into()),
                metrics_addr: Some("[::1]:9105".parse().unwrap()),
            }
        );
    }

    #[test]
    fn words_for_others_are_passed_over() {
        let text =
            "defaults,nofail,_netdev,x-systemd.automount,x-a=b,noauto,user,nosuid,nodev,,comment=c";
        assert_eq!(MountWords::parse(text).unwrap(), MountWords::default());
        assert_eq!(MountWords::parse("").unwrap(), MountWords::default());
    }

    #[test]
    fn unknown_words_and_bad_values_are_errors() {
        for text in [
            "rx",
            "uid",
            "uid=",
            "uid=root",
            "uid=-1",
            "uid=4294967295",
            "ro=1",
            "suid",
            "dialect=x",
        ] {
            assert!(MountWords::parse(text).is_err(), "{text}");
        }
        assert_eq!(parse_metrics_addr("80").unwrap().to_string(), "127.0.0.1:80");
        for text in ["", "-1", "99999", "localhost:80", "127.0.0.1"] {
            assert!(parse_metrics_addr(text).is_err(), "{text}");
        }
        for text in ["", "8", "1000", "+7", "0x1"] {
            assert!(parse_umask(text).is_err(), "{text}");
        }
        for text in ["", "-1", "NaN", "inf", "1e300", "1s"] {
            assert!(parse_ttl(text).is_err(), "{text}");
        }
        for text in ["", "0", "-1", "NaN", "1e9", "1s", "1e-30"] {
            assert!(parse_timeout(text).is_err(), "{text}");
        }
        assert_eq!(parse_umask("0022"), Ok(0o22));
        assert_eq!(parse_ttl("0"), Ok(Duration::ZERO));
    }

    #[test]
    fn later_words_win() {
        let first = MountWords::parse("ro,uid=1,strict").unwrap();
        let both = first.followed_by(MountWords::parse("rw,gid=2").unwrap());
        assert_eq!((both.read_only, both.uid, both.gid), (Some(false), Some(1), Some(2)));
        assert!(both.strict);
    }
}
