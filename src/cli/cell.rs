//! What stands in a place of a listing: as scripts read it, and as people do.

use std::borrow::Cow;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use indicatif::{HumanBytes, HumanDuration};
use jiff::Timestamp;
use unicode_width::UnicodeWidthStr;

/// Times that are older than this are shown as a day.
const OLD: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What stands in a place of a listing.
#[derive(Clone, Debug)]
pub(super) enum Cell {
    /// A name, or anything else.
    Text(String),
    /// A count.
    Count(u64),
    /// A number of bytes.
    Bytes(u64),
    /// When something happened.
    Time(Timestamp),
    /// How something is.
    State(&'static str, Tone),
}

/// Whether a state is good news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// As it should be.
    Good,
    /// To be looked at.
    Doubtful,
    /// Not as it should be.
    Bad,
    /// Neither.
    Neutral,
}

impl Cell {
    /// As scripts read it: bytes as a number, times in UTC to the second.
    pub(super) fn exact(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Count(number) | Self::Bytes(number) => Cow::Owned(number.to_string()),
            Self::Time(time) => Cow::Owned(time_text(*time)),
            Self::State(state, _) => Cow::Borrowed(state),
        }
    }

    /// As people read it, who know what time it is.
    pub(super) fn human(&self, now: Timestamp) -> Cow<'_, str> {
        match self {
            Self::Bytes(bytes) => Cow::Owned(HumanBytes(*bytes).to_string()),
            Self::Time(time) => Cow::Owned(ago(*time, now)),
            _ => self.exact(),
        }
    }

    /// Whether its digits stand below those of others.
    pub(super) fn is_number(&self) -> bool {
        matches!(self, Self::Count(_) | Self::Bytes(_))
    }

    /// How it looks where there are colours.
    pub(super) fn style(&self) -> Style {
        match self {
            Self::State(_, Tone::Good) => AnsiColor::Green.on_default(),
            Self::State(_, Tone::Doubtful) => AnsiColor::Yellow.on_default(),
            Self::State(_, Tone::Bad) => AnsiColor::Red.on_default().bold(),
            Self::Time(_) => Style::new().dimmed(),
            _ => Style::new(),
        }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// Columns that a text takes on a terminal.
pub(super) fn columns(text: &str) -> usize {
    text.width()
}

/// A time for scripts: UTC, to the second.
fn time_text(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn ago(time: Timestamp, now: Timestamp) -> String {
    match Duration::try_from(now.duration_since(time)) {
        Ok(age) if age.as_secs() == 0 => "just now".to_owned(),
        Ok(age) if age < OLD => format!("{} ago", HumanDuration(age)),
        Ok(_) => time.strftime("%Y-%m-%d").to_string(),
        // Another machine's clock is ahead.
        Err(_) => time_text(time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_exact_for_scripts_and_short_for_people() {
        let time = Timestamp::from_microsecond(1_705_314_600_123_456).unwrap();
        let cell = Cell::Time(time);
        assert_eq!(cell.exact(), "2024-01-15T10:30:00Z");
        for (seconds, text) in [
            (0, "just now"),
            (1, "1 second ago"),
            (7200, "2 hours ago"),
            (31 * 86_400, "2024-01-15"),
            (-5, "2024-01-15T10:30:00Z"),
        ] {
            let now = time + jiff::SignedDuration::from_secs(seconds);
            assert_eq!(cell.human(now), text);
        }
    }

    #[test]
    fn sizes_are_exact_for_scripts_and_short_for_people() {
        let cell = Cell::Bytes(1_572_864);
        assert_eq!(
            (cell.exact(), cell.human(Timestamp::UNIX_EPOCH)),
            ("1572864".into(), "1.50 MiB".into())
        );
    }

    #[test]
    fn a_wide_character_takes_two_columns() {
        assert_eq!((columns("ab"), columns("\u{65e5}\u{672c}"), columns("e\u{301}")), (2, 4, 1));
    }
}
