//! A record's content type, and how it came by it.

use super::content_type::ContentType;

/// The content type of a record, and whether anybody has given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordType {
    /// The type by which an SDK decodes the value.
    pub content_type: ContentType,
    /// How the record came by it.
    pub origin: Origin,
}

/// How a record came by its content type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An SDK, a person or a sidecar gave it; or the record's name says it, and says it again whenever asked.
    Given,
    /// It was found from the bytes, and holds for these bytes only.
    Guessed {
        /// The type that the record was given, which does not fit the bytes that it has at the moment.
        given: Option<ContentType>,
    },
}

impl RecordType {
    /// A type that was given.
    #[must_use]
    pub fn given(content_type: ContentType) -> Self {
        Self { content_type, origin: Origin::Given }
    }

    /// A type that was found from the bytes of a record that was given another type, or none.
    #[must_use]
    pub fn guessed(content_type: ContentType, given: Option<ContentType>) -> Self {
        Self { content_type, origin: Origin::Guessed { given } }
    }

    /// The type that the record was given, whether or not its bytes fit it at the moment.
    #[must_use]
    pub fn declared(&self) -> Option<&ContentType> {
        match &self.origin {
            Origin::Given => Some(&self.content_type),
            Origin::Guessed { given } => given.as_ref(),
        }
    }
}

impl From<ContentType> for RecordType {
    /// A type that was given.
    fn from(content_type: ContentType) -> Self {
        Self::given(content_type)
    }
}
