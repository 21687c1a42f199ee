//! What has to go so that the rest has room, and that nobody reads it.

use std::os::unix::fs::MetadataExt;
use std::sync::atomic::AtomicBool;

use super::*;
use crate::backend::spool::parts::state::{Loss, Step};

/// A value of which all is here.
fn whole(seed: u64, size: u64, fetch: Arc<dyn FetchPart>, cache: &Arc<PartCache>) -> Arc<Parted> {
    let file = file();
    file.write_all_at(&bytes(seed, 0..size), 0).unwrap();
    Parted::whole(file, size, fetch, cache)
}

/// Bytes that the files of some values take on disk.
fn on_disk(values: &[Arc<Parted>]) -> u64 {
    values.iter().map(|parted| parted.kept.file.metadata().unwrap().blocks() * 512).sum()
}

#[test]
fn ten_values_are_read_through_a_cache_smaller_than_one_by_several_at_once() {
    const VALUES: u64 = 10;
    const PARTS: u64 = 10;
    const ROOM: u64 = 4 * PART;
    let cache = PartCache::with_parts_of(PART, ROOM);
    let readers = 6;
    let size = PARTS * PART - 100;
    let values: Vec<_> = (0..VALUES).map(|seed| value(size, Threads::of(seed), &cache)).collect();
    let is_over = AtomicBool::new(false);
    // One part more for each reader, as the documentation says.
    let most = ROOM + readers * PART;
    thread::scope(|scope| {
        let reading: Vec<_> = (0..readers)
            .map(|reader| {
                let values = &values;
                scope.spawn(move || {
                    for (seed, parted) in (0..).zip(values.iter()) {
                        let step = 20_000 + reader * 777;
                        for number in 0..size.div_ceil(step) {
                            // Some from front to back, some all over the place.
                            let stride = if reader % 2 == 0 { 1 } else { 7 };
                            let at = number * stride * step % size;
                            check(parted, seed, at..at + step);
                        }
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                let counted = counted(&cache);
                assert!(counted <= most, "{counted} bytes");
                // The file system needs some for itself.
                let taken = on_disk(&values);
                assert!(taken <= most + VALUES * 16 * 1024, "{taken} bytes on disk");
                thread::yield_now();
            }
        });
        let outcomes: Vec<_> = reading.into_iter().map(|reader| reader.join()).collect();
        is_over.store(true, Ordering::SeqCst);
        assert!(outcomes.iter().all(Result::is_ok));
    });
    until(|| cache.state.lock().checked().1 == 0);
    assert!(counted(&cache) <= ROOM && on_disk(&values) <= ROOM + VALUES * 16 * 1024);
    drop(values);
    until(|| counted(&cache) == 0);
}

#[test]
fn one_reader_from_front_to_back_fetches_each_part_once_however_small_the_cache() {
    for room in [0, PART / 2, PART, 3 * PART, 20 * PART] {
        let cache = PartCache::with_parts_of(PART, room);
        let fetch = Threads::of(1);
        let parted = value(40 * PART, Arc::clone(&fetch) as _, &cache);
        let step = if room < PART { PART } else { PART / 4 };
        for number in 0..40 * PART / step {
            check(&parted, 1, number * step..(number + 1) * step);
        }
        let mut parts = fetch.parts();
        parts.sort_unstable();
        assert_eq!(parts, (0..40).collect::<Vec<_>>(), "with room for {room} bytes");
        until(|| cache.state.lock().checked().1 == 0);
        assert!(counted(&cache) <= room);
    }
}

#[test]
fn what_was_used_longest_ago_goes_first_whosever_it_is() {
    let cache = PartCache::with_parts_of(PART, 3 * PART);
    let fetches = [1, 2, 3].map(Threads::of);
    let [one, two, three] =
        [0, 1, 2].map(|at| whole(at + 1, PART, Arc::clone(&fetches[at as usize]) as _, &cache));
    // As a reader that has gone again: of one that is seen more would be kept.
    drop(Pin::new(&one.kept, 0));
    let other = value(100 * PART, Threads::of(4), &cache);
    check(&other, 4, 0..1);
    assert!(one.has(0, PART) && !two.has(0, 1) && three.has(0, PART));
    check(&other, 4, 50 * PART..50 * PART + 1);
    assert!(one.has(0, PART) && !three.has(0, 1));
    assert!(fetches.iter().all(|fetch| fetch.parts().is_empty()));
    check(&two, 2, 0..PART);
    assert_eq!(fetches[1].parts(), [0]);
}

#[test]
fn a_part_does_not_go_under_who_reads_it() {
    let cache = PartCache::with_parts_of(PART, PART);
    let parted = whole(1, PART, Threads::of(1), &cache);
    let other = value(PART, Threads::of(2), &cache);
    {
        // As a reader that is about to copy.
        let _pin = Pin::new(&parted.kept, 0);
        check(&other, 2, 0..PART);
        let mut buffer = vec![0; usize::try_from(PART).unwrap()];
        parted.copy(&mut buffer, 0).unwrap();
        assert!(buffer == bytes(1, 0..PART));
        // The other part has gone again, since it was over the bound.
        until(|| counted(&cache) == PART);
        assert!(!other.has(0, 1) && parted.has(0, PART));
    }
    check(&other, 2, 0..PART);
    assert!(!parted.has(0, 1));
    check(&parted, 1, 0..PART);
}

#[test]
fn a_part_that_is_going_is_neither_read_nor_fetched_before_it_is_gone() {
    let cache = PartCache::with_parts_of(PART, 4 * PART);
    let (fetch, requests) = by_hand();
    let parted = whole(1, PART, fetch, &cache);
    let number = parted.kept.number;
    // As a thread that is about to give its bytes back.
    let victim = cache.state.lock().choose(Loss::Nothing).unwrap();
    assert!(!parted.has(0, 1));
    thread::scope(|scope| {
        scope.spawn(|| check(&parted, 1, 0..PART));
        until(|| pins(&parted, 0) == 1);
        let mut state = cache.state.lock();
        assert!(matches!(state.want(number, 0, 1, &mut 0), Step::Wait));
        assert!(matches!(state.want_soon(number, 0, PART), Step::Ready));
        drop(state);
        assert!(requests.try_recv().is_err());
        cache.evict(&victim);
        let (range, arriving) = requests.recv().unwrap();
        assert_eq!(range, 0..PART);
        arriving.done(Ok(bytes(1, range)));
    });
    assert_eq!(counted(&cache), PART);
}

#[test]
fn a_part_stays_for_who_has_begun_to_wait_for_it_until_the_last_has_copied() {
    let cache = PartCache::with_parts_of(PART, PART);
    let (fetch, requests) = by_hand();
    let parted = value(PART, fetch, &cache);
    let other = value(PART, Threads::of(2), &cache);
    // As a reader that has not been woken up yet.
    let pin = Pin::new(&parted.kept, 0);
    thread::scope(|scope| {
        scope.spawn(|| check(&parted, 1, 0..PART));
        let (range, arriving) = requests.recv().unwrap();
        arriving.done(Ok(bytes(1, range)));
    });
    check(&other, 2, 0..PART);
    assert!(parted.has(0, PART));
    drop(pin);
    check(&other, 2, 0..PART);
    assert!(!parted.has(0, 1));
}

#[test]
fn readahead_takes_no_room_from_what_others_are_about_to_read() {
    let cache = PartCache::with_parts_of(PART, 4 * PART);
    let (one, other) = (Threads::of(1), Threads::of(2));
    let first = value(40 * PART, Arc::clone(&one) as _, &cache);
    let second = value(40 * PART, Arc::clone(&other) as _, &cache);
    let idle = || until(|| cache.state.lock().checked().1 == 0);
    // Parts 0 and 1 are here, and the reader is at the end of part 0.
    check(&first, 1, 0..PART / 2);
    check(&first, 1, PART / 2..PART - 100);
    idle();
    for half in 0..4 {
        check(&second, 2, half * PART / 2..(half + 1) * PART / 2);
        idle();
    }
    assert!(first.has(PART, PART));
    check(&first, 1, PART - 100..PART + 100);
    assert!(!one.parts()[2..].contains(&1));
}

#[test]
fn a_version_that_cannot_come_again_goes_last() {
    let cache = PartCache::with_parts_of(PART, 3 * PART);
    let (fetch, requests) = by_hand();
    let first = bytes(1, 0..PART);
    let gone = Parted::begin(file(), 2 * PART, &first, fetch, &cache).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| gone.read_at(&mut [0; 1], PART).unwrap_err());
        let error = Error::RecordReplaced { store: "s".to_owned(), key: "k".to_owned() };
        requests.recv().unwrap().1.done(Err::<Vec<u8>, _>(error));
    });
    let other = value(40 * PART, Threads::of(2), &cache);
    check(&other, 2, 0..20 * PART);
    check(&gone, 1, 0..PART);
}

#[test]
fn what_the_file_system_cannot_give_back_stays_and_counts() {
    let cache = PartCache::with_parts_of(PART, PART);
    let made = tempfile::NamedTempFile::new().unwrap();
    made.as_file().write_all_at(&bytes(1, 0..2 * PART), 0).unwrap();
    // Nothing can be given back by who may only read.
    let parted = Parted::whole(File::open(made.path()).unwrap(), 2 * PART, Threads::of(9), &cache);
    assert_eq!(counted(&cache), 2 * PART);
    check(&parted, 1, 0..2 * PART);
    let other = value(2 * PART, Threads::of(2), &cache);
    check(&other, 2, 0..2 * PART);
    until(|| counted(&cache) == 2 * PART);
    drop(parted);
    assert_eq!(counted(&cache), 0);
}

#[test]
fn where_the_disk_is_full_others_go_and_if_that_does_not_help_the_reader_is_told() {
    let cache = PartCache::with_parts_of(PART, 100 * PART);
    let other = whole(2, 3 * PART, Threads::of(2), &cache);
    let full = File::options().read(true).write(true).open("/dev/full").unwrap();
    let parted = Parted::begin(full, PART, b"", Threads::of(1), &cache).unwrap();
    let error = parted.read_at(&mut [0; 10], 0).unwrap_err();
    let is_full =
        matches!(&error, Error::Io { source, .. } if source.raw_os_error() == Some(libc::ENOSPC));
    assert!(is_full, "{error}");
    assert!(parted.is_sound() && !other.has(0, 1) && on_disk(&[Arc::clone(&other)]) < PART);
    until(|| counted(&cache) == 0);
    check(&other, 2, 0..3 * PART);
    let full = File::options().read(true).write(true).open("/dev/full").unwrap();
    let refused = Parted::begin(full, PART, b"abc", Threads::of(1), &cache).unwrap_err();
    assert!(matches!(refused, Error::Io { .. }));
}
