//! The lines that are kept for the readers of `@log`.

use std::collections::VecDeque;

/// So many bytes are kept. Who has not read them by then loses lines.
const MOST_BYTES: u64 = 1024 * 1024;

/// What the columns are, as the first line of all.
const HEADING: &str = "# time uid pid operation name result seconds\n";

/// The last lines, each with the place in the file at which it begins.
#[derive(Debug)]
pub(super) struct Lines {
    kept: VecDeque<(u64, Box<str>)>,
    /// The number of the first that is kept.
    first: u64,
    /// Where the next one begins.
    end: u64,
}

impl Lines {
    /// With the heading alone.
    pub(super) fn new() -> Self {
        let mut lines = Self { kept: VecDeque::new(), first: 0, end: 0 };
        lines.push(HEADING.into());
        lines
    }

    /// Adds a line, newline included.
    pub(super) fn push(&mut self, line: Box<str>) {
        let (begin, len) = (self.end, line.len() as u64);
        self.kept.push_back((begin, line));
        self.end = begin + len;
        while let Some((begin, _)) = self.kept.front()
            && self.end - begin > MOST_BYTES
            && self.kept.len() > 1
        {
            self.kept.pop_front();
            self.first += 1;
        }
    }

    /// The size of the file.
    pub(super) fn size(&self) -> u64 {
        self.end
    }

    fn get(&self, number: u64) -> Option<&str> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.kept.get(at).map(|(_, line)| &**line)
    }
}

/// How far one reader has come.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// The number of the next line.
    line: u64,
    /// What is left of those before it, or is said in between.
    rest: Vec<u8>,
    /// Where in the file it is, to itself.
    offset: u64,
}

impl Place {
    /// Goes on at another place in the file, as `tail` does. Where nobody has come from here, what is there is kept.
    pub(super) fn seek(&mut self, lines: &Lines, offset: u64) {
        if offset == self.offset {
            return;
        }
        self.offset = offset;
        // The first line that begins behind it; the one before has it inside.
        let behind = lines.kept.partition_point(|(begin, _)| *begin <= offset);
        self.line = lines.first + behind as u64;
        self.rest.clear();
        if let Some((begin, line)) = behind.checked_sub(1).and_then(|at| lines.kept.get(at)) {
            let inside = usize::try_from(offset - begin).unwrap_or(usize::MAX);
            self.rest.extend_from_slice(line.as_bytes().get(inside..).unwrap_or_default());
        }
    }

    /// Reads at most so many bytes; none if there is nothing new. Gives back how many lines are lost besides, which is
    /// said in their place.
    pub(super) fn read(&mut self, lines: &Lines, most: usize) -> (Vec<u8>, u64) {
        let lost = lines.first.saturating_sub(self.line);
        if lost > 0 {
            self.say(&format!("# {lost} lines are lost: they were not read in time\n"));
            self.line = lines.first;
        }
        while self.rest.len() < most
            && let Some(line) = lines.get(self.line)
        {
            self.rest.extend_from_slice(line.as_bytes());
            self.line += 1;
        }
        let bytes: Vec<u8> = self.rest.drain(..most.min(self.rest.len())).collect();
        self.offset += bytes.len() as u64;
        (bytes, lost)
    }

    /// Says something to this reader alone.
    pub(super) fn say(&mut self, line: &str) {
        self.rest.extend_from_slice(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(place: &mut Place, lines: &Lines, most: usize) -> String {
        String::from_utf8(place.read(lines, most).0).unwrap()
    }

    #[test]
    fn each_reader_gets_each_line_once_in_pieces_of_any_size() {
        let (mut lines, mut one, mut other) = (Lines::new(), Place::default(), Place::default());
        assert_eq!(text(&mut one, &lines, 1000), HEADING);
        lines.push("first\n".into());
        lines.push("second\n".into());
        assert_eq!(text(&mut one, &lines, 3), "fir");
        assert_eq!(text(&mut one, &lines, 1000), "st\nsecond\n");
        assert_eq!(text(&mut one, &lines, 1000), "");
        assert_eq!(text(&mut other, &lines, 1000), format!("{HEADING}first\nsecond\n"));
    }

    #[test]
    fn who_seeks_finds_what_is_at_that_place() {
        let (mut lines, mut place) = (Lines::new(), Place::default());
        lines.push("first\n".into());
        lines.push("second\n".into());
        let begin = HEADING.len() as u64;
        for (offset, found) in [(begin + 2, "rst\nsecond\n"), (begin + 6, "second\n"), (0, HEADING)]
        {
            place.seek(&lines, offset);
            assert!(text(&mut place, &lines, 1000).starts_with(found), "{offset}");
        }
        place.seek(&lines, lines.size());
        assert_eq!(text(&mut place, &lines, 1000), "");
        lines.push("third\n".into());
        assert_eq!(text(&mut place, &lines, 1000), "third\n");
    }

    #[test]
    fn who_is_too_slow_is_told_how_many_lines_are_lost() {
        let (mut lines, mut place) = (Lines::new(), Place::default());
        text(&mut place, &lines, 1000);
        let pushed = 30_000;
        for number in 0..pushed {
            lines.push(format!("{number:0>99}\n").into());
        }
        let kept = MOST_BYTES / 100;
        let (bytes, lost) = place.read(&lines, usize::MAX);
        assert_eq!(lost, pushed - kept);
        let text = String::from_utf8(bytes).unwrap();
        let mut told = text.lines();
        let first = told.next().unwrap();
        assert_eq!(first, format!("# {lost} lines are lost: they were not read in time"));
        assert_eq!(told.next().unwrap().trim_start_matches('0'), lost.to_string());
        assert_eq!(told.count() as u64, kept - 1);
    }
}
