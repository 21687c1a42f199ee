//! Large values: sequential, random, mapped.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::{Context, GROUP, Group, READERS, Row, Values, fresh, seconds, shared_file};
use crate::subjects::Subject;
use crate::sys::{self, Result, close};

const STORE: &str = "large-values";
const NAME: &str = "large";

const READ: [Row; 1] = [seconds("read-1g", "sequential read of {1024 MiB}, warm")];
const READ_HALF: [Row; 1] = [seconds("read-512m", "sequential read of {512 MiB}, in RAM")];
const RANDOM: [Row; 2] = [
    seconds("random-1", "random read of 4 KiB, 1 job"),
    seconds("random-2", "random read of 4 KiB, 2 jobs"),
];
const MAPPED: [Row; 1] = [seconds("mmap", "mmap read of {512 MiB}")];
const WRITE: [Row; 1] = [seconds("write-1g", "sequential write of {1024 MiB} with close")];

pub(super) const GROUPS: [Group; 5] = [
    Group { rows: &READ, run: read_whole, ..READING },
    Group { rows: &READ_HALF, run: read_half, ..READING },
    Group { rows: &RANDOM, run: random, ..READING },
    Group { rows: &MAPPED, run: mapped, ..READING },
    Group { rows: &WRITE, run: write, ..GROUP },
];

const READING: Group = Group { subjects: &READERS, prepare, finish, ..GROUP };

fn prepare(context: &Context, subject: &Subject) -> Result<()> {
    let shared = shared_file(context);
    let size = context.sized(1024);
    if fs::metadata(&shared).map_or(0, |metadata| metadata.len()) != size as u64 {
        write_file(&shared, size)?;
        rustix::fs::sync();
    }
    subject.link(STORE, NAME, &shared)
}

fn finish(_context: &Context, subject: &Subject) -> Result<()> {
    subject.remove(STORE)
}

fn file(subject: &Subject) -> PathBuf {
    subject.store(STORE).join(NAME)
}

fn write_file(path: &Path, size: usize) -> Result<()> {
    // Not all zeroes, which a file system may keep as a hole.
    let block: Vec<u8> = (0..1024 * 1024).map(|at| (at * 7 % 251) as u8 + 1).collect();
    let mut file = File::create(path)?;
    for _ in 0..size / block.len() {
        file.write_all(&block)?;
    }
    close(OwnedFd::from(file))
}

fn read(path: &Path, size: usize) -> Result<()> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 128 * 1024];
    let mut total = 0;
    while total < size {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Err(format!("{} ended after {total} bytes", path.display()).into());
        }
        total += black_box(count);
    }
    Ok(())
}

/// The second of two passes.
fn second_pass(subject: &Subject, size: usize) -> Result<f64> {
    let path = file(subject);
    read(&path, size)?;
    sys::seconds(|| read(&path, size))
}

fn read_whole(context: &Context, subject: &mut Subject) -> Result<Values> {
    Ok(vec![("read-1g", second_pass(subject, context.sized(1024))?)])
}

fn read_half(context: &Context, subject: &mut Subject) -> Result<Values> {
    Ok(vec![("read-512m", second_pass(subject, context.sized(512))?)])
}

fn random(context: &Context, subject: &mut Subject) -> Result<Values> {
    let (path, size) = (file(subject), context.sized(512));
    let reads = context.scaled(100_000);
    read(&path, size)?;
    let one = sys::seconds(|| random_reads(&path, size, reads, 1))?;
    let two = sys::seconds(|| {
        std::thread::scope(|scope| {
            let other = scope.spawn(|| random_reads(&path, size, reads, 2));
            random_reads(&path, size, reads, 3)?;
            other.join().map_err(|_| "a reader panicked")?
        })
    })?;
    Ok(vec![("random-1", one / reads as f64), ("random-2", two / (2 * reads) as f64)])
}

fn random_reads(path: &Path, size: usize, reads: usize, seed: u64) -> Result<()> {
    const BLOCK: u64 = 4096;
    let file = File::open(path)?;
    let mut buffer = [0; BLOCK as usize];
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for _ in 0..reads {
        // Xorshift: as good as any for spreading reads over a file.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        file.read_exact_at(&mut buffer, state % (size as u64 / BLOCK) * BLOCK)?;
        black_box(&buffer);
    }
    Ok(())
}

fn mapped(context: &Context, subject: &mut Subject) -> Result<Values> {
    let (path, size) = (file(subject), context.sized(512));
    touch_pages(&path, size)?;
    Ok(vec![("mmap", sys::seconds(|| touch_pages(&path, size))?)])
}

fn touch_pages(path: &Path, size: usize) -> Result<()> {
    let file = File::open(path)?;
    // SAFETY: a new mapping of a file that is at least as long and that nobody shortens.
    let map = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            size,
            libc::PROT_READ,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        )
    };
    if map == libc::MAP_FAILED {
        return Err(std::io::Error::last_os_error().into());
    }
    // SAFETY: the mapping is `size` bytes long and lives until munmap below.
    let bytes = unsafe { std::slice::from_raw_parts(map.cast::<u8>(), size) };
    let mut sum = 0_u64;
    for page in bytes.chunks(4096) {
        sum += page.iter().step_by(64).map(|byte| u64::from(*byte)).sum::<u64>();
    }
    black_box(sum);
    // SAFETY: the slice is not used any more.
    unsafe { libc::munmap(map, size) };
    Ok(())
}

fn write(context: &Context, subject: &mut Subject) -> Result<Values> {
    let store = fresh("new-values");
    subject.make_store(&store)?;
    let path = subject.store(&store).join(NAME);
    let size = context.sized(1024);
    let taken = sys::seconds(|| write_file(&path, size))?;
    fs::remove_file(&path)?;
    subject.remove(&store)?;
    // What is still dirty must not slow the next subject down.
    rustix::fs::sync();
    Ok(vec![("write-1g", taken)])
}
