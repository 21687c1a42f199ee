//! What S3 writes as XML, and has written to it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use md5::{Digest as _, Md5};
use percent_encoding::percent_decode_str;
use quick_xml::escape::escape;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::failure::Failure;
use super::requests::{Tag, tag};

/// A page of a listing.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ListPage {
    pub(super) contents: Vec<Contents>,
    pub(super) common_prefixes: Vec<CommonPrefix>,
    pub(super) next_continuation_token: Option<String>,
    pub(super) is_truncated: bool,
    encoding_type: Option<String>,
}

/// An object of a listing.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Contents {
    pub(super) key: String,
    pub(super) size: u64,
    pub(super) last_modified: String,
    #[serde(rename = "ETag")]
    pub(super) e_tag: String,
}

/// What several objects begin with.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct CommonPrefix {
    pub(super) prefix: String,
}

/// Uploads in parts that nobody has ended.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Uploads {
    pub(super) upload: Vec<Upload>,
    pub(super) is_truncated: bool,
    pub(super) next_key_marker: String,
    pub(super) next_upload_id_marker: String,
}

/// An upload in parts.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Upload {
    pub(super) key: String,
    pub(super) upload_id: String,
    pub(super) initiated: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Copied {
    #[serde(rename = "ETag")]
    e_tag: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Deleted {
    error: Vec<NotDeleted>,
}

/// An object that could not be removed.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct NotDeleted {
    pub(super) key: String,
    pub(super) code: String,
    pub(super) message: String,
}

impl ListPage {
    /// Reads a page whose keys are escaped where the server says that they are.
    pub(super) fn parse(text: &[u8]) -> Result<Self, Failure> {
        let mut page: Self = parse(text)?;
        if page.encoding_type.as_deref() == Some("url") {
            let keys = page.contents.iter_mut().map(|contents| &mut contents.key);
            let prefixes = page.common_prefixes.iter_mut().map(|common| &mut common.prefix);
            for text in keys.chain(prefixes) {
                // As in a form: a plus is a space.
                let spaced = text.replace('+', " ");
                *text = percent_decode_str(&spaced).decode_utf8_lossy().into_owned();
            }
        }
        Ok(page)
    }
}

fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, Failure> {
    quick_xml::de::from_reader(text).map_err(|error| Failure::Unreadable(error.to_string()))
}

/// Uploads that nobody has ended.
pub(super) fn uploads(text: &[u8]) -> Result<Uploads, Failure> {
    parse(text)
}

/// The id of an upload that has begun.
pub(super) fn upload_id(text: &[u8]) -> Result<String, Failure> {
    let begun: Upload = parse(text)?;
    match begun.upload_id.is_empty() {
        true => Err(Failure::Unreadable("an upload has no id".to_owned())),
        false => Ok(begun.upload_id),
    }
}

/// The version that a copy, a part that was copied, or a completed upload has. S3 may say no in the body of an answer that
/// has begun as a success.
pub(super) fn copied_tag(text: &[u8]) -> Result<Tag, Failure> {
    let copied: Copied = parse(text)?;
    match copied.e_tag.is_empty() {
        true => {
            Err(Failure::Unreadable("the server has not said which version it made".to_owned()))
        }
        false => Ok(tag(&copied.e_tag)),
    }
}

/// The objects that could not be removed.
pub(super) fn not_deleted(text: &[u8]) -> Result<Vec<NotDeleted>, Failure> {
    Ok(parse::<Deleted>(text)?.error)
}

/// The body of a request that removes objects, and says nothing of those that it has removed.
pub(super) fn delete(keys: &[String]) -> Bytes {
    let mut text = String::from(
        "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>",
    );
    for key in keys {
        text.push_str("<Object><Key>");
        text.push_str(&escape(key.as_str()));
        text.push_str("</Key></Object>");
    }
    text.push_str("</Delete>");
    text.into()
}

/// Whether a key can be said in XML at all: it has no control characters but white space that stays as it is.
pub(super) fn can_say(key: &str) -> bool {
    !key.chars().any(|c| (c < ' ' && c != '\t') || matches!(c, '\u{fffe}' | '\u{ffff}'))
}

/// The body of a request that ends an upload: its parts in their order.
pub(super) fn complete(parts: &[Tag]) -> Bytes {
    let mut text = String::from("<CompleteMultipartUpload>");
    for (at, tag) in parts.iter().enumerate() {
        let number = at + 1;
        let tag = escape(&**tag);
        text.push_str(&format!("<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>"));
    }
    text.push_str("</CompleteMultipartUpload>");
    text.into()
}

/// The sum that S3 wants of a body that removes objects.
pub(super) fn md5(body: &[u8]) -> String {
    STANDARD.encode(Md5::digest(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_whatever_keys_are_on_it() {
        let text = br#"<?xml version="1.0" encoding="UTF-8"?>
            <ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name>
            <IsTruncated>true</IsTruncated><NextContinuationToken>t==</NextContinuationToken>
            <EncodingType>url</EncodingType>
            <Contents><Key>p%2F%2Fx</Key><LastModified>2026-11-30T21:47:57.123Z</LastModified>
            <ETag>&quot;ab&quot;</ETag><Size>7</Size><Owner><ID>x</ID></Owner></Contents>
            <CommonPrefixes><Prefix>p/d%01/</Prefix></CommonPrefixes>
            <Contents><Key>p/a+b%25</Key><Size>0</Size></Contents>
            </ListBucketResult>"#;
        let page = ListPage::parse(text).unwrap();
        let keys: Vec<&str> = page.contents.iter().map(|contents| contents.key.as_str()).collect();
        assert_eq!(keys, ["p//x", "p/a b%"]);
        assert_eq!((page.contents[0].e_tag.as_str(), page.contents[0].size), ("\"ab\"", 7));
        assert_eq!(page.common_prefixes[0].prefix, "p/d\u{1}/");
        assert_eq!(
            (page.is_truncated, page.next_continuation_token.as_deref()),
            (true, Some("t=="))
        );
        assert!(ListPage::parse(b"<html>").is_err());
        assert!(!ListPage::parse(b"<ListBucketResult/>").unwrap().is_truncated);
    }

    #[test]
    fn an_answer_that_begins_as_a_success_may_be_a_failure() {
        assert!(copied_tag(b"<Error><Code>InternalError</Code></Error>").is_err());
        assert_eq!(
            &*copied_tag(b"<CopyObjectResult><ETag>\"a\"</ETag></CopyObjectResult>").unwrap(),
            "\"a\""
        );
        assert!(upload_id(b"<Error/>").is_err());
    }

    #[test]
    fn keys_are_escaped() {
        let body = delete(&["a<&>\"b".to_owned()]);
        assert!(std::str::from_utf8(&body).unwrap().contains("a&lt;&amp;&gt;"));
        assert!(can_say("a\tb/\u{fc}") && !can_say("a\u{1}") && !can_say("a\r"));
    }
}
