//! Who reads what, what is asked for, and what is told when it does not come.

use std::time::Duration;

use super::streams::MOST_IN_FLIGHT;
use super::*;

const ROOM: u64 = 1024 * PART;

#[test]
fn the_parts_of_a_read_are_asked_for_at_once_and_come_in_any_order() {
    let cache = PartCache::with_parts_of(PART, ROOM);
    let (fetch, requests) = by_hand();
    let size = 3 * PART + 100;
    let parted = value(size, fetch, &cache);
    let reading = Arc::clone(&parted);
    let reader = thread::spawn(move || check(&reading, 1, 10..ROOM));
    let asked: Vec<_> = (0..4).map(|_| requests.recv().unwrap()).collect();
    let ranges: Vec<_> = asked.iter().map(|(range, _)| range.clone()).collect();
    assert_eq!(ranges, [0..PART, PART..2 * PART, 2 * PART..3 * PART, 3 * PART..size]);
    for (range, arriving) in asked.into_iter().rev() {
        arriving.done(Ok(bytes(1, range)));
    }
    reader.join().unwrap();
    assert_eq!((cache.present(), counted(&cache)), (size, size));
    assert!(parted.has(0, u64::MAX) && parted.has(size, 1) && parted.is_sound());
    assert_eq!(parted.read_at(&mut [0; 4], size).unwrap(), 0);
}

#[test]
fn a_reader_gets_the_bytes_that_it_wants_before_the_rest_of_the_part_has_come() {
    let cache = PartCache::with_parts_of(PART, ROOM);
    let (fetch, requests) = by_hand();
    let parted = value(PART, fetch, &cache);
    let reading = Arc::clone(&parted);
    let reader = thread::spawn(move || check(&reading, 1, 0..100));
    let (_, mut arriving) = requests.recv().unwrap();
    assert!(arriving.take(&[bytes(1, 0..60)]) && arriving.take(&[bytes(1, 60..200)]));
    reader.join().unwrap();
    assert!(parted.has(100, 100) && !parted.has(100, 101));
    assert_eq!((cache.present(), counted(&cache)), (200, PART));
}

#[test]
fn a_random_read_fetches_its_own_parts_alone() {
    let cache = PartCache::with_parts_of(PART, ROOM);
    let fetch = Threads::of(1);
    let parted = value(100 * PART, Arc::clone(&fetch) as _, &cache);
    for part in [70, 20, 40, 90, 10, 60] {
        check(&parted, 1, part * PART + 5..part * PART + 2000);
        assert_eq!(fetch.parts(), [part]);
    }
    check(&parted, 1, 31 * PART - 5..31 * PART + 5);
    assert_eq!(fetch.parts(), [30, 31]);
    // What is here is not fetched again.
    check(&parted, 1, 70 * PART..71 * PART);
    assert!(fetch.parts().is_empty());
}

#[test]
fn readahead_grows_up_to_its_window_and_no_further() {
    let cache = PartCache::with_parts_of(PART, ROOM);
    let fetch = Threads::of(1);
    let parted = value(40 * PART, Arc::clone(&fetch) as _, &cache);
    let mut asked = Vec::new();
    for half in 0..6 {
        check(&parted, 1, half * PART / 2..(half + 1) * PART / 2);
        asked.push(fetch.parts());
        // What is in flight would count against the window.
        until(|| cache.state.lock().checked().1 == 0);
    }
    // Of the last ones no more than may be in flight, and the others with the next read.
    let last: Vec<u64> = asked.split_off(4).concat();
    assert_eq!(last, (9..18).collect::<Vec<u64>>());
    let first: [&[u64]; 4] = [&[0], &[1], &[2, 3, 4], &[5, 6, 7, 8]];
    assert_eq!(asked, first);
}

#[test]
fn as_many_parts_are_in_flight_while_a_reader_waits_for_the_first() {
    let cache = PartCache::with_parts_of(PART, ROOM);
    let (fetch, requests) = by_hand();
    let parted = value(100 * PART, fetch, &cache);
    thread::scope(|scope| {
        scope.spawn(|| check(&parted, 1, 0..9 * PART));
        let mut asked: Vec<_> = (0..8).map(|_| requests.recv().unwrap()).collect();
        let (range, arriving) = asked.pop().unwrap();
        arriving.done(Ok(bytes(1, range)));
        let next = requests.recv_timeout(Duration::from_secs(60));
        asked.push(next.expect("the next one is asked for in its place"));
        for (range, arriving) in asked {
            arriving.done(Ok(bytes(1, range)));
        }
    });
}

#[test]
fn no_more_parts_of_a_value_are_in_flight_than_may_be() {
    let cache = PartCache::with_parts_of(PART, ROOM);
    let fetch = Threads::of(1);
    let parted = value(100 * PART, Arc::clone(&fetch) as _, &cache);
    check(&parted, 1, 0..50 * PART);
    thread::scope(|scope| {
        for part in 50..80 {
            let parted = &parted;
            scope.spawn(move || check(parted, 1, part * PART..part * PART + 100));
        }
    });
    assert_eq!(fetch.most.load(Ordering::SeqCst), MOST_IN_FLIGHT);
}

#[test]
fn two_readers_of_a_part_cause_one_fetch() {
    let cache = PartCache::with_parts_of(PART, ROOM);
    let (fetch, requests) = by_hand();
    let parted = value(PART, fetch, &cache);
    thread::scope(|scope| {
        for offset in [0, 500] {
            let parted = &parted;
            scope.spawn(move || check(parted, 1, offset..offset + 100));
        }
        until(|| pins(&parted, 0) == 2);
        let (range, arriving) = requests.recv().unwrap();
        arriving.done(Ok(bytes(1, range)));
    });
    assert!(requests.try_recv().is_err());
}

#[test]
fn first_bytes_that_end_within_a_part_are_there_and_the_rest_of_it_is_fetched() {
    let cache = PartCache::with_parts_of(PART, ROOM);
    let fetch = Threads::of(1);
    let known = PART + 100;
    let first = bytes(1, 0..known);
    let parted = Parted::begin(file(), 3 * PART, &first, Arc::clone(&fetch) as _, &cache).unwrap();
    assert!(parted.has(0, known) && !parted.has(0, known + 1));
    check(&parted, 1, PART - 50..known);
    assert!(fetch.parts().is_empty());
    check(&parted, 1, PART + 50..PART + 200);
    assert_eq!(fetch.asked.lock().as_slice(), std::slice::from_ref(&(known..2 * PART)));
    let too_much = Parted::begin(file(), 99, &first, fetch, &cache).unwrap_err();
    assert!(matches!(too_much, Error::Backend { kind: BackendErrorKind::Damaged, .. }));
}

fn unreachable() -> Error {
    Error::backend(BackendErrorKind::Unreachable, "reach the bucket", "it is gone")
}

#[test]
fn an_error_is_told_to_all_who_wait_and_the_next_read_tries_anew() {
    let cache = PartCache::with_parts_of(PART, ROOM);
    let (fetch, requests) = by_hand();
    let parted = value(PART, fetch, &cache);
    thread::scope(|scope| {
        let readers = [0, 500].map(|offset| {
            let parted = &parted;
            scope.spawn(move || parted.read_at(&mut [0; 100], offset).unwrap_err())
        });
        until(|| pins(&parted, 0) == 2);
        let (_, mut arriving) = requests.recv().unwrap();
        assert!(arriving.take(&[bytes(1, 0..10)]));
        arriving.end(Err(unreachable()));
        for reader in readers {
            let error = reader.join().unwrap();
            assert!(error.is_passing() && error.to_string() == unreachable().to_string());
        }
    });
    assert!(parted.is_sound());
    // What has come before is not asked for again.
    thread::scope(|scope| {
        scope.spawn(|| check(&parted, 1, 0..100));
        let (range, arriving) = requests.recv().unwrap();
        assert_eq!(range, 10..PART);
        arriving.done(Ok(bytes(1, range)));
    });
}

#[test]
fn readahead_that_fails_is_nobodys_error() {
    let cache = PartCache::with_parts_of(PART, ROOM);
    let (fetch, requests) = by_hand();
    let parted = value(2 * PART, fetch, &cache);
    let answer = |is_right: bool| {
        let (range, arriving) = requests.recv().unwrap();
        arriving.done(if is_right { Ok(bytes(1, range)) } else { Err(unreachable()) });
    };
    thread::scope(|scope| {
        let reader = scope.spawn(|| check(&parted, 1, 0..PART));
        answer(true);
        reader.join().unwrap();
    });
    // Asks for the next part, and waits for nothing.
    check(&parted, 1, PART - 100..PART);
    answer(false);
    thread::scope(|scope| {
        scope.spawn(|| check(&parted, 1, PART..2 * PART));
        answer(true);
    });
}

#[test]
fn what_is_here_of_a_version_that_is_gone_stays_readable_and_the_rest_fails_for_ever() {
    let cache = PartCache::with_parts_of(PART, ROOM);
    let (fetch, requests) = by_hand();
    let first = bytes(1, 0..PART);
    let parted = Parted::begin(file(), 3 * PART, &first, fetch, &cache).unwrap();
    let is_replaced = |offset| {
        let error = parted.read_at(&mut [0; 10], offset).unwrap_err();
        matches!(error, Error::RecordReplaced { store, key } if store == "s" && key == "k")
    };
    thread::scope(|scope| {
        let reader = scope.spawn(|| is_replaced(PART));
        let gone = Error::RecordReplaced { store: "s".to_owned(), key: "k".to_owned() };
        requests.recv().unwrap().1.done(Err::<Vec<u8>, _>(gone));
        assert!(reader.join().unwrap());
    });
    assert!(!parted.is_sound() && is_replaced(PART) && is_replaced(2 * PART));
    assert!(requests.try_recv().is_err());
    check(&parted, 1, 0..PART);
    // A read that goes beyond what is here gives none of it.
    assert!(is_replaced(PART - 5));
}

#[test]
fn too_few_and_too_many_bytes_and_a_fetch_without_a_word_are_errors() {
    let cache = PartCache::with_parts_of(PART, ROOM);
    let (fetch, requests) = by_hand();
    let parted = value(PART, fetch, &cache);
    let told = |answer: &dyn Fn(Range<u64>, Arriving)| {
        thread::scope(|scope| {
            let reader = scope.spawn(|| parted.read_at(&mut [0; 10], PART - 10).unwrap_err());
            let (range, arriving) = requests.recv().unwrap();
            answer(range, arriving);
            match reader.join().unwrap() {
                Error::Backend { kind, .. } => kind,
                other => panic!("{other}"),
            }
        })
    };
    let one_more = |range: Range<u64>, arriving: Arriving| {
        arriving.done(Ok(bytes(1, range.start..range.end + 1)));
    };
    let one_less = |range: Range<u64>, arriving: Arriving| {
        arriving.done(Ok(bytes(1, range.start..range.end - 1)));
    };
    assert_eq!(told(&one_more), BackendErrorKind::Damaged);
    assert_eq!(told(&|_, arriving| drop(arriving)), BackendErrorKind::Other);
    assert_eq!(told(&one_less), BackendErrorKind::Damaged);
    assert_eq!((cache.present(), counted(&cache)), (PART - 1, PART - 1));
}

#[test]
fn nothing_is_taken_for_a_value_that_nobody_has() {
    let cache = PartCache::with_parts_of(PART, ROOM);
    let (fetch, requests) = by_hand();
    let first = bytes(1, 0..PART);
    let parted = Parted::begin(file(), 3 * PART, &first, fetch, &cache).unwrap();
    check(&parted, 1, 0..PART / 2);
    check(&parted, 1, PART / 2..PART);
    let (range, mut arriving) = requests.recv().unwrap();
    assert!(arriving.take(&[bytes(1, range.start..range.start + 10)]));
    assert_eq!((cache.present(), counted(&cache)), (PART + 10, 2 * PART));
    drop(parted);
    assert_eq!((cache.present(), counted(&cache)), (0, 0));
    assert!(!arriving.take(&[bytes(1, range.start + 10..range.end)]));
    arriving.end(Ok(()));
    assert_eq!((cache.present(), counted(&cache)), (0, 0));
}
