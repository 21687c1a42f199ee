//! What is fetched of a version by what is staged over it, and when.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use storefs::backend::Value;
use storefs::engine::PublishAs;
use storefs::model::{ContentType, Error, RecordType};

use super::{Room, bytes_of, key, read, replaced};

const SIZE: usize = 1 << 20;

fn room_with_value() -> (Room, Arc<dyn Value>) {
    let room = Room::new();
    let value = room.put(&key("a"), &[b'o'; SIZE], RecordType::given(ContentType::bytes()));
    (room, value)
}

#[test]
fn what_nobody_asks_for_is_not_fetched() {
    let (room, value) = room_with_value();
    let staged = room.over(&value);
    let size = SIZE as u64;
    assert_eq!(staged.attributes().unwrap().size, size);
    assert!(staged.attributes().unwrap().blocks >= size / 512, "it is no hole to anybody");
    staged.write_at(b"end", size).unwrap();
    staged.write_at(b"new", 1000).unwrap();
    staged.zero(5000, 1000).unwrap();
    staged.reserve(0, 2 * size, true).unwrap();
    assert_eq!(
        (staged.next_data(7000).unwrap(), staged.next_hole(7000).unwrap()),
        (7000, size + 3)
    );
    staged.set_len(size - 100_000).unwrap();
    assert_eq!(room.far.read(), []);
    let kept = staged.kept().unwrap();
    assert!(Arc::ptr_eq(&kept.value, &value));
    assert_eq!(kept.ranges, [0..1000, 1003..5000, 6000..size - 100_000]);

    assert_eq!(read(&staged, 998..1005), b"oonewoo");
    assert_eq!(room.far.read(), [998..1000, 1003..1005]);
    assert!(!staged.has(998, 4) && staged.has(1000, 3) && staged.has(5000, 1000));
    assert_eq!(read(&staged, 1000..1003), b"new");
    assert_eq!(read(&staged, 5500..5503), [0; 3]);
    assert_eq!(room.far.read(), []);
}

#[test]
fn what_is_filled_is_fetched_once() {
    let (room, value) = room_with_value();
    let staged = room.over(&value);
    staged.write_at(b"new", 1000).unwrap();
    staged.fill(900..1100).unwrap();
    assert_eq!(room.far.read(), [900..1000, 1003..1100]);
    assert_eq!(staged.kept().unwrap().ranges, [0..900, 1100..SIZE as u64]);
    staged.fill(900..1100).unwrap();
    let middle = read(&staged, 990..1010);
    assert_eq!(room.far.read(), []);
    assert_eq!(middle, b"oooooooooonewooooooo");
    staged.fill(0..u64::MAX).unwrap();
    assert!(staged.kept().is_none());
    room.far.read();
    let mut expected = vec![b'o'; SIZE];
    expected[1000..1003].copy_from_slice(b"new");
    assert!(bytes_of(&staged) == expected);
    assert_eq!(room.far.read(), [], "the version is let go of");
}

#[test]
fn a_version_of_which_nothing_is_kept_is_let_go_of() {
    let (room, value) = room_with_value();
    let staged = room.over(&value);
    let shares = Arc::strong_count(&value);
    staged.set_len(10).unwrap();
    assert_eq!(Arc::strong_count(&value), shares);
    staged.write_at(&[b'n'; 10], 0).unwrap();
    assert_eq!(Arc::strong_count(&value), shares - 1);
}

#[test]
fn a_copy_is_one_also_of_what_is_far() {
    let (room, value) = room_with_value();
    let staged = room.store.stage().unwrap();
    assert!(staged.copy_from(&*value, SIZE as u64).unwrap());
    assert!(staged.kept().is_none());
    room.far.fail(Some(replaced));
    assert!(bytes_of(&staged) == [b'o'; SIZE]);
}

#[test]
fn p06_nobody_reads_zeros_for_bytes_that_are_far() {
    const PIECE: u64 = 128 * 1024;
    let (room, value) = room_with_value();
    for _ in 0..100 {
        let staged = room.over(&value);
        let at = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    loop {
                        let now = at.load(Ordering::Relaxed);
                        if now >= SIZE as u64 {
                            break;
                        }
                        // The last of it, which is written last; and few, so as to look often.
                        let bytes = read(&staged, now + PIECE - 4..now + PIECE);
                        assert!(bytes == b"oooo" || bytes == b"nnnn", "{bytes:?} at {now}");
                    }
                });
            }
            while at.load(Ordering::Relaxed) < SIZE as u64 {
                staged.write_at(&[b'n'; PIECE as usize], at.load(Ordering::Relaxed)).unwrap();
                at.fetch_add(PIECE, Ordering::Relaxed);
            }
        });
        assert!(bytes_of(&staged) == [b'n'; SIZE]);
    }
}

#[test]
fn p06_a_fill_overwrites_nothing_that_is_written_meanwhile() {
    let (room, value) = room_with_value();
    for _ in 0..20 {
        let staged = room.over(&value);
        let is_done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                for piece in (0..SIZE).step_by(8192).rev() {
                    staged.write_at(&[b'n'; 5000], piece as u64).unwrap();
                }
                is_done.store(true, Ordering::Relaxed);
            });
            // Piece by piece, in the opposite direction, so that they meet.
            let mut pieces = (0..SIZE as u64).step_by(3000).cycle();
            while !is_done.load(Ordering::Relaxed) {
                let piece = pieces.next().unwrap();
                staged.fill(piece..piece + 3000).unwrap();
            }
        });
        let bytes = bytes_of(&staged);
        let is_new = |at: usize| at % 8192 < 5000;
        let wrong = bytes.iter().enumerate().find(|(at, byte)| (**byte == b'n') != is_new(*at));
        assert_eq!(wrong, None);
    }
}

#[test]
fn p07_what_was_not_fetched_of_a_version_that_is_gone_fails_and_nothing_is_torn() {
    let (room, value) = room_with_value();
    let staged = room.over(&value);
    staged.write_at(b"new", 1000).unwrap();
    room.far.fail(Some(replaced));
    let mut buffer = [0; 10];
    let error = staged.read_at(&mut buffer, 995).unwrap_err();
    assert!(matches!(error, Error::RecordReplaced { .. }), "{error:?}");
    assert_eq!(staged.read_at(&mut buffer[..3], 1000).unwrap(), 3, "what is here is still read");
    let error = staged.fill(0..2000).unwrap_err();
    assert!(matches!(error, Error::RecordReplaced { .. }), "{error:?}");
    let publish = PublishAs::default();
    let failed = room.store.publish(&key("a"), staged, &publish);
    let (error, staged) = failed.err().unwrap();
    assert!(matches!(error, Error::RecordReplaced { .. }), "{error:?}");

    room.far.fail(None);
    assert_eq!(read(&staged, 998..1005), b"oonewoo", "what is staged stays as it was");
    let there = room.store.open_value(&key("a")).unwrap();
    assert_eq!(there.attributes().unwrap().stamp, value.attributes().unwrap().stamp);
    room.store.publish(&key("a"), staged, &publish).unwrap();
    let mut buffer = [0; 7];
    room.store.open_value(&key("a")).unwrap().read_at(&mut buffer, 998).unwrap();
    assert_eq!(&buffer, b"oonewoo");
}
