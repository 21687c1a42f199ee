//! A SeaweedFS of several servers, of which one at a time is killed under readers and writers.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::{can_mount, wait_until};
use crate::database::{Database, STORE, bytes};
use crate::proxy::Proxy;
use crate::weed::Cluster;

/// So many records are written to by each who writes.
const RECORDS: usize = 8;

/// A value that tells by itself whether it is whole: small ones, and some that are sent in parts.
fn value(number: u32) -> Vec<u8> {
    bytes(number, if number.is_multiple_of(8) { 12_000_000 } else { 3000 })
}

/// The number of a value; panics if it is torn.
#[track_caller]
fn number_of(seen: &[u8]) -> u32 {
    let number = std::str::from_utf8(&seen[..4]).unwrap().parse().unwrap();
    assert!(seen == value(number), "torn: {} bytes of {number}", seen.len());
    number
}

/// Writes whole values until it is told to stop; gives back the last numbers that were acknowledged, by record. What fails
/// has promised nothing.
fn write_on(store: &Path, writer: usize, is_over: &AtomicBool, done: &AtomicUsize) -> Vec<u32> {
    let mut acknowledged = vec![0; RECORDS];
    for number in 1..9999 {
        if is_over.load(Ordering::SeqCst) {
            break;
        }
        let at = number as usize % RECORDS;
        let path = store.join(format!("{writer}-{at}"));
        let written = fs::File::create(&path).and_then(|mut file| {
            file.write_all(&value(number))?;
            file.sync_all()
        });
        if written.is_ok() {
            acknowledged[at] = number;
            done.fetch_add(1, Ordering::SeqCst);
        }
    }
    acknowledged
}

/// Kills servers one at a time under two writers and a reader; `kill` is given the round, and gives back what brings all
/// back. Work must go on while the one is dead.
fn goes_on(cluster: &Cluster, proxy: &Proxy, kill: impl Fn(&Cluster, &Proxy, usize)) {
    let place = cluster.place(0);
    let db = Database::at(place.through(proxy.port()));
    db.run(&["create", STORE]);
    let (mount, other) = (db.mount(), db.mount_with(&["--ttl", "0"]));
    let (store, elsewhere) = (mount.store(STORE), other.store(STORE));
    let (is_over, done, read) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let acknowledged: Vec<_> = thread::scope(|scope| {
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let (store, is_over, done) = (&store, &is_over, &done);
                scope.spawn(move || write_on(store, writer, is_over, done))
            })
            .collect();
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                for at in 0..RECORDS {
                    let Ok(seen) = fs::read(elsewhere.join(format!("0-{at}"))) else { continue };
                    if !seen.is_empty() {
                        number_of(&seen);
                        read.fetch_add(1, Ordering::SeqCst);
                    }
                }
            }
        });
        // Whatever fails here, those must not work for ever.
        struct Over<'a>(&'a AtomicBool);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let over = Over(&is_over);
        for round in 0..4 {
            let goes_on = |what: &str| {
                let before = (done.load(Ordering::SeqCst), read.load(Ordering::SeqCst));
                wait_until(what, || {
                    done.load(Ordering::SeqCst) > before.0 + 3
                        && read.load(Ordering::SeqCst) > before.1 + 3
                });
            };
            goes_on("work is done with all servers");
            kill(cluster, proxy, round);
            goes_on("work goes on without one");
            thread::sleep(Duration::from_millis(200));
        }
        drop(over);
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    drop((mount, other));
    let mount = db.mount();
    for (writer, numbers) in acknowledged.iter().enumerate() {
        for (at, number) in numbers.iter().enumerate().filter(|(_, number)| **number > 0) {
            let seen = fs::read(mount.store(STORE).join(format!("{writer}-{at}"))).unwrap();
            let found = number_of(&seen);
            assert!(found >= *number, "{found} where {number} was acknowledged");
        }
    }
    println!("{done:?} written, {read:?} read");
}

#[test]
fn p5_work_goes_on_without_one_of_the_volume_servers() {
    if !can_mount() {
        return;
    }
    let Some(cluster) = Cluster::start() else { return };
    let proxy = Proxy::to(cluster.gateway(0));
    goes_on(&cluster, &proxy, |cluster, _, round| {
        if round > 0 {
            cluster.start_again(&format!("volume-{}", (round - 1) % 3));
            // It has to tell the master what it has, before another may go: two of three have each object.
            thread::sleep(Duration::from_secs(8));
        }
        cluster.kill(&format!("volume-{}", round % 3));
    });
}

#[test]
fn p5_work_goes_on_without_one_of_the_gateways() {
    if !can_mount() {
        return;
    }
    let Some(cluster) = Cluster::start() else { return };
    let proxy = Proxy::to(cluster.gateway(0));
    goes_on(&cluster, &proxy, |cluster, proxy, round| {
        let (dead, live) = (round % 2, (round + 1) % 2);
        if round > 0 {
            cluster.start_again(&format!("s3-{live}"));
        }
        cluster.kill(&format!("s3-{dead}"));
        proxy.lead_to(cluster.gateway(live));
    });
}
