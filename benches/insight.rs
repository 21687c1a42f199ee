//! What it costs each request that requests are counted: while nobody reads `@log`, alone and beside other threads, and
//! while somebody does.

// A harness may end with a panic; the lints are for the daemon.
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use storefs::backend::memory::MemoryBackend;
use storefs::engine::Storage;
use storefs::fs::{Caller, FileSystem, FsOptions, OpenMode, Operation, ROOT};

/// Threads that take requests from the kernel.
const SERVING: usize = 4;

criterion_group!(insight, count);
criterion_main!(insight);

fn count(criterion: &mut Criterion) {
    let storage = Storage::with_backend(Arc::new(MemoryBackend::new()), Some("INPUT".to_owned()));
    let fs = FileSystem::new(storage, FsOptions::default());
    let mut group = criterion.benchmark_group("count one request");
    group.bench_function("two looks at the clock alone", |bencher| {
        bencher.iter(|| black_box(Instant::now()).elapsed());
    });
    group.bench_function("nobody reads @log", |bencher| bencher.iter(|| request(&fs)));
    group.bench_function("nobody reads @log, beside three other threads", |bencher| {
        let is_done = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 1..SERVING {
                scope.spawn(|| {
                    while !is_done.load(Ordering::Relaxed) {
                        request(&fs);
                    }
                });
            }
            bencher.iter(|| request(&fs));
            is_done.store(true, Ordering::Relaxed);
        });
    });
    let log = fs.lookup(&caller(), ROOT, b"@log").unwrap().attr.ino;
    let mode = OpenMode { read: true, ..OpenMode::default() };
    let opened = fs.open(&caller(), log, mode).unwrap();
    group.bench_function("somebody reads @log", |bencher| bencher.iter(|| request(&fs)));
    fs.release(opened.handle);
    group.finish();
}

fn request(fs: &FileSystem) {
    let asked = fs.asked(&caller(), Operation::Lookup, ROOT, Some(black_box(b"record")));
    fs.answered(black_box(asked), 0);
}

fn caller() -> Caller {
    Caller { uid: 0, gid: 0, thread: 1 }
}
