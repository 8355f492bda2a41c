//! The requests of a server as its log tells them, and what follows from that about the present moment.

use std::time::Duration;

use tokio::time::Instant;

use super::report::{Activity, Phase, PromptUse};
use crate::backend::{ActivityEvent, RequestKey, Step};

/// Requests that run at the same time. If there are more, the oldest is forgotten, as one whose end was never logged.
const MAX_RUNNING: usize = 16;
/// The shortest time over which a rate is measured.
const MIN_SPAN: Duration = Duration::from_millis(500);
/// The largest part of a prompt that counts as read before the server says that it is.
const MAX_FRACTION: f64 = 0.99;

/// The requests of one run of a server.
#[derive(Default)]
pub(super) struct Requests {
    running: Vec<Request>,
    /// For each server, the share of its next prompt that is cached.
    chosen: Vec<(u32, f64)>,
    /// Requests that have begun.
    begun: u64,
    /// What the server has kept of its last request.
    kept: Option<u64>,
    last_prompt: Option<(PromptUse, u64)>,
}

/// A request that runs.
struct Request {
    key: RequestKey,
    /// 1 for the first one of the server.
    number: u64,
    phase: Phase,
    since: Instant,
    /// The share of the prompt that is cached, while the tokens aren't known.
    share: Option<f64>,
    cached: Option<u64>,
    /// Tokens of the prompt that were read, without the cached ones.
    read: u64,
    /// When `read` and `fraction` were logged.
    read_at: Option<Instant>,
    fraction: Option<f64>,
    /// Tokens that the last batch had.
    batch: u64,
    read_rate: Option<f64>,
    written: u64,
    written_at: Option<Instant>,
    write_rate: Option<f64>,
    /// Whether the whole prompt, and the whole answer, are counted.
    is_read: bool,
    is_written: bool,
}

impl Requests {
    /// Takes what the server said at `now`.
    pub(super) fn take(&mut self, event: ActivityEvent, now: Instant) {
        let ActivityEvent { request: key, step } = event;
        match step {
            Step::Chosen { share } => {
                self.chosen.retain(|(server, _)| *server != key.server);
                self.chosen.truncate(MAX_RUNNING);
                // Without a similar prompt in its slot the server may still find one in its cache of prompts.
                if share > 0.0 || self.begun == 0 {
                    self.chosen.push((key.server, share));
                }
            }
            Step::Begun => {
                self.running.retain(|request| request.key != key);
                if self.running.len() == MAX_RUNNING {
                    self.running.remove(0);
                }
                self.begun += 1;
                let chosen = self.chosen.iter().position(|(server, _)| *server == key.server);
                let share = chosen.map(|at| self.chosen.swap_remove(at).1);
                self.running.push(Request::new(key, self.begun, share, now));
            }
            Step::Ended { kept, is_whole } => {
                let Some(at) = self.running.iter().position(|request| request.key == key) else {
                    return;
                };
                let request = self.running.remove(at);
                // Only what lclaude reads in advance is answered with one token. It says nothing about a conversation.
                if request.is_written && request.written <= 1 {
                    return;
                }
                self.kept = Some(kept);
                if let Some(prompt) = request.prompt(Some(kept).filter(|_| is_whole)) {
                    self.last_prompt = Some((prompt, request.number));
                }
            }
            step => {
                if let Some(request) = self.running.iter_mut().find(|request| request.key == key) {
                    request.take(step, now);
                }
            }
        }
    }

    /// Returns the phase of the newest request.
    pub(super) fn phase(&self) -> Phase {
        self.running.last().map_or(Phase::Idle, |request| request.phase)
    }

    /// Returns how much of the last prompt was cached, and the number of its request.
    pub(super) fn last_prompt(&self) -> Option<(PromptUse, u64)> {
        self.last_prompt
    }

    /// Returns what the server is doing at `now`. Of several requests at once only the phase is known.
    pub(super) fn activity(&self, now: Instant) -> Activity {
        let idle = Activity {
            phase: self.phase(),
            used: self.kept,
            prompt_cache: self.last_prompt.map(|(prompt, _)| prompt),
            ..Activity::default()
        };
        match &self.running[..] {
            [] => idle,
            [request] => request.activity(idle, now),
            [.., newest] => Activity { seconds: (now - newest.since).as_secs(), used: None, ..idle },
        }
    }
}

impl Request {
    fn new(key: RequestKey, number: u64, share: Option<f64>, now: Instant) -> Self {
        Request {
            key,
            number,
            phase: Phase::Reading,
            since: now,
            share,
            cached: None,
            read: 0,
            read_at: None,
            fraction: None,
            batch: 0,
            read_rate: None,
            written: 0,
            written_at: None,
            write_rate: None,
            is_read: false,
            is_written: false,
        }
    }

    fn take(&mut self, step: Step, now: Instant) {
        match step {
            Step::Reading { tokens, fraction, rate } => {
                // If less is done than is similar, the similar part isn't reused. Fractions have two decimals.
                self.share = self.share.filter(|share| fraction + 0.01 >= *share);
                let batch = tokens.saturating_sub(self.read);
                // The rate of this batch, since later ones are slower than the mean.
                let span = self.read_at.filter(|_| batch > 0).map(|at| now - at).filter(|span| *span >= MIN_SPAN);
                self.read_rate = Some(span.map_or(rate, |span| batch as f64 / span.as_secs_f64()));
                (self.read, self.batch, self.fraction, self.read_at) = (tokens, batch, Some(fraction), Some(now));
            }
            Step::Writing { tokens, rate } => {
                self.write(now);
                (self.written, self.written_at, self.write_rate) = (tokens, Some(now), Some(rate));
            }
            Step::Counted { cached, read, written } => {
                self.cached = Some(cached);
                if written == 0 {
                    // It is ahead of the fraction that was logged.
                    return;
                }
                self.write(now);
                self.read = read;
                match self.written_at.map(|at| now - at) {
                    Some(span) if span < MIN_SPAN => return,
                    Some(span) if written > self.written => {
                        self.write_rate = Some((written - self.written) as f64 / span.as_secs_f64());
                    }
                    _ => {}
                }
                (self.written, self.written_at) = (written, Some(now));
            }
            Step::Read { tokens } => {
                self.write(now);
                (self.read, self.is_read) = (tokens, true);
            }
            Step::Written { tokens } => (self.written, self.is_written) = (tokens, true),
            Step::Chosen { .. } | Step::Begun | Step::Ended { .. } => {}
        }
    }

    /// The answer has begun.
    fn write(&mut self, now: Instant) {
        if self.phase != Phase::Writing {
            (self.phase, self.since) = (Phase::Writing, now);
        }
    }

    /// Returns the prompt of a request that has ended. `kept`: the tokens in the server's context, if all are there: the
    /// prompt and the answer without its last token, which was never read.
    fn prompt(&self, kept: Option<u64>) -> Option<PromptUse> {
        if !self.is_read || !self.is_written {
            return None;
        }
        let answer = self.written.saturating_sub(1);
        let cached = self.cached.or_else(|| kept?.checked_sub(self.read + answer))?;
        Some(PromptUse { cached, total: cached + self.read })
    }

    /// Returns the length of the prompt in tokens, as far as the progress tells.
    fn total(&self) -> Option<f64> {
        let (fraction, read) = (self.fraction.filter(|fraction| *fraction > 0.0)?, self.read as f64);
        match (self.cached, self.share) {
            (Some(cached), _) => Some((cached as f64 + read) / fraction),
            (None, Some(share)) if fraction > share => Some(read / (fraction - share)),
            _ => None,
        }
    }

    fn activity(&self, idle: Activity, now: Instant) -> Activity {
        let activity = Activity { phase: self.phase, seconds: (now - self.since).as_secs(), ..idle };
        let used = self.cached.map(|cached| cached + self.read + self.written);
        if self.phase == Phase::Writing {
            return Activity {
                tokens: Some(self.written).filter(|written| *written > 0),
                tokens_per_second: self.write_rate,
                used,
                ..activity
            };
        }
        let (Some(fraction), Some(rate), Some(at)) = (self.fraction, self.read_rate, self.read_at) else {
            return Activity { used: None, ..activity };
        };
        let Some(total) = self.total().filter(|total| *total >= 1.0) else {
            return Activity { fraction: Some(fraction), tokens_per_second: Some(rate), used: None, ..activity };
        };
        // The log is a batch behind.
        let since = (rate * (now - at).as_secs_f64()).min(self.batch as f64);
        let fraction = (fraction + since / total).min(MAX_FRACTION).max(fraction);
        Activity {
            tokens: Some((fraction * total).round() as u64),
            of: Some(total.round() as u64),
            fraction: Some(fraction),
            tokens_per_second: Some(rate),
            seconds_left: Some(((1.0 - fraction) * total / rate.max(1.0)).ceil() as u64),
            used: Some((fraction * total).round() as u64),
            ..activity
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: RequestKey = RequestKey { server: 0, number: 7 };

    /// A server that says these steps, each a second after the one before.
    fn after(steps: &[Step]) -> (Requests, Instant) {
        let (mut requests, mut now) = (Requests::default(), Instant::now());
        for step in steps {
            now += Duration::from_secs(1);
            requests.take(ActivityEvent { request: KEY, step: *step }, now);
        }
        (requests, now)
    }

    fn reading(tokens: u64, fraction: f64) -> Step {
        Step::Reading { tokens, fraction, rate: 1000.0 }
    }

    #[test]
    fn progress_of_a_cold_prompt_is_extrapolated_within_a_batch() {
        let (requests, now) = after(&[Step::Chosen { share: 0.0 }, Step::Begun, reading(4000, 0.2)]);
        let shown = requests.activity(now);
        assert_eq!(
            (shown.phase, shown.tokens, shown.of, shown.seconds_left),
            (Phase::Reading, Some(4000), Some(20_000), Some(16))
        );
        assert_eq!((shown.tokens_per_second, shown.seconds), (Some(1000.0), 1));
        let later = requests.activity(now + Duration::from_secs(2));
        assert_eq!((later.tokens, later.seconds_left), (Some(6000), Some(14)));
        // A batch that takes longer than the one before stops there.
        let much_later = requests.activity(now + Duration::from_secs(60));
        assert_eq!(much_later.tokens, Some(8000));
    }

    #[test]
    fn rate_is_that_of_the_last_batch() {
        let (requests, now) =
            after(&[Step::Chosen { share: 0.0 }, Step::Begun, reading(2000, 0.2), reading(2500, 0.25)]);
        let shown = requests.activity(now);
        assert_eq!((shown.tokens_per_second, shown.of, shown.seconds_left), (Some(500.0), Some(10_000), Some(15)));
    }

    #[test]
    fn cached_tokens_count_as_read() {
        let by_log = after(&[Step::Chosen { share: 0.5 }, Step::Begun, reading(4000, 0.7)]);
        let counted = Step::Counted { cached: 10_000, read: 4000, written: 0 };
        let by_answer = after(&[Step::Begun, counted, reading(4000, 0.7)]);
        let ahead = Step::Counted { cached: 10_000, read: 5000, written: 0 };
        let (by_both, now) = after(&[Step::Begun, reading(4000, 0.7), ahead]);
        let by_both = (by_both, now - Duration::from_secs(1));
        for (requests, now) in [by_log, by_answer, by_both] {
            let shown = requests.activity(now);
            assert_eq!((shown.tokens, shown.of), (Some(14_000), Some(20_000)));
        }
    }

    #[test]
    fn nothing_is_invented_while_the_cached_tokens_are_unknown() {
        // Not its first request, and the prompt may come from the cache of prompts.
        let (requests, now) = after(&[
            Step::Begun,
            Step::Ended { kept: 5, is_whole: true },
            Step::Chosen { share: 0.0 },
            Step::Begun,
            reading(4000, 0.7),
        ]);
        let shown = requests.activity(now);
        assert_eq!((shown.fraction, shown.tokens, shown.of, shown.seconds_left), (Some(0.7), None, None, None));
    }

    #[test]
    fn cached_tokens_follow_from_what_the_server_keeps() {
        let end = |read, written, kept, is_whole| {
            [
                Step::Begun,
                Step::Read { tokens: read },
                Step::Written { tokens: written },
                Step::Ended { kept, is_whole },
            ]
        };
        // As llama-server logs two equal requests: all but one token of the second prompt are cached.
        let (mut requests, now) = after(&end(24_014, 300, 24_313, true));
        assert_eq!(requests.last_prompt(), Some((PromptUse { cached: 0, total: 24_014 }, 1)));
        for step in end(1, 300, 24_313, true) {
            requests.take(ActivityEvent { request: KEY, step }, now);
        }
        let second = PromptUse { cached: 24_013, total: 24_014 };
        assert_eq!(requests.last_prompt(), Some((second, 2)));
        let idle =
            Activity { phase: Phase::Idle, used: Some(24_313), prompt_cache: Some(second), ..Activity::default() };
        assert_eq!(requests.activity(now), idle);
        // As for a prompt that is read in advance.
        assert_eq!(after(&end(100, 1, 300, true)).0.last_prompt(), None);
        // The server dropped a part of its context, or counts otherwise: unknown.
        assert_eq!(after(&end(100, 10, 300, false)).0.last_prompt(), None);
        assert_eq!(after(&end(400, 10, 300, true)).0.last_prompt(), None);
        // The client hung up while the prompt was read.
        assert_eq!(after(&[Step::Begun, Step::Ended { kept: 100, is_whole: true }]).0.last_prompt(), None);
    }

    #[test]
    fn answer_is_counted_by_the_log_and_by_the_server() {
        let counted = |written| Step::Counted { cached: 10, read: 90, written };
        let (mut requests, now) = after(&[Step::Begun, counted(5), counted(45)]);
        let shown = requests.activity(now);
        assert_eq!((shown.phase, shown.tokens, shown.tokens_per_second), (Phase::Writing, Some(45), Some(40.0)));
        assert_eq!((shown.used, shown.seconds, shown.of), (Some(145), 1, None));
        requests.take(ActivityEvent { request: KEY, step: Step::Writing { tokens: 100, rate: 41.0 } }, now);
        assert_eq!(requests.activity(now).tokens_per_second, Some(41.0));
    }

    #[test]
    fn of_several_requests_only_the_phase_is_known() {
        let (mut requests, now) = after(&[Step::Chosen { share: 0.0 }, Step::Begun, reading(4000, 0.2)]);
        let other = RequestKey { server: 40_000, number: 7 };
        requests.take(ActivityEvent { request: other, step: Step::Begun }, now);
        assert_eq!(requests.activity(now), Activity { phase: Phase::Reading, ..Activity::default() });
        requests.take(ActivityEvent { request: other, step: Step::Ended { kept: 9, is_whole: true } }, now);
        assert_eq!(requests.activity(now).of, Some(20_000));
    }

    #[test]
    fn requests_whose_end_is_never_logged_are_forgotten() {
        let (mut requests, now) = (Requests::default(), Instant::now());
        for number in 0..1000 {
            requests.take(ActivityEvent { request: RequestKey { server: 0, number }, step: Step::Begun }, now);
            requests.take(
                ActivityEvent {
                    request: RequestKey { server: number as u32, number },
                    step: Step::Chosen { share: 0.5 },
                },
                now,
            );
        }
        assert!(requests.running.len() == MAX_RUNNING && requests.chosen.len() <= MAX_RUNNING + 1);
    }
}
