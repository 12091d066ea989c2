//! What can go wrong: of child processes, of HTTP servers, of Switchboard and its configuration.

/// What befalls a child process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PipeFault {
    Kill,
    Stop,
    Hang,
    Garbage,
    Truncated,
    Closed,
    Flood,
    SlowStart,
    CrashLoop,
}

impl PipeFault {
    pub const ALL: [Self; 9] = [
        Self::Kill,
        Self::Stop,
        Self::Hang,
        Self::Garbage,
        Self::Truncated,
        Self::Closed,
        Self::Flood,
        Self::SlowStart,
        Self::CrashLoop,
    ];

    pub const fn words(self) -> &'static str {
        match self {
            Self::Kill => "process killed (`kill -9`)",
            Self::Stop => "process stopped for a while (SIGSTOP, SIGCONT)",
            Self::Hang => "process reads on and says nothing for a while",
            Self::Garbage => "nonsense between messages on standard output",
            Self::Truncated => "process ends in the middle of a message",
            Self::Closed => "standard output closed, process lives on",
            Self::Flood => "3,000 notifications at once, one of a megabyte after them",
            Self::SlowStart => "process killed, the next ones start slowly",
            Self::CrashLoop => "process killed, the next ones end at once",
        }
    }
}

/// What befalls an HTTP server, for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WebFault {
    Reset,
    Silent,
    Busy,
    Unwilling,
    Broken,
    Nonsense,
    Half,
}

impl WebFault {
    pub const ALL: [Self; 7] = [
        Self::Reset,
        Self::Silent,
        Self::Busy,
        Self::Unwilling,
        Self::Broken,
        Self::Nonsense,
        Self::Half,
    ];

    pub const fn words(self) -> &'static str {
        match self {
            Self::Reset => "HTTP server gone with its connections for a while",
            Self::Silent => "HTTP server takes requests and says nothing for a while",
            Self::Busy => "HTTP 429 with `Retry-After` for a while",
            Self::Unwilling => "HTTP 503 without execution for a while",
            Self::Broken => "HTTP 500 after execution for a while",
            Self::Nonsense => "HTTP 200 with a body that is no JSON for a while",
            Self::Half => "HTTP answers broken off in the middle for a while",
        }
    }
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    Pipe(PipeFault),
    Web(WebFault),
    /// The tools of the server that changes them.
    Changed,
    /// The configuration, in what needs no new connection.
    Reload,
    /// The configuration, in what needs one.
    Redefined,
    /// Switchboard itself.
    Killed,
}

impl Fault {
    /// In words, as the page has them.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Pipe(fault) => fault.words(),
            Self::Web(fault) => fault.words(),
            Self::Changed => "tools changed and announced",
            Self::Reload => "SIGHUP with a description changed",
            Self::Redefined => "file saved with a server's environment changed",
            Self::Killed => "Switchboard killed (`kill -9`) and started again",
        }
    }
}
