//! Large values: what is written over a part of them costs that part.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;

use serde_json::json;

use crate::common::{METADATA, sh};
use crate::database::{Database, STORE, bytes, value_key};
use crate::proxy::{Proxy, Request, counted};

const LARGE: usize = 60_000_000;

/// What one change may send and fetch: a part at each end of what it writes, what is between, and what is read ahead.
const MOST: u64 = 30_000_000;

/// Bytes that requests for a value have sent.
fn sent(asked: &[Request]) -> u64 {
    let of_value = asked.iter().filter(|request| !request.path.ends_with(METADATA));
    let length = |request: &Request| request.header("content-length")?.parse::<u64>().ok();
    of_value.filter_map(length).sum()
}

#[test]
fn p3_a_change_of_a_part_of_a_large_record_sends_and_fetches_that_part() {
    let Some(direct) = Database::fresh() else { return };
    direct.run(&["create", STORE]);
    let mut now = bytes(1, LARGE);
    {
        let mount = direct.mount();
        fs::write(mount.store(STORE).join("large.txt"), &now).unwrap();
    }
    let proxy = Proxy::to(direct.place.port);
    let through = direct.as_seen_from(direct.place.through(proxy.port()));
    let mount = through.mount();
    let path = mount.store(STORE).join("large.txt");
    let mut changed = |what: &str, change: &dyn Fn(), edit: &dyn Fn(&mut Vec<u8>)| {
        let before = proxy.answered();
        let ((), asked) = proxy.during(change);
        let fetched = proxy.answered() - before;
        edit(&mut now);
        let sent = sent(&asked);
        assert!(sent < MOST, "{what}: {sent} bytes are sent by {}", counted(&asked));
        assert!(
            fetched < MOST,
            "{what}: {fetched} bytes are fetched by {}: {asked:#?}",
            counted(&asked)
        );
        let copies = asked.iter().filter(|one| one.header("x-amz-copy-source-range").is_some());
        assert!(copies.count() > 0, "{what}: {}", counted(&asked));
        let object = direct.objects().get(&value_key(STORE, "large.txt")).unwrap();
        assert!(object.bytes == now, "{what}");
        assert_eq!(object.content_type, "text/plain; charset=utf-8", "{what}");
    };
    changed("an append", &|| drop(sh("echo more >> large.txt", &mount.store(STORE))), &|all| {
        all.extend_from_slice(b"more\n");
    });
    let write_at = |at: u64| {
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(b"in the middle", at).unwrap();
    };
    changed("a write in the middle", &|| write_at(30_000_000), &|all| {
        all[30_000_000..30_000_013].copy_from_slice(b"in the middle");
    });
    changed("a cut", &|| drop(sh("truncate -s 50000000 large.txt", &mount.store(STORE))), &|all| {
        all.truncate(50_000_000);
    });
    assert!(fs::read(&path).unwrap() == now);
    assert_eq!(direct.objects().ask(&json!({"do": "uploads"})), json!([]));
}
