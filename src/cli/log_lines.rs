//! What a line of a mount's log looks like.

use clap::ValueEnum;
use jiff::Timestamp;
use log::kv::{self, Key, Value, VisitSource};
use log::{Level, Record};
use serde_json::{Map, Value as Json};

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// A line, without its end. Who keeps times himself, as a system's log does, is given none, nor what is told beside them.
pub(super) fn line(format: LogFormat, record: &Record<'_>, with_time: bool) -> String {
    let now = Timestamp::now();
    match format {
        LogFormat::Json => json(record, now),
        LogFormat::Text if with_time => {
            // As env_logger writes on a terminal.
            let (level, target) = (record.level(), record.target());
            one_line(&format!("[{now:.3} {level:<5} {target}] {}", record.args()))
        }
        LogFormat::Text => one_line(&record.args().to_string()),
    }
}

fn json(record: &Record<'_>, now: Timestamp) -> String {
    let mut fields = Fields(Map::new());
    let mut add = |name: &str, value: String| fields.0.insert(name.to_owned(), value.into());
    add("time", format!("{now:.6}"));
    add("level", record.level().as_str().to_ascii_lowercase());
    add("target", record.target().to_owned());
    add("message", record.args().to_string());
    // They come from our own calls, and none fails.
    let _ = record.key_values().visit(&mut fields);
    Json::Object(fields.0).to_string()
}

/// A key in a message may have a line's end in it, and must not begin another line.
fn one_line(text: &str) -> String {
    text.trim_end().replace('\n', "\\n")
}

/// What a record says besides its message.
struct Fields(Map<String, Json>);

impl<'kvs> VisitSource<'kvs> for Fields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        let value = match (value.to_i64(), value.to_u64()) {
            (Some(number), _) => number.into(),
            (None, Some(number)) => number.into(),
            (None, None) => value.to_string().into(),
        };
        self.0.insert(key.as_str().to_owned(), value);
        Ok(())
    }
}

/// The severity of syslog(3).
pub(super) fn severity(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(format: LogFormat, with_time: bool) -> String {
        let fields: [(&str, Value<'_>); 2] = [("key", "a\n".into()), ("errno", 13.into())];
        let args = format_args!("cannot\nread");
        let mut record = Record::builder();
        record.level(Level::Warn).target("storefs::fs").args(args).key_values(&fields);
        line(format, &record.build(), with_time)
    }

    #[test]
    fn a_line_is_one_line() {
        let text = of(LogFormat::Text, true);
        assert!(text.ends_with("Z WARN  storefs::fs] cannot\\nread"), "{text}");
        assert!(text.starts_with("[20"), "{text}");
        assert_eq!(of(LogFormat::Text, false), "cannot\\nread");
    }

    #[test]
    fn json_has_what_the_record_has() {
        let line = of(LogFormat::Json, false);
        assert!(!line.contains('\n'), "{line}");
        let json: Json = serde_json::from_str(&line).unwrap();
        assert_eq!(json["level"], "warn");
        assert_eq!(json["target"], "storefs::fs");
        assert_eq!(json["message"], "cannot\nread");
        assert_eq!((&json["key"], &json["errno"]), (&"a\n".into(), &13.into()));
        assert!(json["time"].as_str().unwrap().parse::<Timestamp>().is_ok());
    }
}
