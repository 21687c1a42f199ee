//! The bytes of a large value: pieces of 1 MiB that do not compress, each with its number at its front.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use crate::sys::{Result, close};

pub(crate) const MIB: u64 = 1024 * 1024;

/// A piece.
pub(crate) fn piece(number: u64) -> Vec<u8> {
    let mut piece = noise().clone();
    piece[..8].copy_from_slice(&number.to_le_bytes());
    piece
}

fn noise() -> &'static Vec<u8> {
    static NOISE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    NOISE.get_or_init(|| bytes(usize::try_from(MIB).unwrap()))
}

/// Bytes that look like chance, the same each time.
pub(crate) fn bytes(len: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(len).collect()
}

/// Writes a file of so many bytes, and closes it.
pub(crate) fn write(path: &Path, size: u64) -> Result<()> {
    let mut file = File::create(path)?;
    let mut buffer = piece(0);
    for number in 0..size / MIB {
        buffer[..8].copy_from_slice(&number.to_le_bytes());
        file.write_all(&buffer)?;
    }
    close(file.into())
}

/// Reads a file from front to back, as `cat` would, and looks at each piece's number.
pub(crate) fn read(path: &Path, size: u64) -> Result<()> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; usize::try_from(MIB)?];
    for number in 0..size / MIB {
        file.read_exact(&mut buffer)?;
        if buffer[..8] != number.to_le_bytes() {
            return Err(format!("{}: other bytes came at {number} MiB", path.display()).into());
        }
    }
    match file.read(&mut buffer)? {
        0 => Ok(()),
        _ => Err(format!("{}: more bytes came", path.display()).into()),
    }
}
