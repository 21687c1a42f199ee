//! Names in the staging directory: any name is a note or none, and a note's name says what it was made of.

#![no_main]

use libfuzzer_sys::fuzz_target;
use storefs::backend::directory::fuzzing::{note_name, parse_note};

/// Longest name of a file in bytes.
const NAME_MAX: usize = 255;

fuzz_target!(|input: (u64, u64, u8, &[u8])| {
    let (serial, number, step, name) = input;
    // What whoever can write there has put there.
    if let Some((step, number, subject)) = parse_note(name) {
        let again = note_name(serial, step, number, subject.as_deref().unwrap_or_default());
        let (step_again, number_again, subject_again) = parse_note(&again.unwrap()).unwrap();
        assert_eq!((step_again, number_again), (step, number));
        // Left out where the name would be too long.
        assert!(
            subject_again.is_none()
                || subject_again.as_deref() == Some(subject.as_deref().unwrap_or_default())
        );
    }

    // What storefs puts there.
    let step = usize::from(step % 3);
    let note = note_name(serial, step, number, name).unwrap();
    assert!(note.len() <= NAME_MAX);
    let (step_read, number_read, subject) = parse_note(&note).unwrap();
    assert_eq!((step_read, number_read), (step, number));
    match subject {
        Some(subject) => assert_eq!(subject, name),
        None => assert!(note.len() + 1 + name.len() > NAME_MAX),
    }
});
