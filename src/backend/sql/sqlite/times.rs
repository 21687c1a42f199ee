//! Times as the client's SQLite tables have them: a text without a zone, in UTC, to the microsecond.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// A time as the client writes it: `2026-11-24 09:04:42.907462`.
pub(super) fn text(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S.%6f").to_string()
}

/// A time as a table has it, with or without a fraction or a zone. What is no time is the epoch: a store that somebody has
/// written by hand is worth showing without it.
pub(super) fn parse(text: &str) -> Timestamp {
    let naive = || Offset::UTC.to_timestamp(text.parse::<DateTime>().ok()?).ok();
    text.parse().ok().or_else(naive).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_the_clients() {
        let at: Timestamp = "2026-11-24T09:04:42.907462Z".parse().unwrap();
        assert_eq!(text(at), "2026-11-24 09:04:42.907462");
        assert_eq!(parse(&text(at)), at);
        let whole: Timestamp = "2026-11-24T09:04:42Z".parse().unwrap();
        assert_eq!(text(whole), "2026-11-24 09:04:42.000000");
        assert_eq!(parse("2026-11-24 09:04:42"), whole);
        assert_eq!(parse("2026-11-24T09:04:42"), whole);
        assert_eq!(parse("2026-11-24 10:04:42+01:00"), whole);
        assert_eq!(parse("yesterday"), Timestamp::UNIX_EPOCH);
    }
}
