//! JSON that is told, checked against the schemas in `docs`.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use super::skipped;

/// Reads documents from its input, one a line, and from the paths that follow a schema and where in it the documents' is.
const VALIDATE: &str = "
import json, sys, jsonschema
with open(sys.argv[1]) as file:
    schema = json.load(file)
jsonschema.Draft202012Validator.check_schema(schema)
own = {**schema, '$ref': sys.argv[2]} if sys.argv[2] else schema
for line in sys.stdin:
    jsonschema.Draft202012Validator(own).validate(json.loads(line))
";

/// Gives a program a text to read. What it says, if it does not end well.
pub(crate) fn complaint_of(command: &mut Command, input: &str) -> Option<String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (!output.status.success()).then(|| String::from_utf8_lossy(&said).into_owned())
}

/// A script of the distribution's own Python, unless a module of it is missing.
#[track_caller]
pub(crate) fn python(module: &str, script: &str) -> Option<Command> {
    let python = || Command::new("/usr/bin/python3");
    let found = python().args(["-c", &format!("import {module}")]).output();
    if !found.is_ok_and(|output| output.status.success()) {
        skipped(&format!("Python's {module} is missing: run scripts/install-test-deps"));
        return None;
    }
    let mut command = python();
    command.args(["-c", script]);
    Some(command)
}

/// Whether documents can be checked.
#[track_caller]
pub(crate) fn can_validate() -> bool {
    python("jsonschema", "").is_some()
}

/// What is wrong with documents, one a line, by a schema in `docs`, or by the part of it that a pointer such as
/// `#/$defs/keys` leads to. `None` if nothing is, and where they cannot be checked.
#[track_caller]
pub(crate) fn complaint(schema: &str, pointer: &str, documents: &str) -> Option<String> {
    let mut validator = python("jsonschema", VALIDATE)?;
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(schema);
    complaint_of(validator.arg(schema).arg(pointer), documents)
}
