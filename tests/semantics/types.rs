//! Content types that were set by hand, and those of bare files (P10, P11). What tools write is tested with the
//! SDKs, see `tests/interop`.

use std::fs::{self, File};
use std::io::Write;

use serde_json::Value;

use super::Mounted;
use crate::common::{TempMount, mime_type, sh};

const JSON: &str = "application/json; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

fn sidecar(mounted: &Mounted, name: &str) -> Value {
    let text = fs::read(mounted.on_disk(&format!("{name}.__metadata__.json"))).unwrap();
    serde_json::from_slice(&text).unwrap()
}

#[test]
fn p10_type_set_by_hand_holds_for_what_is_written_later() {
    let Some(mounted) = Mounted::new() else { return };
    let dir = mounted.mount.store("default");
    sh("echo text > r; setfattr -n user.mime_type -v application/xml r; echo '{}' > r", &dir);
    assert_eq!(mime_type(&mounted.record("r")), "application/xml");
    assert_eq!(sidecar(&mounted, "r")["contentType"], "application/xml");
    sh("setfattr -n user.mime_type -v application/json r; echo '{half' > r", &dir);
    assert_eq!(sidecar(&mounted, "r")["contentType"], "application/json");
    assert!(mounted.mount.log().contains("does not decode"), "a warning tells");
    sh("setfattr -x user.mime_type r; echo plain > r", &dir);
    assert_eq!(mime_type(&mounted.record("r")), TEXT);
}

#[test]
fn p10_type_set_by_hand_follows_a_rename_and_ends_with_the_record() {
    let Some(mounted) = Mounted::new() else { return };
    let dir = mounted.mount.store("default");
    sh("echo a > r; setfattr -n user.mime_type -v text/x-own r; mv r s; echo '[]' > s", &dir);
    assert_eq!(mime_type(&mounted.record("s")), "text/x-own");
    sh("rm s; echo '[]' > s", &dir);
    assert_eq!(mime_type(&mounted.record("s")), JSON);
}

#[test]
fn p10_type_that_is_copied_with_the_file_is_set_by_hand() {
    let Some(mounted) = Mounted::new() else { return };
    let dir = mounted.mount.store("default");
    sh(
        "echo a > r; setfattr -n user.mime_type -v text/x-own r; cp -a r copy; mkdir ../o; cp -a r ../o/r",
        &dir,
    );
    assert_eq!(mime_type(&mounted.record("copy")), "text/x-own");
    assert_eq!(mime_type(&mounted.mount.store("o").join("r")), "text/x-own");
}

#[test]
fn p10_empty_record_that_is_filled_later_gets_the_type_of_what_fills_it() {
    let Some(mounted) = Mounted::new() else { return };
    sh(
        "touch OUTPUT a.json; echo '{\"a\": 1}' > OUTPUT; echo '[1]' > a.json",
        &mounted.mount.store("default"),
    );
    assert_eq!(mime_type(&mounted.record("OUTPUT")), JSON);
    assert_eq!(mime_type(&mounted.record("a.json")), JSON);
}

#[test]
fn p10_new_file_under_a_temporary_name_gets_the_type_of_its_last_name() {
    let Some(mounted) = Mounted::new() else { return };
    let dir = mounted.mount.store("default");
    sh("echo '<p>' > .page.html.Xy12Za; mv .page.html.Xy12Za page.html", &dir);
    assert_eq!(mime_type(&mounted.record("page.html")), "text/html; charset=utf-8");
    sh("echo '{}' > data.tmp; mv data.tmp data", &dir);
    assert_eq!(mime_type(&mounted.record("data")), JSON);
}

/// Runs a script in the store, mounts the storage anew, and so on; after each script the record has a type.
#[track_caller]
fn typed_over_mounts(name: &str, steps: &[(&str, &str)]) {
    let Some(mut mounted) = Mounted::new() else { return };
    for (script, expected) in steps {
        sh(script, &mounted.mount.store("default"));
        assert_eq!(mime_type(&mounted.record(name)), *expected, "{script}");
        mounted.mount.unmount();
        mounted.mount = TempMount::new(&mounted.storage);
        assert_eq!(mime_type(&mounted.record(name)), *expected, "{script}, mounted anew");
        assert_eq!(sidecar(&mounted, name)["contentType"], *expected);
    }
}

#[test]
fn p10_json_that_was_saved_with_a_typo_and_mended_is_json() {
    typed_over_mounts(
        "state.json",
        &[
            (r#"echo '{"a": 1}' > state.json"#, JSON),
            (r#"echo '{"a" 1}' > state.json"#, TEXT),
            (r#"sed -i 's/"a" 1/"a": 1/' state.json"#, JSON),
            (r#"truncate -s 0 state.json"#, TEXT),
            (r#"echo '{"a": 2}' >> state.json"#, JSON),
        ],
    );
    typed_over_mounts(
        "state",
        &[
            (r#"echo '{"a": 1}' > state"#, JSON),
            (r#"echo '{"a" 1}' > state"#, TEXT),
            (r#"vim -es -u NONE -i NONE -c '%s/"a" 1/"a": 1/' -c wq state"#, JSON),
        ],
    );
}

#[test]
fn p10_json_that_is_built_by_appending_is_json_once_it_is_whole() {
    for name in ["list.json", "list"] {
        let (first, last) = (format!("echo '[1,' > {name}"), format!("echo '3]' >> {name}"));
        typed_over_mounts(
            name,
            &[(&first, TEXT), (&format!("echo '2,' >> {name}"), TEXT), (&last, JSON)],
        );
    }
}

#[test]
fn p10_a_record_that_is_fsynced_in_the_middle_gets_the_type_of_the_whole() {
    let Some(mounted) = Mounted::new() else { return };
    for name in ["whole.json", "whole"] {
        let mut file = File::create(mounted.record(name)).unwrap();
        file.write_all(b"{\"a\": ").unwrap();
        file.sync_all().unwrap();
        assert_eq!(sidecar(&mounted, name)["contentType"], TEXT, "{name}");
        file.write_all(b"1}").unwrap();
        file.sync_all().unwrap();
        assert_eq!(sidecar(&mounted, name)["contentType"], JSON, "{name}");
        drop(file);
        assert_eq!(mime_type(&mounted.record(name)), JSON, "{name}");
    }
}

#[test]
fn p10_a_page_that_was_saved_in_latin_1_once_is_html_again() {
    typed_over_mounts(
        "page.html",
        &[
            (r"printf '<p>gr\xc3\xbc\xc3\x9fe' > page.html", "text/html; charset=utf-8"),
            (r"printf '<p>gr\xfc\xdfe' > page.html", "application/octet-stream"),
            (r"printf '<p>gr\xc3\xbc\xc3\x9fe' > page.html", "text/html; charset=utf-8"),
        ],
    );
}

#[test]
fn p10_a_copy_without_an_extension_has_the_type_of_its_bytes() {
    let Some(mounted) = Mounted::new() else { return };
    let dir = mounted.mount.store("default");
    sh(r"printf '\x89PNG\r\n\x1a\n\0\0\0\rIHDR' > shot.png; cp shot.png shot; cp shot copy", &dir);
    for name in ["shot.png", "shot", "copy"] {
        assert_eq!(mime_type(&mounted.record(name)), "image/png", "{name}");
    }
}

#[test]
fn p10_a_rename_takes_along_the_type_that_was_given() {
    typed_over_mounts(
        "moved",
        &[
            (
                r#"echo '# x' > doc; setfattr -n user.mime_type -v text/markdown doc; mv doc moved"#,
                "text/markdown",
            ),
            (
                r"printf '# \xff' > moved; mv moved elsewhere; mv elsewhere moved",
                "application/octet-stream",
            ),
            ("echo '# mended' > moved", "text/markdown"),
        ],
    );
}

#[test]
fn p11_bare_file_is_a_record_and_gets_its_sidecar_when_it_is_touched_by_us() {
    let Some(mounted) = Mounted::new() else { return };
    for name in ["written", "renamed", "typed", "read"] {
        fs::write(mounted.on_disk(name), b"{\"a\": 1}").unwrap();
        assert_eq!(mime_type(&mounted.record(name)), JSON);
        assert_eq!(fs::read(mounted.record(name)).unwrap(), b"{\"a\": 1}");
        assert!(!mounted.on_disk(&format!("{name}.__metadata__.json")).exists());
    }
    let dir = mounted.mount.store("default");
    sh("echo ' ' >> written; mv renamed new-name; setfattr -n user.mime_type -v a/b typed", &dir);
    assert_eq!(sidecar(&mounted, "written")["contentType"], JSON);
    assert_eq!(sidecar(&mounted, "new-name")["contentType"], JSON);
    assert_eq!(sidecar(&mounted, "new-name")["key"], "new-name");
    assert_eq!(sidecar(&mounted, "typed")["contentType"], "a/b");
    assert!(!mounted.on_disk("read.__metadata__.json").exists());
    assert!(!mounted.on_disk("renamed").exists());
}

#[test]
fn p12_sidecars_are_written_in_camel_case_and_only_when_they_change() {
    let Some(mounted) = Mounted::new() else { return };
    fs::write(mounted.record("a b.json"), b"{}").unwrap();
    let name = "a%20b.json.__metadata__.json";
    let text = fs::read_to_string(mounted.on_disk(name)).unwrap();
    let expected = "{\n  \"key\": \"a b.json\",\n  \"contentType\": \"application/json; charset=utf-8\",\n  \"size\": 2\n}";
    assert_eq!(text, expected);
}
