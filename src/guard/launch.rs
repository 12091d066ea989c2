//! The launching side: a process is started as launcher, made known, and let go.

use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
    sync::Arc,
};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tokio::{io::AsyncReadExt as _, process::ChildStdin};

use super::{Launch, Launched, keeper::Keeper, no_pipe, role::LAUNCHER};

/// Starts a program by way of the launcher, or without one where there is no guard.
pub(super) async fn launch(keeper: &Arc<Keeper>, launch: Launch<'_>) -> io::Result<Launched> {
    match keeper.guarded_by().await {
        Some(program) => guarded(keeper, program, launch).await,
        None => plain(keeper, &launch),
    }
}

fn plain(keeper: &Arc<Keeper>, launch: &Launch<'_>) -> io::Result<Launched> {
    let (mut child, entry) = keeper.enlist(launch.plain(), launch.program)?;
    let input = child.stdin.take().ok_or_else(no_pipe)?;
    Ok(Launched { child, input, entry })
}

async fn guarded(
    keeper: &Arc<Keeper>,
    launcher: &Path,
    launch: Launch<'_>,
) -> io::Result<Launched> {
    let (line, theirs) = UnixStream::pair()?;
    let (source, sink) = io::pipe()?;
    let mut command = launch.command(launcher);
    command.arg0(LAUNCHER).arg(launch.program).args(launch.args).stdin(OwnedFd::from(theirs));
    // The command goes with it, and our copy of their end.
    let (mut child, entry) = keeper.enlist(command, launch.program)?;
    // The guard may have died just now; the next one is told.
    keeper.guarded_by().await;
    release(&line, &source.into())?;
    line.set_nonblocking(true)?;
    let mut report = Vec::new();
    tokio::net::UnixStream::from_std(line)?.read_to_end(&mut report).await?;
    if let Ok(code) = report.try_into() {
        // It ends by itself and says nothing else.
        child.wait().await?;
        return Err(io::Error::from_raw_os_error(i32::from_ne_bytes(code)));
    }
    let input = std::process::ChildStdin::from(OwnedFd::from(sink));
    Ok(Launched { child, input: ChildStdin::from_std(input)?, entry })
}

/// Lets a launcher go, with the standard input that the program is to have.
fn release(line: &UnixStream, input: &OwnedFd) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [input.as_fd()];
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("no room to pass a descriptor"));
    }
    // A launcher that is gone already is found out by its exit status.
    match sendmsg(line, &[IoSlice::new(b"g")], &mut control, SendFlags::NOSIGNAL) {
        Ok(_) | Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
