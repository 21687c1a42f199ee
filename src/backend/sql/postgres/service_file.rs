//! libpq's connection service file: settings by the name of a service.
//!
//! The file of the user goes before that of the system, and the first section of the name is taken.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::settings::{Environment, Settings, home, malformed};
use crate::model::{Error, Result};

/// What the service `name` says. `own` is the file to look into first, instead of `~/.pg_service.conf`.
pub(super) fn settings(
    name: &str,
    own: Option<&Path>,
    environment: Environment<'_>,
) -> Result<Settings> {
    for (file, must_exist) in files(own, environment) {
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !must_exist => continue,
            Err(error) => {
                return Err(Error::io(
                    format!("read the service file '{}'", file.display()),
                    error,
                ));
            }
        };
        if let Some(settings) = section(&text, name)? {
            return Ok(settings);
        }
    }
    Err(malformed(format!("there is no definition of the service '{name}'")))
}

/// Files to look into, in turn, and whether each must exist.
fn files(own: Option<&Path>, environment: Environment<'_>) -> Vec<(PathBuf, bool)> {
    let mut files = Vec::new();
    match own {
        Some(file) => files.push((file.to_owned(), true)),
        None => {
            files.extend(home(environment).map(|home| (home.join(".pg_service.conf"), false)));
        }
    }
    let system = environment("PGSYSCONFDIR").map(PathBuf::from);
    let system = system.unwrap_or_else(|| PathBuf::from("/etc/postgresql-common"));
    files.push((system.join("pg_service.conf"), false));
    files
}

/// The settings of the section `name`.
fn section(text: &str, name: &str) -> Result<Option<Settings>> {
    let mut found: Option<Settings> = None;
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(header) = line.strip_prefix('[') {
            if found.is_some() {
                break;
            }
            found = (header.strip_suffix(']') == Some(name)).then(Settings::new);
        } else if let Some(settings) = &mut found {
            let (key, value) = line.split_once('=').ok_or_else(|| {
                malformed(format!("a line of the service '{name}' is not written as name=value"))
            })?;
            settings.entry(key.trim().to_owned()).or_insert_with(|| value.trim().to_owned());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::section;

    #[test]
    fn a_service_is_the_first_section_of_its_name() {
        let text =
            "# c\n[other]\nhost=x\n\n[crawl]\nhost=db\nport = 6000\nhost=late\n[crawl]\nuser=y\n";
        let found = section(text, "crawl").unwrap().unwrap();
        let found: Vec<_> = found.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(found, ["host=db", "port=6000"]);
        assert!(section(text, "none").unwrap().is_none());
        let error = section("[s]\npassword secret\n", "s").unwrap_err();
        assert!(!error.to_string().contains("secret"));
    }
}
