//! An HTTP server of the fleet: it answers well, or as its mood is until that passes. What it did
//! outlives its being gone.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    response::{IntoResponse as _, Response},
};
use futures::{FutureExt as _, future::BoxFuture, stream};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

use super::fault::WebFault;
use crate::support::upstream::{Asked, Upstream, faulty, plain};

const JSON: (&str, &str) = ("content-type", "application/json");

/// What it is and did.
#[derive(Default)]
struct State {
    mood: Option<(WebFault, Instant)>,
    ran: BTreeMap<usize, usize>,
}

type Shared = Arc<Mutex<State>>;

/// The server.
pub struct Web {
    state: Shared,
    router: Router,
    url: String,
    /// `None` while it is gone.
    upstream: tokio::sync::Mutex<Option<Upstream>>,
}

impl Web {
    pub async fn serve(modern: bool) -> Self {
        let state = Shared::default();
        let shared = Arc::clone(&state);
        let router = faulty(modern, move |asked| decide(&shared, modern, asked));
        let upstream = Upstream::serve(router.clone()).await;
        let url = upstream.url();
        Self { state, router, url, upstream: tokio::sync::Mutex::new(Some(upstream)) }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// How often it carried out which calls.
    pub fn ran(&self) -> BTreeMap<usize, usize> {
        self.state.lock().unwrap().ran.clone()
    }

    /// Is so until that is over, and well again.
    pub async fn suffer(&self, fault: WebFault, lasts: Duration) {
        if fault == WebFault::Reset {
            // One that is gone already comes back when its first misfortune is over.
            let mut upstream = self.upstream.lock().await;
            if let Some(there) = upstream.take() {
                let address = there.kill().await;
                sleep(lasts).await;
                *upstream = Some(Upstream::serve_at(address, self.router.clone()).await);
            }
        } else {
            let end = Instant::now() + lasts;
            self.state.lock().unwrap().mood = Some((fault, end));
            sleep_until(end).await;
        }
    }
}

fn decide(state: &Shared, modern: bool, asked: &Asked) -> Option<BoxFuture<'static, Response>> {
    if asked.verb != Method::POST {
        return None;
    }
    let mood = state.lock().unwrap().mood.filter(|(_, end)| Instant::now() < *end);
    let Some((fault, end)) = mood else { return well(state, modern, asked) };
    let answer = match fault {
        WebFault::Busy if asked.method() == "tools/call" => {
            let busy = (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")]);
            async move { busy.into_response() }.boxed()
        }
        WebFault::Busy | WebFault::Reset => return well(state, modern, asked),
        WebFault::Unwilling => async { StatusCode::SERVICE_UNAVAILABLE.into_response() }.boxed(),
        WebFault::Silent => {
            let (answer, otherwise) = (well(state, modern, asked), plain(modern, asked));
            async move {
                sleep_until(end).await;
                match answer {
                    Some(answer) => answer.await,
                    None => otherwise,
                }
            }
            .boxed()
        }
        WebFault::Broken => spoilt(state, asked, StatusCode::INTERNAL_SERVER_ERROR.into_response()),
        WebFault::Nonsense => {
            let page = ([JSON], "<html>no such thing</html>");
            spoilt(state, asked, page.into_response())
        }
        WebFault::Half => {
            let half = r#"{"jsonrpc":"2.0","id":1,"result":{"con"#;
            let half = stream::iter([Ok(half), Err(io::Error::other("as planned"))]);
            spoilt(state, asked, ([JSON], Body::from_stream(half)).into_response())
        }
    };
    Some(answer)
}

/// A call is carried out and its answer spoilt, and so is the answer to everything else.
fn spoilt(state: &Shared, asked: &Asked, answer: Response) -> BoxFuture<'static, Response> {
    carry_out(state, asked);
    async move { answer }.boxed()
}

/// Notes a call, and says its number and its work.
fn carry_out(state: &Shared, asked: &Asked) -> Option<(u64, Duration)> {
    let arguments = (asked.method() == "tools/call").then(|| &asked.message["params"]["arguments"]);
    let number = arguments?["number"].as_u64()?;
    *state.lock().unwrap().ran.entry(usize::try_from(number).unwrap()).or_default() += 1;
    Some((number, Duration::from_millis(arguments?["work"].as_u64()?)))
}

fn well(state: &Shared, modern: bool, asked: &Asked) -> Option<BoxFuture<'static, Response>> {
    let complete = |mut result: Value| {
        if modern {
            result["resultType"] = json!("complete");
        }
        asked.result(&result)
    };
    if asked.method() == "tools/list" {
        let tool = |name| json!({ "name": name, "inputSchema": { "type": "object" } });
        let answer = complete(json!({ "tools": [tool("act"), tool("get_act")] }));
        return Some(async move { answer }.boxed());
    }
    let (number, work) = carry_out(state, asked)?;
    let text = json!({ "type": "text", "text": format!("did {number}") });
    let answer = complete(json!({ "content": [text] }));
    Some(
        async move {
            sleep(work).await;
            answer
        }
        .boxed(),
    )
}
