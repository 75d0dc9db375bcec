//! The clock of a node, compared with that of this machine.

use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{ChildStdin, ChildStdout};

use super::{Answer, quoted};
use crate::run::probe::program::{self, Login};
use crate::system::process::Spawner;

/// A date for each line, so that the login is not part of the measurement. BusyBox knows no nanoseconds.
const SCRIPT: &str = "while read -r line; do date +%s.%N; done";
/// The best of these counts: the one with the shortest way there and back.
const TIMES: usize = 5;

/// One question about the time: when it was sent and answered by the clock here, and the answer of the clock there.
///
/// An answer without a fraction is any time within that second.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sample {
    sent: f64,
    there: f64,
    /// How much later it may really have been there.
    coarse: f64,
    received: f64,
}

impl Sample {
    /// Returns the least and the greatest difference that fit: the clock there was read after the question was sent,
    /// and before the answer came.
    fn difference(self) -> (f64, f64) {
        (self.there - self.received, self.there + self.coarse - self.sent)
    }
}

/// Asks a node for the time.
pub(super) async fn probe(spawner: &Spawner, login: &Login<'_>, limit: Duration) -> Answer {
    match measure(spawner, login).await {
        Ok(samples) => judge(&samples, limit),
        Err(no) => no,
    }
}

async fn measure(spawner: &Spawner, login: &Login<'_>) -> Result<Vec<Sample>, Answer> {
    let mut spec = program::login(login, &format!("sh -c {}", quoted(SCRIPT)))?;
    // Here it is read from.
    spec.args.retain(|argument| argument != "-n");
    spec.stdin = Stdio::piped();
    spec.stdout = Stdio::piped();
    let failed = |error: std::io::Error| Answer::no(format!("cannot ask for the time: {error}"));
    // Dropped, and thereby killed with its process group, when the attempt times out.
    let mut child = spawner.spawn(spec).await.map_err(|error| Answer::no(error.to_string()))?;
    let (Some(to), Some(from)) = (child.take_stdin(), child.take_stdout()) else {
        return Err(Answer::no("ssh has no input or output"));
    };
    let mut to = ChildStdin::from_std(to).map_err(failed)?;
    let mut answers = BufReader::new(ChildStdout::from_std(from).map_err(failed)?).lines();
    let mut samples = Vec::new();
    for _ in 0..TIMES {
        let sent = now();
        // The end of ssh shows in its output, and its errors say why.
        if to.write_all(b"\n").await.is_err() {
            break;
        }
        let Some(answer) = answers.next_line().await.map_err(failed)? else { break };
        let received = now();
        samples.extend(read(&answer).map(|(there, coarse)| Sample { sent, there, coarse, received }));
    }
    drop(to);
    child.wait().await.map_err(failed)?;
    if samples.is_empty() {
        let errors = String::from_utf8_lossy(&child.take_stderr()).into_owned();
        let last = errors.lines().rev().find(|line| !line.trim().is_empty());
        return Err(Answer::no(program::refusal(last, login)));
    }
    Ok(samples)
}

#[expect(clippy::disallowed_methods, reason = "the clock of this machine is what a clock is compared with")]
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Reads what `date` printed: the time, and how much of a second is left open.
fn read(answer: &str) -> Option<(f64, f64)> {
    let (seconds, fraction) = answer.trim().split_once('.')?;
    // As it is, where `date` does not know it.
    match fraction.chars().all(|c| c.is_ascii_digit()) && !fraction.is_empty() {
        true => Some((answer.trim().parse().ok()?, 0.0)),
        false => Some((seconds.parse().ok()?, 1.0)),
    }
}

/// Judges the most exact answer: the whole range in which the difference can be has to be allowed.
fn judge(samples: &[Sample], limit: Duration) -> Answer {
    let ranges = samples.iter().map(|sample| sample.difference());
    let Some((least, most)) = ranges.min_by(|one, other| (one.1 - one.0).total_cmp(&(other.1 - other.0)))
    else {
        return Answer::no("the node did not say the time");
    };
    let (middle, open) = (f64::midpoint(least, most), (most - least) / 2.0);
    let word = if middle <= -0.0005 { "behind" } else { "ahead" };
    let said = format!("the clock is {:.3}s {word} (±{open:.3}s)", middle.abs());
    let limit = limit.as_secs_f64();
    if least.abs().max(most.abs()) <= limit {
        Answer::yes(said)
    } else if middle.abs() - open <= limit {
        Answer::no(format!("{said}, which is not exact enough to tell"))
    } else {
        Answer::no(said)
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn check(answer: &str, sent: f64, received: f64, limit: u64) -> String {
        let samples = read(answer).map(|(there, coarse)| Sample { sent, there, coarse, received });
        let Answer { ok, seen, .. } = judge(samples.as_slice(), Duration::from_millis(limit));
        format!("{ok}: {seen}")
    }

    #[test]
    fn the_way_there_and_back_is_not_a_difference_but_leaves_one_open() {
        assert_snapshot!(check("1000.050000000", 1000.0, 1000.1, 500), @"true: the clock is 0.000s ahead (±0.050s)");
        assert_snapshot!(check("1003.050000000", 1000.0, 1000.1, 1000), @"false: the clock is 3.000s ahead (±0.050s)");
        assert_snapshot!(check("990.050000000", 1000.0, 1000.1, 1000), @"false: the clock is 10.000s behind (±0.050s)");
        // The answer took two seconds: it cannot be said whether the clocks are half a second apart.
        assert_snapshot!(check("1001.000000000", 1000.0, 1002.0, 500), @"false: the clock is 0.000s ahead (±1.000s), which is not exact enough to tell");
        // BusyBox.
        assert_snapshot!(check("1000.%N", 1000.5, 1000.6, 2000), @"true: the clock is 0.050s behind (±0.550s)");
        assert_snapshot!(check("1000.%N", 1000.5, 1000.6, 300), @"false: the clock is 0.050s behind (±0.550s), which is not exact enough to tell");
        assert_snapshot!(check("sh: date: not found", 1000.5, 1000.6, 300), @"false: the node did not say the time");
    }
}
