//! Keys, server and region, found in real files and printed by real programs.

mod botocore;
mod containers;
mod environment;
mod properties;
mod renewing;

use std::fs;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use object_store::aws::AwsCredential;
use tempfile::TempDir;

use super::{Access, AwsOptions, access};

/// A directory with both files in it.
struct Home {
    directory: TempDir,
}

impl Home {
    fn new(config: &str, credentials: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("storefs-test-").tempdir().unwrap();
        let home = Self { directory };
        home.write("config", config);
        home.write("credentials", credentials);
        home
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    /// What a tool does that changes a file at once.
    fn replace(&self, name: &str, text: &str) {
        self.write("new", text);
        fs::rename(self.path().join("new"), self.path().join(name)).unwrap();
    }

    fn options(&self) -> AwsOptions {
        options(self.path())
    }
}

/// What says nothing but where the files are.
fn options(directory: &Path) -> AwsOptions {
    AwsOptions {
        config_file: Some(directory.join("config")),
        credentials_file: Some(directory.join("credentials")),
        ..AwsOptions::default()
    }
}

fn waited<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future)
}

/// The keys in three parts.
fn parts(keys: Option<Arc<AwsCredential>>) -> Option<[Option<String>; 3]> {
    let keys = keys?;
    Some([Some(keys.key_id.clone()), Some(keys.secret_key.clone()), keys.token.clone()])
}

fn key_id(access: &Access) -> String {
    waited(access.credentials.get()).unwrap().unwrap().key_id.clone()
}

/// What is said where it goes wrong: one line.
fn refusal(options: &AwsOptions) -> String {
    let said = match access(options) {
        Err(error) => error.to_string(),
        Ok(access) => waited(access.credentials.get()).unwrap_err().to_string(),
    };
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}
