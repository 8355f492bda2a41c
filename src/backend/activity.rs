//! What a server says about the request that it is working on.

/// Identifies a request among those of one backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestKey {
    /// Which of the backend's servers has it; 0 if there is only one.
    pub server: u32,
    /// The server's own number of the request.
    pub number: u64,
}

/// News of one request, from a line of the server's log or from an answer of the server.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ActivityEvent {
    pub request: RequestKey,
    pub step: Step,
}

/// What is known about a request. All numbers are tokens, rates are tokens/s.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Step {
    /// The server chose where to run its next request, of which this share, from 0 to 1, is in its cache.
    Chosen { share: f64 },
    /// It has begun.
    Begun,
    /// The server reads the prompt: this many tokens of it so far, without the cached ones. `fraction`: the part of the
    /// prompt that is done, cached tokens included.
    Reading { tokens: u64, fraction: f64, rate: f64 },
    /// The server writes the answer: this many tokens so far.
    Writing { tokens: u64, rate: f64 },
    /// The whole prompt was read, without the cached tokens.
    Read { tokens: u64 },
    /// The whole answer was written.
    Written { tokens: u64 },
    /// The counts at this moment.
    Counted { cached: u64, read: u64, written: u64 },
    /// It has ended, and the server keeps this many tokens of it. `is_whole`: none of them was dropped to make room.
    Ended { kept: u64, is_whole: bool },
}
