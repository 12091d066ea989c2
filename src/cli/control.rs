//! The client of a running instance: HTTP over its control socket.
//!
//! One connection for each request, closed with its answer: the instance takes a closed
//! connection for the end of interest. It never starts an instance.

use std::{io, path::PathBuf, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{Method, Request, StatusCode, header, request, response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use tokio::{net::UnixStream, task::JoinSet, time::timeout};

use crate::{app::state::StateDir, face::control::SOCKET};

/// How long an instance may take to say what it knows by heart.
pub(super) const SOON: Duration = Duration::from_secs(10);

/// Why a running instance did not answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ControlError {
    /// There is none.
    #[error(
        "no instance answers at {socket}; start it with `switchboard serve`, or name its \
         --config or --state-dir"
    )]
    NoInstance {
        /// Where it would be.
        socket: PathBuf,
    },
    /// The socket is there and cannot be used.
    #[error("failed to reach the instance at {socket}")]
    Unreachable {
        /// Where it is.
        socket: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The connection broke.
    #[error("the instance broke off; what was asked may have been done, check before repeating")]
    Broken(#[from] hyper::Error),
    /// It takes too long.
    #[error("the instance does not answer within {} s", SOON.as_secs())]
    Silent,
    /// It ended before its answer did.
    #[error("the instance has ended")]
    Ended,
    /// It was started anew, or the session was idle for too long.
    #[error("the instance no longer knows this session; start again")]
    Forgotten,
    /// It refused, in its words.
    #[error("{0}")]
    Refused(String),
    /// It was asked for a configuration that cannot be; nothing was changed.
    #[error("{0}")]
    Configuration(String),
    /// An answer that this version does not understand.
    #[error("the instance's answer is not understood; is it of another version?")]
    Foreign(#[from] serde_json::Error),
}

/// A way to an instance.
#[derive(Clone, Debug)]
pub(super) struct Control {
    socket: PathBuf,
}

impl Control {
    /// To the instance of a state directory.
    pub(super) fn of(state: &StateDir) -> Self {
        Self { socket: state.path().join(SOCKET) }
    }

    /// Asks for something that is known by heart.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ControlError> {
        let asked = self.ask(head(Method::GET, path), Bytes::new());
        let body = timeout(SOON, asked).await.map_err(|_| ControlError::Silent)?;
        Ok(serde_json::from_slice(&body?)?)
    }

    /// Posts JSON and waits for the answer as long as it takes.
    pub(super) async fn post(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Box<RawValue>, ControlError> {
        let head = head(Method::POST, path).header(header::CONTENT_TYPE, "application/json");
        let body = self.ask(head, serde_json::to_vec(body)?.into()).await?;
        Ok(serde_json::from_slice(&body)?)
    }

    async fn ask(&self, head: request::Builder, body: Bytes) -> Result<Bytes, ControlError> {
        let answer = self.send(head, body).await?;
        let status = answer.head.status;
        let body = answer.whole().await?;
        if status == StatusCode::OK { Ok(body) } else { Err(refused(status, &body)) }
    }

    /// Sends one request whose answer is lines, as they come in.
    pub(super) async fn lines(
        &self,
        head: request::Builder,
        body: Bytes,
    ) -> Result<Lines, ControlError> {
        let answer = self.send(head, body).await?;
        let status = answer.head.status;
        if status == StatusCode::OK {
            return Ok(Lines { answer, buffer: BytesMut::new() });
        }
        Err(refused(status, &answer.whole().await?))
    }

    /// Sends one request and gives its answer, whatever it is, as it comes in.
    pub(super) async fn send(
        &self,
        head: request::Builder,
        body: Bytes,
    ) -> Result<Answer, ControlError> {
        let stream = self.connect().await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // Its end is the body's end, which says the same.
            connection.await.ok();
        });
        let request =
            head.body(Full::new(body)).map_err(|error| ControlError::Refused(error.to_string()))?;
        let (head, body) = sender.send_request(request).await?.into_parts();
        Ok(Answer { head, body, _connection: tasks })
    }

    /// Whether an instance is there at all.
    pub(super) async fn connect(&self) -> Result<UnixStream, ControlError> {
        let socket = || self.socket.clone();
        UnixStream::connect(&self.socket).await.map_err(|source| {
            let nobody = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused];
            if nobody.contains(&source.kind()) {
                ControlError::NoInstance { socket: socket() }
            } else {
                ControlError::Unreachable { socket: socket(), source }
            }
        })
    }
}

/// An answer on its connection. Dropping it closes the connection.
#[derive(Debug)]
pub(super) struct Answer {
    /// Status and headers.
    pub(super) head: response::Parts,
    body: Incoming,
    _connection: JoinSet<()>,
}

impl Answer {
    /// The next piece of the body.
    pub(super) async fn piece(&mut self) -> Result<Option<Bytes>, ControlError> {
        while let Some(frame) = self.body.frame().await {
            if let Ok(piece) = frame?.into_data() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    /// The whole body.
    pub(super) async fn whole(self) -> Result<Bytes, ControlError> {
        Ok(self.body.collect().await?.to_bytes())
    }
}

/// An answer that comes line by line.
#[derive(Debug)]
pub(super) struct Lines {
    answer: Answer,
    /// What came of the next line.
    buffer: BytesMut,
}

impl Lines {
    /// The next line; `None` at the end. May be dropped and asked again without losing one.
    pub(super) async fn next(&mut self) -> Result<Option<String>, ControlError> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end + 1);
                return Ok(Some(String::from_utf8_lossy(line.trim_ascii_end()).into_owned()));
            }
            match self.answer.piece().await {
                Ok(Some(piece)) => self.buffer.extend_from_slice(&piece),
                Ok(None) => return Ok(None),
                // Nothing was asked that could have been done in part.
                Err(_) => return Err(ControlError::Ended),
            }
        }
    }
}

/// The head of a request to a path.
pub(super) fn head(method: Method, path: &str) -> request::Builder {
    Request::builder().method(method).uri(path).header(header::HOST, "switchboard")
}

/// What a problem body says.
fn refused(status: StatusCode, body: &[u8]) -> ControlError {
    #[derive(Deserialize)]
    struct Problem {
        detail: String,
        #[serde(default)]
        code: String,
    }
    match serde_json::from_slice::<Problem>(body) {
        Ok(Problem { detail, code }) if matches!(&*code, "configuration" | "defined_in_file") => {
            ControlError::Configuration(detail)
        }
        Ok(Problem { detail, .. }) => ControlError::Refused(detail),
        Err(_) => ControlError::Refused(format!("the instance answered {status}")),
    }
}
