//! How a record's content type travels with its object.
//!
//! The object's `Content-Type` is the type, so that other tools see it. Who has written it is not to be told from that: any
//! tool sets some type. So an object that storefs has written bears a mark besides, in a header of user metadata: the
//! type once more, and how the record came by it. A type that others have set since is theirs, whatever the mark says.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::calls::{Answer, Ask};
use crate::model::{ContentType, Origin, RecordType};

/// The header of the mark: `TYPE`, `TYPE guessed`, or `TYPE guessed GIVEN`, each type percent-encoded.
const MARK: &str = "x-amz-meta-storefs-type";

/// Longest mark in bytes: an object has 2 KiB of user metadata, and bears more than the mark. Without one the sidecar says all.
const MOST_BYTES: usize = 1600;

/// What follows a type that was guessed.
const GUESSED: &str = "guessed";

/// What stands in a mark as it is.
const ESCAPED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'+').remove(b'.').remove(b'=').remove(b';');

/// Types that tools give to what they know nothing of.
const OF_UNKNOWN: [&str; 3] =
    ["binary/octet-stream", "application/octet-stream", "application/x-www-form-urlencoded"];

/// What an object says of its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// This is the record's type: it was written by storefs.
    Marked(RecordType),
    /// Another tool has set this type. A sidecar counts for more.
    Set(ContentType),
    /// Nothing that is worth anything.
    Nothing,
}

impl Told {
    /// The type that a copy is given which cannot take it along.
    pub(super) fn record_type(&self) -> RecordType {
        match self {
            Self::Marked(record_type) => record_type.clone(),
            Self::Set(content_type) => RecordType::given(content_type.clone()),
            Self::Nothing => RecordType::given(ContentType::bytes()),
        }
    }
}

/// The same request, whose object gets a type.
pub(super) fn with_type<'a>(ask: Ask<'a>, record_type: &RecordType) -> Ask<'a> {
    let escaped = |of: &ContentType| utf8_percent_encode(of.as_str(), ESCAPED).to_string();
    let mut mark = escaped(&record_type.content_type);
    if let Origin::Guessed { given } = &record_type.origin {
        mark.push(' ');
        mark.push_str(GUESSED);
        if let Some(given) = given.as_ref().map(escaped)
            && mark.len() + given.len() < MOST_BYTES
        {
            mark.push(' ');
            mark.push_str(&given);
        }
    }
    let ask = ask.with_header("content-type", header_of(&record_type.content_type));
    if mark.len() > MOST_BYTES { ask } else { ask.with_header(MARK, &mark) }
}

/// The type as a header can say it.
fn header_of(content_type: &ContentType) -> &str {
    let text = content_type.as_str();
    let is_header = text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) && text.trim() == text;
    if is_header && !text.is_empty() { text } else { OF_UNKNOWN[1] }
}

/// What an answer says of its object's type.
pub(super) fn told(answer: &Answer) -> Told {
    let header = answer.header("content-type").unwrap_or_default();
    match answer.header(MARK).and_then(parse) {
        Some(marked) if header_of(&marked.content_type) == header => Told::Marked(marked),
        _ if header.is_empty() || OF_UNKNOWN.contains(&header) => Told::Nothing,
        _ => Told::Set(ContentType::new(header)),
    }
}

fn parse(mark: &str) -> Option<RecordType> {
    let decoded = |text: &str| {
        let text = percent_decode_str(text).decode_utf8().ok()?;
        Some(ContentType::new(&text))
    };
    let mut words = mark.split(' ');
    let content_type = decoded(words.next()?)?;
    match (words.next(), words.next()) {
        (None, _) => Some(RecordType::given(content_type)),
        (Some(GUESSED), given) => {
            let given = given.map(|given| decoded(given).ok_or(())).transpose().ok()?;
            Some(RecordType::guessed(content_type, given))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{Method, StatusCode};

    use super::*;

    fn answer_of(ask: Ask<'_>) -> Answer {
        let (status, body) = (StatusCode::OK, Bytes::new());
        Answer { status, headers: ask.headers, body, refusal: None, is_repeated: false }
    }

    fn object(record_type: &RecordType) -> Answer {
        answer_of(with_type(Ask::new(Method::PUT, "k"), record_type))
    }

    #[test]
    fn p10_a_type_comes_back_with_how_the_record_came_by_it() {
        let types =
            ["text/plain; charset=utf-8", "x/y", "x/\u{fc} z", "a b", "application/json", " x"];
        for content_type in types.map(ContentType::new) {
            for record_type in [
                RecordType::given(content_type.clone()),
                RecordType::guessed(content_type.clone(), None),
                RecordType::guessed(ContentType::text(), Some(content_type.clone())),
            ] {
                assert_eq!(told(&object(&record_type)), Told::Marked(record_type));
            }
        }
    }

    #[test]
    fn what_others_have_set_since_is_theirs() {
        let mut answer = object(&RecordType::given(ContentType::text()));
        answer.headers.insert("content-type", "image/png".parse().unwrap());
        assert_eq!(told(&answer), Told::Set(ContentType::new("image/png")));
        let alone = Ask::new(Method::PUT, "k").with_header("content-type", "binary/octet-stream");
        assert_eq!(told(&answer_of(alone)), Told::Nothing);
        assert_eq!(told(&answer_of(Ask::new(Method::PUT, "k"))), Told::Nothing);
    }
}
