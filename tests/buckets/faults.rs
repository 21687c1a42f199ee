//! A network and a server that fail, and what is asked of them: told within the deadline, nothing lost, never bytes of two
//! versions, and the mount goes on.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use serde_json::json;

use crate::common::{METADATA, STORES, TempMount, names, sh, wait_until};
use crate::database::{Database, STORE, bytes, value_key, within};
use crate::proxy::{Fault, Proxy, Request, counted};

/// What an operation may take at most: the deadline of three seconds, and some for a busy machine.
const LIMIT: Duration = Duration::from_secs(9);

/// So large that it is sent and fetched in parts.
const LARGE: usize = 40_000_000;

/// A part of a bucket with a proxy before it.
struct Behind {
    /// Asks without the proxy.
    direct: Database,
    through: Database,
    proxy: Proxy,
}

impl Behind {
    /// With a store.
    fn new() -> Option<Self> {
        let direct = Database::fresh()?;
        direct.run(&["create", STORE]);
        let proxy = Proxy::to(direct.place.port);
        let through = direct.as_seen_from(direct.place.through(proxy.port()));
        Some(Self { direct, through, proxy })
    }

    /// A mount that waits for the server no longer than three seconds, and trusts nothing that it knows.
    fn hasty(&self) -> TempMount {
        self.through.mount_with(&["--timeout", "3", "--ttl", "0"])
    }
}

#[track_caller]
fn errno_in<T>(what: &str, allowed: &[Errno], work: impl FnOnce() -> io::Result<T>) {
    let error = within(LIMIT, work).err().unwrap_or_else(|| panic!("{what} succeeds"));
    let errno = error.raw_os_error();
    assert!(allowed.iter().any(|it| Some(it.raw_os_error()) == errno), "{what}: {error}");
}

/// All that is asked of a mount fails in time, and what needs no server does not.
#[track_caller]
fn all_fail(mount: &TempMount, allowed: &[Errno]) {
    let store = mount.store(STORE);
    errno_in("open", allowed, || File::open(store.join("k"))?.read(&mut [0; 10]));
    errno_in("list", allowed, || fs::read_dir(&store)?.collect::<io::Result<Vec<_>>>());
    errno_in("make", allowed, || File::create(store.join("new"))?.sync_all());
    // Who comes later is told at the open: not all look at what their close says.
    errno_in("open to make", allowed, || File::create(store.join("another")));
    errno_in("remove", allowed, || fs::remove_file(store.join("k")));
    errno_in("move", allowed, || fs::rename(store.join("k"), store.join("l")));
    errno_in("purge", allowed, || {
        fs::OpenOptions::new().write(true).open(store.join("@purge"))?.write_all(b"1")
    });
    errno_in("make a store", allowed, || fs::create_dir(mount.store("next")));
    within(LIMIT, || mount.status());
}

#[test]
fn a_server_that_has_too_much_to_do_is_waited_for() {
    let Some(behind) = Behind::new() else { return };
    behind.direct.put("k", b"value", "text/plain");
    let mount = behind.through.mount_with(&["--ttl", "0"]);
    let store = mount.store(STORE);
    for code in [(503, "SlowDown"), (500, "InternalError"), (503, "ServiceUnavailable")] {
        let fault = Fault::Answered(code.0, code.1);
        let twice = |kind: &'static str| {
            behind.proxy.befall(2, move |request| request.kind() == kind, fault);
        };
        twice("GET");
        behind.direct.put("k", code.1.as_bytes(), "text/plain");
        assert_eq!(fs::read(store.join("k")).unwrap(), code.1.as_bytes());
        twice("LIST");
        assert!(names(&store).contains("k"));
        twice("PUT");
        fs::write(store.join(code.1), "written").unwrap();
        assert_eq!(behind.direct.record(code.1).unwrap().0, b"written");
        behind.proxy.release();
    }
    fs::write(store.join("large"), bytes(1, LARGE)).unwrap();
    let fault = Fault::Answered(503, "SlowDown");
    behind.proxy.befall(2, |request| request.is_for("/large"), fault);
    let other = behind.through.mount();
    assert!(fs::read(other.store(STORE).join("large")).unwrap() == bytes(1, LARGE));
    assert_eq!(behind.proxy.to_come(), 0);
}

/// A create or replace whose answer is lost is done once: what was done is not refused as somebody else's.
#[test]
fn a_connection_that_is_reset_is_tried_again() {
    let Some(behind) = Behind::new() else { return };
    let mount = behind.through.mount_with(&["--ttl", "0"]);
    let store = mount.store(STORE);
    for (number, fault) in
        [Fault::Refused, Fault::RequestCut(3000), Fault::AnswerLost].into_iter().enumerate()
    {
        let (name, number) = (format!("small-{number}"), u32::try_from(number).unwrap());
        let end = format!("/{name}");
        behind.proxy.befall(1, move |it| it.method == "PUT" && it.is_for(&end), fault);
        fs::write(store.join(&name), bytes(number, 5000)).unwrap();
        assert_eq!(behind.proxy.to_come(), 0, "{fault:?}");
        assert_eq!(behind.direct.record(&name).unwrap().0, bytes(number, 5000), "{fault:?}");
    }
    let is_part = |request: &Request| request.query.contains("partNumber");
    for fault in [Fault::RequestCut(1_000_000), Fault::AnswerLost, Fault::Refused] {
        behind.proxy.befall(1, is_part, fault);
        fs::write(store.join("large"), bytes(7, LARGE)).unwrap();
        assert_eq!(behind.proxy.to_come(), 0, "it is sent in parts");
        let kept = behind.direct.objects().get(&value_key(STORE, "large")).unwrap();
        assert!(kept.bytes == bytes(7, LARGE), "{fault:?}");
        fs::remove_file(store.join("large")).unwrap();
    }
    assert_eq!(behind.direct.objects().ask(&json!({"do": "uploads"})), json!([]));
    // And in the middle of what is fetched.
    fs::write(store.join("large"), bytes(8, LARGE)).unwrap();
    let is_large = |request: &Request| request.kind() == "GET" && request.is_for("/large");
    for fault in [Fault::AnswerCut(300_000), Fault::AnswerLost, Fault::Refused] {
        let other = behind.through.mount();
        behind.proxy.befall(2, is_large, fault);
        assert!(
            fs::read(other.store(STORE).join("large")).unwrap() == bytes(8, LARGE),
            "{fault:?}"
        );
        assert_eq!(behind.proxy.to_come(), 0);
    }
}

#[test]
fn p7_a_server_that_answers_no_more_is_told_in_time_and_the_mount_goes_on() {
    let Some(behind) = Behind::new() else { return };
    behind.direct.put("k", b"old", "text/plain");
    let mount = behind.hasty();
    let path = mount.store(STORE).join("k");
    assert_eq!(fs::read(&path).unwrap(), b"old");
    let mut small = File::create(&path).unwrap();
    small.write_all(b"new").unwrap();
    let mut large = File::create(mount.store(STORE).join("large")).unwrap();
    large.write_all(&bytes(2, LARGE)).unwrap();
    behind.proxy.stall(true);
    let slow = [Errno::TIMEDOUT, Errno::AGAIN];
    errno_in("sync", &slow, || small.sync_all());
    errno_in("sync of a large one", &slow, || large.sync_all());
    all_fail(&mount, &slow);
    behind.proxy.stall(false);
    // What was not published is held as long as the file is open, and goes where it was meant to.
    wait_until("what is open can be synced", || small.sync_all().is_ok());
    wait_until("what is open can be synced", || large.sync_all().is_ok());
    drop((small, large));
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(behind.direct.record("k").unwrap().0, b"new");
    assert!(behind.direct.record("large").unwrap().0 == bytes(2, LARGE));
}

#[test]
fn p7_a_server_that_is_gone_is_told_and_nothing_is_lost() {
    if !crate::common::can_mount() {
        return;
    }
    let Some(server) = crate::common::buckets::own() else { return };
    let db = Database::at(server.place());
    db.run(&["create", STORE]);
    let mount = db.mount_with(&["--timeout", "3", "--ttl", "0"]);
    let path = mount.store(STORE).join("k");
    fs::write(&path, "old").unwrap();
    for (round, size) in [(1, 2000), (2, 20_000_000)] {
        let mut writing = File::create(&path).unwrap();
        writing.write_all(&bytes(round, size)).unwrap();
        server.kill();
        let gone = [Errno::IO, Errno::TIMEDOUT, Errno::AGAIN];
        errno_in("sync", &gone, || writing.sync_all());
        all_fail(&mount, &gone);
        server.start_again();
        wait_until("what is open can be synced", || writing.sync_all().is_ok());
        drop(writing);
        assert!(fs::read(&path).unwrap() == bytes(round, size));
        assert!(db.record("k").unwrap().0 == bytes(round, size));
    }
}

/// One version to its end, or ESTALE; and the next open has the new one.
#[test]
fn p1_a_value_that_is_replaced_while_it_is_read_is_never_mixed() {
    let Some(behind) = Behind::new() else { return };
    let size = 64 << 20;
    let mut objects = behind.direct.objects();
    let source = behind.direct.beside().join("value");
    let bring = |seed: u32| {
        fs::write(&source, bytes(seed, size)).unwrap();
        let to = format!("{}/{}", behind.direct.url(), value_key(STORE, "large"));
        let typed = ["--content-type", "text/plain", "--quiet"];
        behind.direct.aws(&[&["s3", "cp", source.to_str().unwrap(), &to][..], &typed].concat());
    };
    bring(1);
    let mount = behind.through.mount_with(&["--ttl", "0"]);
    let path = mount.store(STORE).join("large");
    let (mut whole, mut stale) = (0, 0);
    for (round, at) in [0, 1, 20, 300, 900].into_iter().enumerate() {
        let (old, new) = (u32::try_from(round).unwrap() + 1, u32::try_from(round).unwrap() + 2);
        let expected = bytes(old, size);
        let mut file = File::open(&path).unwrap();
        assert_eq!(file.metadata().unwrap().len(), size as u64);
        let (mut part, mut seen) = (vec![0; 64 << 10], 0);
        for number in 0.. {
            if number == at {
                bring(new);
            }
            match file.read(&mut part) {
                Ok(0) => break,
                Ok(count) => {
                    assert!(part[..count] == expected[seen..seen + count], "mixed at {seen}");
                    seen += count;
                }
                Err(error) => {
                    assert_eq!(error.raw_os_error(), Some(Errno::STALE.raw_os_error()), "{error}");
                    stale += 1;
                    break;
                }
            }
        }
        whole += usize::from(seen == size);
        assert!(number_of(&path) == new, "the next open has the new one");
    }
    println!("{whole} whole, {stale} stale");
    assert_eq!(whole + stale, 5, "a version that ends early is neither");
    // The same for one that is removed.
    let mut file = File::open(&path).unwrap();
    objects.delete(&value_key(STORE, "large"));
    let mut seen = Vec::new();
    match file.read_to_end(&mut seen) {
        Ok(_) => assert!(seen == bytes(6, size)),
        Err(error) => assert_eq!(error.raw_os_error(), Some(Errno::STALE.raw_os_error())),
    }
    assert!(!path.exists());
}

/// Of which value the first bytes of a file are.
fn number_of(path: &std::path::Path) -> u32 {
    let mut start = [0; 4];
    File::open(path).unwrap().read_exact(&mut start).unwrap();
    std::str::from_utf8(&start).unwrap().parse().unwrap()
}

/// How many of the requests are of a kind, and for values of records.
fn for_values(requests: &[Request], kind: &str) -> usize {
    let is_value = |request: &&Request| {
        request.kind() == kind && request.path.contains(STORES) && !request.path.ends_with(METADATA)
    };
    requests.iter().filter(is_value).count()
}

#[test]
fn small_records_that_are_read_cost_a_request_each() {
    let Some(behind) = Behind::new() else { return };
    let at = format!("{STORES}/{STORE}");
    behind.direct.objects().ask(&json!({"do": "fill", "prefix": at, "count": 100, "value": "x"}));
    let mount = behind.through.mount();
    names(&mount.stores());
    let store = mount.store(STORE);
    let ((), asked) = behind.proxy.during(|| {
        for number in 0..100 {
            assert_eq!(fs::read(store.join(format!("{number:06}"))).unwrap(), b"x");
        }
    });
    assert_eq!(for_values(&asked, "GET"), 100, "{}", counted(&asked));
    assert_eq!(asked.iter().filter(|request| request.method == "HEAD").count(), 0, "{asked:?}");
    let of_values = asked.iter().filter(|request| !request.path.ends_with(METADATA)).count();
    assert!(of_values <= 101, "but for the metadata: {}", counted(&asked));
}

#[test]
fn a_listing_with_attributes_costs_pages() {
    let Some(behind) = Behind::new() else { return };
    let at = format!("{STORES}/{STORE}");
    behind.direct.objects().ask(&json!({"do": "fill", "prefix": at, "count": 3000, "value": "x"}));
    let mount = behind.through.mount();
    names(&mount.stores());
    let (listed, asked) = behind.proxy.during(|| sh("ls -l | wc -l", &mount.store(STORE)));
    assert_eq!(listed.trim(), "3002", "the metadata, and the line of the total");
    // Values and sidecars, by the thousand.
    let pages = asked.iter().filter(|request| request.kind() == "LIST").count();
    assert!((6..=9).contains(&pages), "{}", counted(&asked));
    let of_others = asked.iter().filter(|request| !request.path.ends_with(METADATA)).count();
    assert!(of_others <= pages, "but for the metadata: {}", counted(&asked));
}

#[test]
fn a_small_record_that_is_made_costs_its_value_and_its_sidecar() {
    let Some(behind) = Behind::new() else { return };
    let mount = behind.through.mount();
    let store = mount.store(STORE);
    names(&store);
    let ((), asked) = behind.proxy.during(|| fs::write(store.join("new"), "value").unwrap());
    let of_store = format!("{STORE}/{METADATA}");
    let asked: Vec<_> = asked.iter().filter(|request| !request.path.ends_with(&of_store)).collect();
    assert!(asked.len() == 2 && asked.iter().all(|it| it.method == "PUT"), "{asked:?}");
    // And what is written is read without asking for its bytes.
    let before = behind.proxy.answered();
    assert_eq!(fs::read(store.join("new")).unwrap(), b"value");
    assert!(behind.proxy.answered() - before < 1000);
}

#[test]
fn an_unchanged_value_is_not_fetched_again() {
    let Some(behind) = Behind::new() else { return };
    let mount = behind.through.mount_with(&["--ttl", "0"]);
    for (name, size) in [("small", 100_000), ("large", LARGE)] {
        fs::write(behind.direct.beside().join(name), bytes(1, size)).unwrap();
        let to = format!("{}/{}", behind.direct.url(), value_key(STORE, name));
        let from = behind.direct.beside().join(name);
        behind.direct.aws(&["s3", "cp", "--quiet", from.to_str().unwrap(), &to]);
        let path = mount.store(STORE).join(name);
        assert!(fs::read(&path).unwrap() == bytes(1, size));
        let fetched = behind.proxy.answered();
        assert!(fetched >= size as u64, "the proxy counts what it passes on");
        for _ in 0..3 {
            assert!(fs::read(&path).unwrap() == bytes(1, size));
        }
        let again = behind.proxy.answered() - fetched;
        assert!(again < 50_000, "{name}: {again} bytes are fetched again");
    }
}

/// One slow request holds up no other.
#[test]
fn a_value_that_is_being_fetched_holds_up_no_other() {
    let Some(behind) = Behind::new() else { return };
    behind.direct.put("slow", &bytes(1, 5000), "text/plain");
    behind.direct.put("quick", b"quick", "text/plain");
    let mount = behind.through.mount();
    let store = mount.store(STORE);
    names(&store);
    behind.proxy.befall(1, |it| it.is_for("/slow"), Fault::Held);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| fs::read(store.join("slow")).unwrap());
        wait_until("it is asked for", || behind.proxy.to_come() == 0);
        within(LIMIT, || assert_eq!(fs::read(store.join("quick")).unwrap(), b"quick"));
        within(LIMIT, || fs::write(store.join("written"), "x").unwrap());
        within(LIMIT, || assert_eq!(names(&store).len(), 4));
        assert!(!waiting.is_finished(), "it is held");
        behind.proxy.release();
        assert_eq!(waiting.join().unwrap(), bytes(1, 5000));
    });
}

/// Many at once over a way that takes long: as many are asked as the source can take, so that they take no time each.
#[test]
fn a_long_way_is_gone_by_many_at_once() {
    let Some(behind) = Behind::new() else { return };
    let at = format!("{STORES}/{STORE}");
    behind.direct.objects().ask(&json!({"do": "fill", "prefix": at, "count": 64, "value": "x"}));
    let mount = behind.through.mount();
    let store = mount.store(STORE);
    names(&store);
    let way = Duration::from_millis(250);
    behind.proxy.delay(way, way);
    // One after the other, they would take 32 seconds.
    within(Duration::from_secs(16), || {
        thread::scope(|scope| {
            for number in 0..64 {
                let path = store.join(format!("{number:06}"));
                scope.spawn(move || assert_eq!(fs::read(path).unwrap(), b"x"));
            }
        });
    });
}
