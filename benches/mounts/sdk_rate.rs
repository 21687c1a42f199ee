//! How fast an SDK itself sets and gets records.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::sys::Result;

/// The driver for crawlee-python: of a storage directory or the URL of a database.
pub(crate) const PYTHON: &str = include_str!("sdk_rate.py");

/// Runs a driver, which is given on its standard input and prints the seconds of setting and getting so many records of
/// so many bytes.
pub(crate) fn rates(
    mut command: Command,
    driver: &str,
    store: &str,
    (count, size): (usize, usize),
) -> Result<(f64, f64)> {
    command.arg(store).args([count.to_string(), size.to_string()]);
    command.env("CRAWLEE_PURGE_ON_START", "0").env("CRAWLEE_LOG_LEVEL", "ERROR");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    child.stdin.take().ok_or("no pipe")?.write_all(driver.as_bytes())?;
    let Output { status, stdout, stderr } = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&stdout);
    let numbers: Vec<f64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match numbers[..] {
        [set, get] if status.success() => Ok((set, get)),
        _ => {
            Err(format!("{command:?} ended with {status}: {}", String::from_utf8_lossy(&stderr))
                .into())
        }
    }
}
