//! Questions to a file system that may never answer.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Asks in a thread of its own; `None` if there is no answer in time. The thread is then left behind: a
/// request to a hanging FUSE daemon cannot be taken back, it ends with the process.
///
/// After an answer no thread is left, so that a process may fork.
pub(super) fn ask<T: Send + 'static>(
    deadline: Duration,
    question: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (sender, receiver) = mpsc::channel();
    let thread = thread::Builder::new()
        .name("storefs-ask".to_owned())
        .spawn(move || {
            // Nobody listens any more once the deadline has passed.
            let _ = sender.send(question());
        })
        .ok()?;
    let answer = receiver.recv_timeout(deadline).ok();
    if answer.is_some() {
        let _ = thread.join();
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_in_time_is_given_back() {
        assert_eq!(ask(Duration::from_secs(10), || 7), Some(7));
    }

    #[test]
    fn a_question_that_hangs_is_given_up() {
        let answer = ask(Duration::from_millis(20), || thread::sleep(Duration::from_secs(2)));
        assert_eq!(answer, None);
    }
}
