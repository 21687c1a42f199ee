//! What the profile in force says, in `~/.aws/credentials` and `~/.aws/config`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::failure::wrong;
use super::ini::{self, Section, Value};
use super::options::AwsOptions;
use crate::model::Result;

/// The profile that is in force where none is named.
const DEFAULT: &str = "default";

/// Longest file in bytes.
const MOST_BYTES: u64 = 4 << 20;

/// Both files, taken apart.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// `[default]` and `[profile NAME]` of the one, by name.
    config: BTreeMap<String, Section>,
    /// `[services NAME]` of it, by name.
    services: BTreeMap<String, Section>,
    /// `[NAME]` of the other.
    credentials: BTreeMap<String, Section>,
    stamps: Stamps,
}

/// By what a change of the files is seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamps([Option<Stamp>; 2]);

/// Device, inode, size, and the times of the last changes in seconds and nanoseconds.
type Stamp = (u64, u64, u64, [i64; 4]);

impl Stamps {
    /// The files as they are now.
    pub(super) fn of(options: &AwsOptions) -> Self {
        let stamp = |path: Option<&Path>| Some(stamp(&fs::metadata(path?).ok()?));
        Self([stamp(options.config_file.as_deref()), stamp(options.credentials_file.as_deref())])
    }
}

fn stamp(metadata: &fs::Metadata) -> Stamp {
    let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
    (metadata.dev(), metadata.ino(), metadata.size(), times)
}

impl Files {
    /// Reads both. One that is not there, is no file or may not be read says nothing.
    pub(super) fn read(options: &AwsOptions) -> Result<Self> {
        let sections = |path: Option<&Path>| path.map_or_else(|| Ok(Vec::new()), read);
        // Before they are read: what changes meanwhile is seen as a change.
        let stamps = Stamps::of(options);
        let mut files = Self {
            credentials: sections(options.credentials_file.as_deref())?.into_iter().collect(),
            stamps,
            ..Self::default()
        };
        // Of `[default]` and `[profile default]`, the last one counts.
        for (heading, section) in sections(options.config_file.as_deref())? {
            if heading == DEFAULT {
                files.config.insert(heading, section);
                continue;
            }
            match shlex::split(&heading).as_deref() {
                Some([kind, name]) if kind == "profile" => {
                    files.config.insert(name.clone(), section);
                }
                Some([kind, name]) if kind == "services" => {
                    files.services.insert(name.clone(), section);
                }
                _ => {}
            }
        }
        Ok(files)
    }

    /// The files as they were when they were read.
    pub(super) fn stamps(&self) -> Stamps {
        self.stamps.clone()
    }

    /// The profile in force.
    ///
    /// # Errors
    /// One is named that is in neither file.
    pub(super) fn profile(&self, options: &AwsOptions) -> Result<Profile<'_>> {
        let name = options.profile.as_deref().unwrap_or(DEFAULT);
        let profile = Profile {
            name: name.to_owned(),
            config: self.config.get(name),
            credentials: self.credentials.get(name),
        };
        let is_there = profile.config.is_some() || profile.credentials.is_some();
        if options.profile.is_some() && !is_there {
            let shown = |path: Option<&Path>| path.map(|path| path.display().to_string());
            let files =
                [shown(options.config_file.as_deref()), shown(options.credentials_file.as_deref())];
            let files = files.into_iter().flatten().collect::<Vec<_>>().join(" nor ");
            return Err(wrong(format!("there is no profile '{name}' in {files}")));
        }
        Ok(profile)
    }

    /// What `[services NAME]` says of S3, if it is there.
    pub(super) fn service(&self, name: &str, setting: &str) -> Option<Option<&str>> {
        let service = self.services.get(name)?;
        let Some(Value::Nested(settings)) = service.get("s3") else { return Some(None) };
        Some(settings.get(setting).map(String::as_str))
    }
}

fn read(path: &Path) -> Result<Vec<(String, Section)>> {
    let text = match text(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            log::warn!("{} may not be read: {error}", path.display());
            return Ok(Vec::new());
        }
        Err(error) => return Err(wrong(format!("{} cannot be read: {error}", path.display()))),
    };
    ini::parse(&text).map_err(|reason| wrong(format!("{} {reason}", path.display())))
}

/// The file's text; none if there is no file.
fn text(path: &Path) -> io::Result<String> {
    // Before it is opened: a pipe would be waited for.
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {}
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
        _ => return Ok(String::new()),
    }
    let mut text = String::new();
    File::open(path)?.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}

/// What a profile says. One that is in neither file says nothing.
#[derive(Debug)]
pub(super) struct Profile<'a> {
    pub(super) name: String,
    config: Option<&'a Section>,
    credentials: Option<&'a Section>,
}

impl Profile<'_> {
    /// A setting that is not empty; what the credentials file says counts.
    pub(super) fn get(&self, setting: &str) -> Option<&str> {
        one(self.credentials, setting).or_else(|| one(self.config, setting))
    }

    /// The same in the credentials file alone.
    pub(super) fn in_credentials(&self, setting: &str) -> Option<&str> {
        one(self.credentials, setting)
    }

    /// The same in the config file alone.
    pub(super) fn in_config(&self, setting: &str) -> Option<&str> {
        one(self.config, setting)
    }
}

fn one<'a>(section: Option<&'a Section>, setting: &str) -> Option<&'a str> {
    match section?.get(setting)? {
        Value::One(value) if !value.is_empty() => Some(value),
        _ => None,
    }
}
