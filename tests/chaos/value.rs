//! Random choices that can be repeated, and values that tell whether they are whole.

use serde_json::{Value, json};

/// SplitMix64: small, and the same everywhere.
#[derive(Clone, Debug)]
pub(crate) struct Choices(u64);

impl Choices {
    /// The choices of one part of the run, the same whenever seed and part are.
    pub(crate) fn new(seed: u64, part: u64) -> Self {
        let mut choices = Self(seed ^ part.wrapping_mul(0xd134_2543_de82_ef95));
        choices.next();
        choices
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    pub(crate) fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        let at = self.below(all.len() as u64);
        &all[usize::try_from(at).unwrap()]
    }

    /// Text of a random length: mostly short, at times longer than one request of the kernel.
    pub(crate) fn padding(&mut self) -> String {
        let most = match self.below(20) {
            0 => 300_000,
            1..=5 => 20_000,
            _ => 600,
        };
        let letter = char::from(b'a' + u8::try_from(self.below(26)).unwrap());
        std::iter::repeat_n(letter, usize::try_from(self.below(most)).unwrap()).collect()
    }
}

/// FNV-1a.
pub(crate) fn checksum(parts: &[&str]) -> String {
    let mut sum: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in parts.iter().flat_map(|part| part.bytes().chain([0])) {
        sum = (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{sum:016x}")
}

/// The JSON shape. An SDK may write the same object with other blanks.
pub(crate) fn object(number: u64, key: &str, padding: &str) -> Value {
    let check = checksum(&[&number.to_string(), key, padding]);
    json!({"number": number, "key": key, "padding": padding, "check": check})
}

/// The plain shape, which is no JSON.
pub(crate) fn plain(number: u64, key: &str, padding: &str) -> String {
    let check = checksum(&[&number.to_string(), key, padding]);
    format!("plain\n{number}\n{key}\n{padding}\n{check}\n")
}

/// The number of a value that is whole; `Err` says what is wrong with it.
pub(crate) fn number_of(bytes: &[u8]) -> Result<u64, String> {
    let torn = || {
        let (head, tail) =
            (&bytes[..bytes.len().min(80)], &bytes[bytes.len().saturating_sub(80)..]);
        let (head, tail) = (String::from_utf8_lossy(head), String::from_utf8_lossy(tail));
        format!("torn: {} bytes, {head:?} ... {tail:?}", bytes.len())
    };
    let text = std::str::from_utf8(bytes).map_err(|_| torn())?;
    if text.starts_with('{') {
        let value: Value = serde_json::from_str(text).map_err(|_| torn())?;
        let number = value["number"].as_u64().ok_or_else(torn)?;
        let key = value["key"].as_str().ok_or_else(torn)?;
        let padding = value["padding"].as_str().ok_or_else(torn)?;
        return if object(number, key, padding) == value { Ok(number) } else { Err(torn()) };
    }
    let lines: Vec<&str> = text.split('\n').collect();
    let ["plain", number, key, padding, _, ""] = lines[..] else { return Err(torn()) };
    let number = number.parse().map_err(|_| torn())?;
    if plain(number, key, padding) == text { Ok(number) } else { Err(torn()) }
}

/// Whether a content type may stand for these bytes (P10): JSON only for JSON, and no type but the two of the
/// shapes has any cause here.
pub(crate) fn fits(content_type: &str, bytes: &[u8]) -> bool {
    match content_type.split(';').next().unwrap_or_default() {
        "application/json" => serde_json::from_slice::<Value>(bytes).is_ok(),
        "text/plain" => std::str::from_utf8(bytes).is_ok(),
        _ => false,
    }
}
