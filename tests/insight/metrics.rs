//! What Prometheus reads: by the command, and over HTTP.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use crate::common::schemas::{complaint_of, python};
use crate::common::{TempMount, can_mount, sh, storefs, temp_dir, try_sh};
use crate::help::{database, directory, run, text};

/// Fails unless Prometheus' own parser for Python reads it, each metric once, and prints how many samples there are.
const PARSE: &str = "
import sys
from prometheus_client.parser import text_string_to_metric_families
names, samples = set(), 0
for family in text_string_to_metric_families(sys.stdin.read()):
    assert family.name not in names and family.documentation, family.name
    assert family.type in ('counter', 'gauge', 'histogram'), family.type
    names.add(family.name)
    samples += len(family.samples)
    if family.type == 'histogram':
        series = {}
        for sample in family.samples:
            labels = dict(sample.labels)
            bound = labels.pop('le', None)
            if bound is not None:
                series.setdefault(tuple(labels.items()), []).append((float(bound), sample.value))
        for buckets in series.values():
            assert buckets == sorted(buckets) and buckets[-1][0] == float('inf'), buckets
            assert [n for _, n in buckets] == sorted(n for _, n in buckets), buckets
assert samples > 50, samples
";

/// The samples of a text, checked by a parser that is not ours.
#[track_caller]
fn samples(text: &str) -> BTreeMap<String, f64> {
    if let Some(mut parser) = python("prometheus_client", PARSE) {
        assert_eq!(complaint_of(&mut parser, text), None, "{text}");
    }
    // Debian has it in a package that is large and begins a server.
    if Command::new("promtool").arg("--version").output().is_ok() {
        let complaint = complaint_of(Command::new("promtool").args(["check", "metrics"]), text);
        assert_eq!(complaint, None, "{text}");
    }
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let samples = lines.map(|line| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    });
    samples.collect()
}

fn address(mount: &TempMount) -> String {
    mount.status()["metrics_at"].as_str().unwrap().to_owned()
}

#[test]
fn the_command_prints_the_numbers_of_the_status() {
    if !can_mount() {
        return;
    }
    let (_dir, mount) = database();
    sh("for i in 1 2 3; do echo value > r$i; done", &mount.store("default"));
    try_sh("ln -s a b", &mount.store("default"));
    let metrics = samples(&run(&["status", "--metrics", &text(&mount)]));
    let status = mount.status();
    let of = |name: &str| metrics.get(name).copied();
    let symlinks = "storefs_request_errors_total{operation=\"symlink\",error=\"EPERM\"}";
    assert_eq!(of(symlinks), Some(1.0));
    assert_eq!(of("storefs_request_duration_seconds_count{operation=\"create\"}"), Some(3.0));
    assert_eq!(
        of("storefs_request_duration_seconds_bucket{operation=\"create\",le=\"+Inf\"}"),
        Some(3.0)
    );
    assert_eq!(of("storefs_written_bytes_total"), status["bytes"]["written"].as_f64());
    assert_eq!(
        of("storefs_info{version=\"0.1.0\",backend=\"sqlite\",read_only=\"false\"}"),
        Some(1.0)
    );
    assert!(of("storefs_backend_duration_seconds_count") > Some(10.0));
}

#[test]
fn curl_gets_the_same_over_http() {
    if !can_mount() {
        return;
    }
    let (_storage, mount) = directory(&["--metrics-addr", "127.0.0.1:0"]);
    sh("echo value > record", &mount.store("default"));
    let address = address(&mount);
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    let curl = format!("curl -sS --fail -i http://{address}/metrics");
    let answer = sh(&curl, Path::new("/")).replace('\r', "");
    let (head, body) = answer.split_once("\n\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert!(head.contains("Content-Type: text/plain; version=0.0.4"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
    let metrics = samples(body);
    assert_eq!(metrics["storefs_request_duration_seconds_count{operation=\"create\"}"], 1.0);
    for (what, code) in
        [("", "404"), ("metrics -X POST", "405"), ("metrics?a=b", "200"), ("metrics -I", "200")]
    {
        let code_of = format!("curl -s -o /dev/null -w '%{{http_code}}' http://{address}/{what}");
        assert_eq!(sh(&code_of, Path::new("/")), code, "{what}");
    }
}

#[test]
fn a_caller_who_says_nothing_or_nonsense_keeps_nobody_from_it() {
    if !can_mount() {
        return;
    }
    let (_storage, mount) = directory(&["-o", "metrics_addr=0"]);
    let address = address(&mount);
    let _silent = TcpStream::connect(&address).unwrap();
    for nonsense in [&b"\0\xff\r\n\r\n"[..], b"GET", b"\r\n\r\n", &[b'x'; 100_000]] {
        let mut caller = TcpStream::connect(&address).unwrap();
        // The other side may close before it has read all.
        let _ = caller.write_all(nonsense);
        let _ = caller.shutdown(std::net::Shutdown::Write);
        let _ = caller.read(&mut [0; 64]);
    }
    sh(&format!("curl -sS -m 60 --fail http://{address}/metrics"), Path::new("/"));
    // Nor from unmounting, which the drop does.
}

#[test]
fn an_address_that_is_taken_or_none_is_refused_and_nothing_mounted() {
    if !can_mount() {
        return;
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let dir = temp_dir();
    for (address, code, said) in [
        (address.as_str(), 1, "metrics cannot be served at"),
        ("example", 2, "is no address with a port"),
    ] {
        std::fs::create_dir_all(dir.path().join("mnt")).unwrap();
        std::fs::create_dir_all(dir.path().join("storage/key_value_stores")).unwrap();
        let output = storefs()
            .args(["mount", "--metrics-addr", address])
            .args([dir.path().join("storage"), dir.path().join("mnt")])
            .output()
            .unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{errors}");
        assert!(errors.contains(said), "{errors}");
        assert!(!dir.path().join("mnt/@status").exists());
    }
}
