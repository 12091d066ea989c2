//! The reading half: lines of bounded length, whatever the server sends.
//!
//! Time is linear in the bytes received. What a line means stands in `inbound`.

use std::{io, sync::Arc};

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};

use super::{Shared, inbound};
use crate::upstream::LinkEnd;

/// Bytes read at a time: as much as a pipe holds.
const CHUNK: usize = 64 * 1024;
/// A buffer that a line made larger than this is given back.
const KEEP: usize = 1024 * 1024;
/// Bytes kept of both ends of a line that is too long, to find out whose answer it was.
const ENDS: usize = 512;

/// Reads until the server closes its output.
pub(super) async fn run(
    shared: Arc<Shared>,
    source: impl AsyncRead + Unpin,
    limit: usize,
) -> LinkEnd {
    let mut source = BufReader::with_capacity(CHUNK, source);
    let mut line = Vec::new();
    loop {
        match read_line(&mut source, &mut line, limit).await {
            Ok(Line::Whole) => inbound::line(&shared, &mut line),
            Ok(Line::TooLong { tail }) => inbound::too_long(&shared, &line, &tail, limit),
            Ok(Line::None) => return LinkEnd::Closed,
            Err(error) => return LinkEnd::Transport(format!("reading failed: {error}")),
        }
        line.clear();
        line.shrink_to(KEEP);
    }
}

/// What was read.
enum Line {
    /// A line, or what stood after the last one.
    Whole,
    /// The start of a line that was longer than allowed, and its end.
    TooLong { tail: Vec<u8> },
    /// The stream's end.
    None,
}

async fn read_line(
    source: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
    limit: usize,
) -> io::Result<Line> {
    // One more for the newline, which does not count.
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let usual = most.min(KEEP as u64);
    let count = (&mut *source).take(usual).read_until(b'\n', line).await?;
    if count == 0 {
        return Ok(Line::None);
    }
    if count as u64 == usual && line.last() != Some(&b'\n') {
        // Room that is not used costs nothing, where growing step by step would hold the line twice.
        // Where there is none it grows.
        line.try_reserve_exact(limit.saturating_sub(count).saturating_add(1)).ok();
        (&mut *source).take(most - usual).read_until(b'\n', line).await?;
    }
    if line.last() == Some(&b'\n') || line.len() <= limit {
        return Ok(Line::Whole);
    }
    let mut tail = line.split_off(line.len().saturating_sub(ENDS));
    line.truncate(ENDS);
    line.shrink_to_fit();
    loop {
        let count = (&mut *source).take(CHUNK as u64).read_until(b'\n', &mut tail).await?;
        let done = count == 0 || tail.last() == Some(&b'\n');
        tail.drain(..tail.len().saturating_sub(ENDS));
        if done {
            return Ok(Line::TooLong { tail });
        }
    }
}
