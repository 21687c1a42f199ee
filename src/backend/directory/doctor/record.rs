//! What is wrong with value files and their sidecars.

use std::fs::File;
use std::io;

use rustix::fs::{AtFlags, Stat};
use rustix::io::Errno;

use super::sidecar::SidecarFields;
use crate::backend::directory::dialect::{self, Dialect};
use crate::backend::directory::state::DirectoryBackend;
use crate::backend::directory::tree::{self, StoreDir};
use crate::backend::directory::{layout, sidecar};
use crate::model::{ContentType, Error, Finding, FindingKind, Key, RecordType, Remedy, Result};

/// Looks at a value file that is a record.
pub(super) fn look_at_value(
    backend: &DirectoryBackend,
    dir: &StoreDir,
    dialect: Dialect,
    name: &[u8],
    stat: &Stat,
) -> Result<Vec<Finding>> {
    let value = ValueFile { backend, dir, name, size: u64::try_from(stat.st_size).unwrap_or(0) };
    match dialect {
        Dialect::Sidecars => value.look(),
        Dialect::Js3 => value.look_in_js3_store(),
        // No store has this layout.
        Dialect::Plain => Ok(Vec::new()),
    }
}

/// Looks at a sidecar: whether it has a value. What is in it is looked at with the value.
pub(super) fn look_at_sidecar(dir: &StoreDir, name: &[u8]) -> Result<Option<Finding>> {
    let Some(value) = layout::value_of_sidecar(name) else { return Ok(None) };
    let is_there = is_anything(dir, value)?;
    let found = |kind, problem: &str| Finding::in_store(kind, &dir.name, problem).of_file(name);
    if !layout::is_value_name(value) {
        let problem = "a sidecar of something that can be no record";
        let remedy = (!is_there).then_some(Remedy::Remove);
        return Ok(Some(found(FindingKind::DanglingSidecar, problem).with_remedy(remedy)));
    }
    // A repair may have taken the sidecar away since it was listed.
    if is_there || tree::has_file(&dir.fd, name) == Ok(false) {
        return Ok(None);
    }
    let Some((owner, fields)) = owner_of_js3_sidecar(dir, value)? else {
        let problem = "a sidecar without a value: SDKs list a record that cannot be got";
        let finding = found(FindingKind::DanglingSidecar, problem);
        return Ok(Some(finding.with_remedy(Some(Remedy::Remove))));
    };
    let shown = String::from_utf8_lossy(&owner);
    let (kind, problem) = if fields.is_doubly_encoded() {
        let problem =
            format!("holds JSON within a JSON string, which no SDK can read, for '{shown}'");
        (FindingKind::DoublyEncodedSidecar, problem)
    } else {
        let problem = format!("has the name that Crawlee JS 3 gives to the sidecar of '{shown}'");
        (FindingKind::DanglingSidecar, problem)
    };
    let key = Dialect::Sidecars.key(&owner)?;
    let can_have_one = layout::check_value_name(&layout::encode(&key), &key).is_ok();
    let remedy = (key.as_str().is_some() && can_have_one)
        .then(|| Remedy::Rewrite { key, record_type: fields.record_type() });
    Ok(Some(found(kind, &problem).with_remedy(remedy)))
}

/// The value file for which Crawlee JS 3 made the sidecar of `stem`, which has no value itself: `stem` with the
/// extension that the sidecar tells (FORMAT 5.2). `None` also if that file has a sidecar of its own.
fn owner_of_js3_sidecar(dir: &StoreDir, stem: &[u8]) -> Result<Option<(Vec<u8>, SidecarFields)>> {
    let name = layout::sidecar_of(stem);
    let text = match tree::read_small(&dir.fd, &name, sidecar::MAX_BYTES) {
        Ok(Some((text, _))) => text,
        Ok(None) => return Ok(None),
        Err(error) if is_told(&error) => return Ok(None),
        Err(error) => return Err(failed(dir, &name, error)),
    };
    let Ok(fields) = SidecarFields::parse(&text) else { return Ok(None) };
    let Some(extension) = fields.extension() else { return Ok(None) };
    let owner = [stem, b".", extension.as_bytes()].concat();
    let is_file = layout::is_value_name(&owner) && tree::has_file(&dir.fd, &owner) == Ok(true);
    let is_owner = is_file && !is_anything(dir, &layout::sidecar_of(&owner))?;
    Ok(is_owner.then_some((owner, fields)))
}

/// A record's value file.
struct ValueFile<'a> {
    backend: &'a DirectoryBackend,
    dir: &'a StoreDir,
    name: &'a [u8],
    size: u64,
}

impl ValueFile<'_> {
    /// Looks at a value file of a store with sidecars.
    fn look(&self) -> Result<Vec<Finding>> {
        let key = Dialect::Sidecars.key(self.name)?;
        if key.as_str().is_none() {
            let problem = "the name is not UTF-8: no SDK can open the file";
            return Ok(vec![self.finding(FindingKind::ForeignName, problem)]);
        }
        let own = layout::encode(&key);
        if own != self.name && tree::has_file(&self.dir.fd, &own) == Ok(true) {
            let own = String::from_utf8_lossy(&own);
            let problem = format!("hidden by '{own}', the file in which SDKs keep the key '{key}'");
            return Ok(vec![self.finding(FindingKind::HiddenFile, problem)]);
        }
        let sidecar = layout::sidecar_of(self.name);
        match tree::read_small(&self.dir.fd, &sidecar, sidecar::MAX_BYTES) {
            Ok(Some((text, _))) => self.look_with_sidecar(&key, &own, &text),
            Ok(None) => self.look_without_sidecar(key, &own),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                let problem = "the sidecar is too large to be one".to_owned();
                self.look_with_faults(&key, None, vec![(FindingKind::CorruptSidecar, problem)])
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidFilename => {
                let problem = "the name is so long that the file can have no sidecar";
                Ok(vec![self.finding(FindingKind::BareFile, problem)])
            }
            Err(error) => {
                Ok(vec![self.sidecar_finding(FindingKind::Unreadable, cannot_be_read(&error))])
            }
        }
    }

    fn look_with_sidecar(&self, key: &Key, own: &[u8], text: &[u8]) -> Result<Vec<Finding>> {
        let fields = match SidecarFields::parse(text) {
            Ok(fields) => fields,
            Err(problem) => {
                let faults = vec![(FindingKind::CorruptSidecar, problem)];
                return self.look_with_faults(key, None, faults);
            }
        };
        let record_type = fields.record_type();
        let mut findings = Vec::new();
        if own != self.name {
            findings.push(self.foreign_name(key, own, record_type.clone()));
        }
        let faults = fields.faults(|said| self.is_key(key, said), self.size);
        findings.extend(self.look_with_faults(key, record_type, faults)?);
        Ok(findings)
    }

    /// Whether a sidecar may name this key. For an input file the Apify SDK also writes the input key (FORMAT 8.2).
    fn is_key(&self, key: &Key, said: &str) -> bool {
        let input_key = &self.backend.shared.options.input_key;
        key.as_bytes() == said.as_bytes() || (said == input_key && self.backend.is_input(self.name))
    }

    fn look_with_faults(
        &self,
        key: &Key,
        record_type: Option<RecordType>,
        faults: Vec<super::sidecar::Fault>,
    ) -> Result<Vec<Finding>> {
        let value_finding =
            self.look_at_bytes(record_type.as_ref().map(|kept| &kept.content_type))?;
        let can_have_one = layout::check_value_name(&layout::encode(key), key).is_ok();
        let remedy = can_have_one.then(|| Remedy::Rewrite { key: key.clone(), record_type });
        let mend =
            |(kind, problem)| self.sidecar_finding(kind, problem).with_remedy(remedy.clone());
        Ok(faults.into_iter().map(mend).chain(value_finding).collect())
    }

    fn look_without_sidecar(&self, key: Key, own: &[u8]) -> Result<Vec<Finding>> {
        let value_finding = self.look_at_bytes(None)?;
        // The SDKs take an input as it is (FORMAT 8), and what Crawlee JS 3 noted is told with its sidecar.
        if self.backend.is_input(self.name) || self.is_claimed()? {
            return Ok(value_finding.into_iter().collect());
        }
        let remedy = if layout::check_value_name(own, &key).is_err() {
            None
        } else if is_anything(self.dir, &layout::sidecar_of(self.name))? {
            // A link, or a directory, in the place of the sidecar.
            None
        } else {
            Some(Remedy::Adopt { key: key.clone() })
        };
        let (kind, problem) = if own == self.name {
            (FindingKind::BareFile, "a value without a sidecar: no SDK sees it".to_owned())
        } else {
            (FindingKind::ForeignName, foreign_name_problem(&key, own))
        };
        let finding = self.finding(kind, problem).with_remedy(remedy);
        Ok(std::iter::once(finding).chain(value_finding).collect())
    }

    /// Whether a sidecar of Crawlee JS 3 is this file's: `name.__metadata__.json` for `name.ext`.
    fn is_claimed(&self) -> Result<bool> {
        let dot = self.name.iter().rposition(|byte| *byte == b'.').filter(|dot| *dot > 0);
        let Some(stem) = dot.and_then(|dot| self.name.get(..dot)) else { return Ok(false) };
        if is_anything(self.dir, stem)? {
            return Ok(false);
        }
        let owner = owner_of_js3_sidecar(self.dir, stem)?;
        Ok(owner.is_some_and(|(owner, _)| owner == self.name))
    }

    fn foreign_name(&self, key: &Key, own: &[u8], record_type: Option<RecordType>) -> Finding {
        let can_be_renamed = layout::check_value_name(own, key).is_ok();
        let remedy = can_be_renamed.then(|| Remedy::Rewrite { key: key.clone(), record_type });
        let problem = foreign_name_problem(key, own);
        self.finding(FindingKind::ForeignName, problem).with_remedy(remedy)
    }

    /// Looks at a file of a store in Crawlee JS 3's layout (FORMAT 6).
    fn look_in_js3_store(&self) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        if !dialect::js3_lists(self.name) {
            let problem = "Crawlee JS 3 cannot list the store, since it finds no file with such an extension again";
            findings.push(self.finding(FindingKind::UnlistedExtension, problem));
        }
        if let Some(finding) = self.look_at_bytes(None)? {
            findings.push(finding);
        } else if self.name.ends_with(b".json") && !self.fits(&ContentType::json())? {
            let problem = "the value is no JSON: unless it is JSON5, Crawlee JS 3 leaves it out";
            findings.push(self.finding(FindingKind::BrokenJson, problem));
        }
        Ok(findings)
    }

    /// Reads the value as far as it takes to know whether the SDKs can decode it.
    fn look_at_bytes(&self, content_type: Option<&ContentType>) -> Result<Option<Finding>> {
        match self.bytes_problem(content_type) {
            Ok(found) => Ok(found.map(|(kind, problem)| self.finding(kind, problem))),
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => {
                Ok(Some(self.finding(FindingKind::Unreadable, cannot_be_read(&source))))
            }
            Err(error) => Err(error),
        }
    }

    fn bytes_problem(
        &self,
        content_type: Option<&ContentType>,
    ) -> Result<Option<super::sidecar::Fault>> {
        if self.backend.is_input(self.name)
            && let Some(problem) = self.input_problem()?
        {
            return Ok(Some((FindingKind::BrokenInput, problem)));
        }
        let Some(content_type) = content_type else { return Ok(None) };
        if self.fits(content_type)? {
            return Ok(None);
        }
        let reason = if content_type.is_none() {
            "the value is not empty"
        } else if content_type.is_json() {
            "the value is no JSON"
        } else {
            "the value is not UTF-8"
        };
        let problem = format!("{reason}, but its type is '{content_type}'");
        Ok(Some((FindingKind::UndecodableValue, problem)))
    }

    /// Why the Apify SDK cannot open the store while this is its input (FORMAT 8.2).
    fn input_problem(&self) -> Result<Option<String>> {
        let input_key = self.backend.shared.options.input_key.as_bytes();
        let refused =
            |what: &str| Some(format!("the input is {what}: the Apify SDK refuses the store"));
        match self.name.strip_prefix(input_key) {
            Some(rest) if rest.ends_with(b".json") && !self.fits(&ContentType::json())? => {
                Ok(refused("no JSON"))
            }
            Some(rest)
                if (matches!(rest, b"" | b".") || rest.ends_with(b".txt"))
                    && !self.fits(&ContentType::text())? =>
            {
                Ok(refused("not UTF-8"))
            }
            _ => Ok(None),
        }
    }

    fn fits(&self, content_type: &ContentType) -> Result<bool> {
        let file = match tree::open_file(&self.dir.fd, self.name) {
            // Removed since it was listed.
            Err(Errno::NOENT) => return Ok(true),
            file => file.map_err(|error| failed(self.dir, self.name, error))?,
        };
        content_type.fits(&mut File::from(file)).map_err(|error| failed(self.dir, self.name, error))
    }

    fn finding(&self, kind: FindingKind, problem: impl Into<String>) -> Finding {
        Finding::in_store(kind, &self.dir.name, problem).of_file(self.name)
    }

    fn sidecar_finding(&self, kind: FindingKind, problem: String) -> Finding {
        let name = layout::sidecar_of(self.name);
        Finding::in_store(kind, &self.dir.name, problem).of_file(&name)
    }
}

fn foreign_name_problem(key: &Key, own: &[u8]) -> String {
    let own = String::from_utf8_lossy(own);
    format!("no SDK finds a file of this name: for the key '{key}' it looks for '{own}'")
}

pub(super) fn cannot_be_read(error: &io::Error) -> String {
    format!("cannot be read: {error}")
}

/// Whether there is anything under a name, also a link or a directory.
pub(super) fn is_anything(dir: &StoreDir, name: &[u8]) -> Result<bool> {
    match rustix::fs::statat(&dir.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT | Errno::NAMETOOLONG) => Ok(false),
        Err(error) => Err(failed(dir, name, error)),
    }
}

/// Whether the error is one that is found where the sidecar itself is looked at.
fn is_told(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, InvalidFilename, PermissionDenied};
    matches!(error.kind(), FileTooLarge | InvalidFilename | PermissionDenied)
}

fn failed(dir: &StoreDir, name: &[u8], error: impl Into<io::Error>) -> Error {
    let name = String::from_utf8_lossy(name);
    Error::io(format!("look at '{name}' of store '{}'", dir.name), error)
}
