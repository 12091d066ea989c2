//! The launcher: what a server's process is before it is the server.
//!
//! It makes a session of its own, waits until the guard knows it, and becomes the program. Its
//! standard input is a socket over which it gets the real one; the socket closes when the program
//! runs and carries the error if it cannot. If nobody lets it go, it ends.

use std::{
    ffi::CString,
    io::{self, IoSliceMut, Write as _},
    mem::MaybeUninit,
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStringExt as _, net::UnixStream},
    },
    sync::{Arc, atomic::AtomicBool},
};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use signal_hook::consts::SIGPIPE;

/// Becomes the program of the arguments; comes back only if nobody let it go.
pub(super) fn run() -> io::Result<()> {
    rustix::process::setsid()?;
    let line = io::stdin();
    let mut line = UnixStream::from(rustix::io::fcntl_dupfd_cloexec(&line, 3)?);
    let Some(input) = released(&line)? else { return Ok(()) };
    rustix::stdio::dup2_stdin(&input)?;
    drop(input);
    // Rust's start-up ignores this signal, which programs inherit; one that is handled is not.
    signal_hook::flag::register(SIGPIPE, Arc::new(AtomicBool::new(false)))?;
    let error = become_program();
    let code = error.raw_os_error().unwrap_or_default();
    line.write_all(&code.to_ne_bytes())?;
    Err(error)
}

/// Waits to be let go, which brings the standard input; `None` if whoever started us is gone.
fn released(line: &UnixStream) -> io::Result<Option<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut word = [0];
    let mut words = [IoSliceMut::new(&mut word)];
    recvmsg(line, &mut words, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut descriptors) = message {
            return Ok(descriptors.next());
        }
    }
    Ok(None)
}

/// As the kernel has it: without a search, and without a shell for what is no program.
fn become_program() -> io::Error {
    let words = std::env::args_os().skip(1).map(|word| CString::new(word.into_vec()));
    match words.collect::<Result<Vec<_>, _>>() {
        Ok(words) => match words.first() {
            Some(program) => match nix::unistd::execv(program, &words) {
                Ok(never) => match never {},
                Err(error) => error.into(),
            },
            None => io::ErrorKind::InvalidInput.into(),
        },
        Err(error) => error.into(),
    }
}
