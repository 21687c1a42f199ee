//! Two mounts in network namespaces of their own, as on two machines: nothing but the bucket is between them.

use std::collections::BTreeSet;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use crate::common::{METADATA, STORES, TempMount, names, skipped};
use crate::database::{Database, STORE, bytes};
use crate::proxy::Proxy;

/// A mount in a namespace with no network but a port that leads to the bucket.
struct Machine {
    mount: TempMount,
    _proxy: Proxy,
    _db: Database,
}

/// Runs something in a network namespace of its own; `None` where this process may make none.
fn isolated<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    let isolated = || {
        // SAFETY: it changes the network of a thread that ends here, and of whom that starts.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            return None;
        }
        let is_up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
        is_up.is_ok_and(|status| status.success()).then(work)
    };
    thread::scope(|scope| scope.spawn(isolated).join().unwrap())
}

/// `None`, said aloud, where a test may make no namespaces.
#[track_caller]
fn machine(db: &Database) -> Option<Machine> {
    let (to_outside, listeners) = mpsc::channel::<TcpListener>();
    let (to_inside, ready) = mpsc::channel();
    let own = thread::scope(|scope| {
        // What it asks, it asks from out here, where the bucket is.
        let outside = scope.spawn(move || {
            let proxy = listeners.recv().ok().map(|listener| Proxy::at(listener, db.place.port));
            let _ = to_inside.send(());
            proxy
        });
        let inside = isolated(move || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let own = db.as_seen_from(db.place.through(listener.local_addr().unwrap().port()));
            to_outside.send(listener).unwrap();
            ready.recv().unwrap();
            assert!(TcpStream::connect(("127.0.0.1", db.place.port)).is_err(), "it is alone");
            (own.mount_with(&["--ttl", "0"]), own)
        });
        let proxy = outside.join().unwrap();
        inside.map(|(mount, own)| Machine { mount, _proxy: proxy.unwrap(), _db: own })
    });
    if own.is_none() {
        skipped("test of two machines: no network namespace can be made (root, and iproute2)");
    }
    own
}

pub(crate) fn p6_two_machines_write_purge_and_list_at_once(db: &Database) {
    db.run(&["create", STORE]);
    let (Some(one), Some(two)) = (machine(db), machine(db)) else { return };
    let store = |machine: &Machine| machine.mount.store(STORE);
    fs::write(store(&one).join("INPUT"), "{}").unwrap();
    assert_eq!(fs::read(store(&two).join("INPUT")).unwrap(), b"{}");
    thread::scope(|scope| {
        for (seed, machine) in [(1, &one), (2, &two)] {
            scope.spawn(move || {
                for number in 0..60 {
                    let size = if number % 10 == 0 { 9_000_000 } else { 2000 };
                    let shared = store(machine).join("shared");
                    fs::write(shared, bytes(seed * 1000 + number, size)).unwrap();
                    fs::write(store(machine).join(format!("{seed}-{number}")), "x").unwrap();
                    if number % 20 == 19 {
                        fs::write(store(machine).join("@purge"), "1").unwrap();
                    }
                }
            });
            scope.spawn(move || {
                for _ in 0..40 {
                    let listed = names(&store(machine));
                    assert!(listed.contains("INPUT") && listed.contains(METADATA), "{listed:?}");
                    let Ok(seen) = fs::read(store(machine).join("shared")) else { continue };
                    if let Some(start) = seen.get(..4) {
                        let seed = std::str::from_utf8(start).unwrap().parse().unwrap();
                        assert!(seen == bytes(seed, seen.len()), "torn");
                    }
                }
            });
        }
    });
    // Once nobody writes, both see the same, and it is what is in the bucket.
    fs::write(store(&one).join("last"), "x").unwrap();
    let in_bucket: BTreeSet<_> = db
        .objects()
        .keys(&format!("{STORES}/{STORE}/"))
        .iter()
        .filter_map(|key| key.rsplit('/').next())
        .filter(|name| *name == METADATA || !name.ends_with(METADATA))
        .map(str::to_owned)
        .collect();
    for machine in [&one, &two] {
        assert_eq!(names(&store(machine)), in_bucket);
        for name in names(&store(machine)) {
            fs::read(store(machine).join(name)).unwrap();
        }
    }
}

pub(crate) fn p6_only_one_machine_makes_a_record(db: &Database) {
    db.run(&["create", STORE]);
    let (Some(one), Some(two)) = (machine(db), machine(db)) else { return };
    for round in 0..20 {
        let winners: usize = thread::scope(|scope| {
            let racers = [&one, &two].map(|machine| {
                let path = machine.mount.store(STORE).join(format!("once-{round}"));
                scope.spawn(move || {
                    let made = fs::OpenOptions::new().write(true).create_new(true).open(path);
                    usize::from(made.is_ok_and(|file| file.sync_all().is_ok()))
                })
            });
            racers.into_iter().map(|racer| racer.join().unwrap()).sum()
        });
        assert_eq!(winners, 1, "of round {round}");
    }
}
