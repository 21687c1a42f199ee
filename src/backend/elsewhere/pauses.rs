//! Pauses between attempts of a call.

use std::time::Duration;

/// The first pause between two attempts, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Pauses that grow, each something between a half and the whole of its length, so that callers who failed together do
/// not come back together.
#[derive(Debug)]
pub(in crate::backend) struct Pauses {
    next: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { next: PAUSES.0 }
    }
}

impl Pauses {
    /// How long to wait before the next attempt.
    pub(in crate::backend) fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(PAUSES.1);
        let mut byte = [0];
        // Without randomness it is the whole.
        let share =
            if getrandom::fill(&mut byte).is_ok() { f64::from(byte[0]) / 255.0 } else { 1.0 };
        pause.mul_f64(0.5 + share / 2.0)
    }
}
