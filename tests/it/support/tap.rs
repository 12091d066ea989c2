//! A scripted server whose lines are listened to: what Switchboard sends it is checked on the way.

use std::{
    io,
    sync::{Arc, Mutex},
};

use switchboard::upstream::{Connect, stream::ByteStream};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, copy, duplex, split},
    task::JoinSet,
};

use super::{outgoing::Leg, script::Script};

/// Connects to a script, one server for each link.
pub fn tapped(script: &Script) -> Arc<dyn Connect> {
    let script = Script::clone(script);
    let lives = Mutex::<JoinSet<()>>::default();
    Arc::new(ByteStream::new(move || {
        let (ours, theirs) = duplex(64 * 1024);
        let (near, far) = duplex(64 * 1024);
        let server = script.handler();
        let mut lives = lives.lock().unwrap();
        lives.spawn(async move {
            if let Ok(running) = rmcp::serve_server(server, split(far)).await {
                running.waiting().await.ok();
            }
        });
        lives.spawn(async move {
            // A broken stream ends both ways.
            listen(theirs, near).await.ok();
        });
        std::future::ready(io::Result::Ok(ours))
    }))
}

async fn listen(ours: DuplexStream, server: DuplexStream) -> io::Result<()> {
    let (source, mut answers) = split(ours);
    let (mut answered, mut sink) = split(server);
    let asking = async {
        let mut leg = Leg::default();
        let mut lines = BufReader::new(source).lines();
        while let Some(line) = lines.next_line().await? {
            leg.hear(&serde_json::from_str(&line).unwrap_or_default());
            sink.write_all(format!("{line}\n").as_bytes()).await?;
        }
        sink.shutdown().await?;
        // It may still answer.
        std::future::pending().await
    };
    tokio::select! {
        broken = asking => broken,
        ended = copy(&mut answered, &mut answers) => ended.map(drop),
    }
}
