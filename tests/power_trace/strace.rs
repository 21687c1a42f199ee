//! System calls as strace prints them, with all strings in hexadecimal.

use std::collections::BTreeMap;

/// The calls that change files or names, or make them durable; and `newfstatat`, which tells inode numbers as `statx` does.
pub(crate) const CALLS: &str = "openat,mkdirat,newfstatat,fstat,statx,renameat,renameat2,linkat,unlinkat,\
    write,pwrite64,writev,pwritev,pwritev2,copy_file_range,ftruncate,fallocate,ioctl,fsync,fdatasync,\
    syncfs,sync_file_range,symlinkat,mknodat,creat,open,rename,link,unlink,mkdir,rmdir,truncate";

/// A call that succeeded, or a look at a name that is not there.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) arguments: Vec<String>,
    /// What it gave back; -1 if it failed.
    pub(crate) result: i64,
}

/// All calls of a trace, in the order in which they ended.
pub(crate) fn parse(trace: &str) -> Vec<Call> {
    let mut begun: BTreeMap<&str, String> = BTreeMap::new();
    let mut calls = Vec::new();
    for line in trace.lines() {
        let (thread, text) = line.split_once(char::is_whitespace).unwrap();
        let text = text.trim_start();
        if text.starts_with("---") || text.starts_with("+++") {
            continue;
        }
        if let Some(head) = text.strip_suffix(" <unfinished ...>") {
            begun.insert(thread, head.to_owned());
            continue;
        }
        let whole = match text.strip_prefix("<... ") {
            None => text.to_owned(),
            Some(rest) => {
                let (_, tail) = rest.split_once(" resumed>").unwrap();
                begun.remove(thread).unwrap() + tail
            }
        };
        calls.extend(call(&whole));
    }
    calls
}

/// `name(arguments) = result ...`
fn call(text: &str) -> Option<Call> {
    let (name, rest) = text.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(" = ")?;
    let arguments = arguments.trim_end().strip_suffix(')')?;
    let number = result.split(|c: char| c != '-' && !c.is_ascii_digit()).next()?;
    let result = number.parse().ok()?;
    Some(Call { name: name.to_owned(), arguments: split(arguments), result })
}

/// Splits at the commas that are in no brackets. There are none within strings.
fn split(arguments: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for character in arguments.chars() {
        match character {
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        let last = parts.len() - 1;
        parts[last].push(character);
    }
    parts.into_iter().map(|part| part.trim().to_owned()).collect()
}

impl Call {
    pub(crate) fn argument(&self, at: usize) -> &str {
        self.arguments.get(at).map_or("", String::as_str)
    }

    /// The string that an argument is.
    #[track_caller]
    pub(crate) fn text(&self, at: usize) -> Vec<u8> {
        let quoted = self.argument(at);
        let inner = quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        hex(inner.unwrap_or_else(|| panic!("argument {at} is no whole string: {self:?}")))
    }

    /// The path of the descriptor that an argument is; `None` if the file has no name any more.
    pub(crate) fn path(&self, at: usize) -> Option<Vec<u8>> {
        let (_, rest) = self.argument(at).split_once('<')?;
        let (path, after) = rest.split_once('>')?;
        (!after.contains("deleted")).then(|| hex(path))
    }

    #[track_caller]
    pub(crate) fn number(&self, at: usize) -> u64 {
        let digits = self.argument(at).trim_start_matches('[');
        let digits = digits.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        digits.parse().unwrap_or_else(|_| panic!("argument {at} is no number: {self:?}"))
    }

    pub(crate) fn has_flag(&self, at: usize, flag: &str) -> bool {
        self.argument(at).split('|').any(|one| one == flag)
    }
}

fn hex(text: &str) -> Vec<u8> {
    text.split("\\x")
        .filter(|byte| !byte.is_empty())
        .map(|byte| u8::from_str_radix(byte, 16).unwrap_or_else(|_| panic!("in {text:?}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_put_together_again() {
        let trace = r#"7 renameat(6<\x2f\x61>, "\x32" <unfinished ...>
8 fsync(4<\x2f\x62>(deleted)) = 0
7 <... renameat resumed>, 8<\x2f\x63>, "\x6b\x31") = 0
8 unlinkat(4<\x2f\x61>, "\x32", 0)  = -1 ENOENT (No such file or directory)
8 +++ exited with 0 +++
"#;
        let calls = parse(trace);
        assert_eq!(calls.len(), 3);
        assert_eq!((calls[0].name.as_str(), calls[0].path(0)), ("fsync", None));
        assert_eq!(calls[1].text(3), b"k1");
        assert_eq!(calls[1].path(2).unwrap(), b"/c");
        assert_eq!(calls[2].result, -1);
    }
}
