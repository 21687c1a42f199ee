//! Values of options, as they are written on the command line and in `-o`.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Longest time that the kernel may be told to trust what it knows: a year, in seconds.
const MOST_TTL_SECONDS: f64 = 365.0 * 24.0 * 3600.0;

/// Longest time that an operation may be told to take: a day, in seconds.
const MOST_TIMEOUT_SECONDS: f64 = 24.0 * 3600.0;

/// Longest time for which what was purged is kept: a year, in seconds.
const MOST_KEPT_SECONDS: f64 = 365.0 * 24.0 * 3600.0;

/// A user's or group's number.
pub(super) fn parse_id(text: &str) -> Result<u32, String> {
    match text.parse() {
        // -1 means "leave it as it is" to chown(2), and is nobody's number.
        Ok(u32::MAX) | Err(_) => Err(format!("'{text}' is not the number of a user or group")),
        Ok(id) => Ok(id),
    }
}

/// How often something may happen.
pub(super) fn parse_count(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("'{text}' is not a number"))
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

/// A time to wait: seconds, or a number with a unit, such as `90`, `1.5`, `2m`, `1h30m`.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let given = seconds(text, MOST_TIMEOUT_SECONDS).or_else(|| {
        let parsed: jiff::SignedDuration = text.parse().ok()?;
        Duration::try_from(parsed).ok().filter(|it| it.as_secs_f64() <= MOST_TIMEOUT_SECONDS)
    });
    given.ok_or_else(|| {
        format!("'{text}' is not a time of at most a day, such as 30 (seconds), 90s, 5m or 1h30m")
    })
}

/// For how long something is kept: as a time to wait, and up to a year, in days and weeks too.
pub(super) fn parse_keeping(text: &str) -> Result<Duration, String> {
    let given = seconds(text, MOST_KEPT_SECONDS).or_else(|| {
        let span: jiff::Span = text.parse().ok()?;
        let days = jiff::SpanRelativeTo::days_are_24_hours();
        let duration = Duration::try_from(span.to_duration(days).ok()?).ok()?;
        Some(duration).filter(|it| it.as_secs_f64() <= MOST_KEPT_SECONDS)
    });
    given.ok_or_else(|| {
        format!(
            "'{text}' is not a time of at most a year, such as 90 (seconds), 30m, 12h, 7d or 2w"
        )
    })
}

/// Bytes: a number, or one with the letter of a power of 1024 behind it, such as `1048576`, `512K`, `2G` or `2GiB`.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    size(text).ok_or_else(|| {
        format!("'{text}' is not a number of bytes, such as 1048576, 512K, 100M, 2G or 1T")
    })
}

fn size(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let power = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << (10 * power))
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
    fn a_port_alone_is_of_this_machine() {
        assert_eq!(parse_metrics_addr("80").unwrap().to_string(), "127.0.0.1:80");
        for text in ["", "-1", "99999", "localhost:80", "127.0.0.1"] {
            assert!(parse_metrics_addr(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_to_wait_may_have_a_unit() {
        for (text, seconds) in [
            ("0", 0.0),
            ("30", 30.0),
            ("1.5", 1.5),
            ("90s", 90.0),
            ("5m", 300.0),
            ("1h30m", 5400.0),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs_f64(seconds)), "{text}");
        }
        for text in ["", "-1", "-5m", "25h", "1y", "soon", "inf"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_to_keep_may_be_in_days() {
        for (text, seconds) in [
            ("0", 0.0),
            ("1.5", 1.5),
            ("90s", 90.0),
            ("30m", 1800.0),
            ("1h30m", 5400.0),
            ("7d", 604_800.0),
            ("2w", 1_209_600.0),
            ("1d12h", 129_600.0),
            ("365d", 31_536_000.0),
        ] {
            assert_eq!(parse_keeping(text), Ok(Duration::from_secs_f64(seconds)), "{text}");
        }
        for text in ["", "-1", "-5m", "366d", "1y", "2mo", "soon", "inf", "1e9"] {
            assert!(parse_keeping(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_size_may_have_a_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("1048576", 1 << 20),
            ("512K", 512 << 10),
            ("100m", 100 << 20),
            ("2G", 2 << 30),
            ("2GiB", 2 << 30),
            ("1T", 1 << 40),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "G", "-1", "+1", "1.5G", "1 G", "1P", "1\u{fc}", "99999999T", "1e9"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_value_is_refused() {
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
}
