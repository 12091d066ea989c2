//! nginx as a plain reverse proxy in front of a server over HTTP: what one spends on a call that
//! only moves bytes.
//!
//! A process of its own in a temporary directory, killed with the run.

use std::{
    fs,
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::{interval, timeout},
};

/// How long a start may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// Where it may be; distributions install it outside of an ordinary user's path.
const PROGRAMS: [&str; 2] = ["nginx", "/usr/sbin/nginx"];

/// A running nginx; dropped, it is killed.
pub struct Nginx {
    address: SocketAddr,
    pid: u32,
    _child: Child,
    _directory: TempDir,
}

impl Nginx {
    /// Starts it in front of a server and waits until it listens; `None` where it is not installed.
    pub async fn start(server: SocketAddr) -> Result<Option<Self>> {
        let directory = tempfile::tempdir()?;
        // It takes no port 0, so it gets one that was free a moment ago.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let file = directory.path().join("nginx.conf");
        fs::write(&file, configuration(directory.path(), address, server))?;
        let Some(mut child) = spawn(&file)? else { return Ok(None) };
        let pid = child.id().context("nginx ended at once")?;
        let mut ticks = interval(Duration::from_millis(20));
        let listening = async {
            while TcpStream::connect(address).await.is_err() {
                ticks.tick().await;
            }
        };
        tokio::select! {
            listening = timeout(PATIENCE, listening) => listening?,
            ended = child.wait() => bail!("nginx ended: {}", ended?),
        }
        Ok(Some(Self { address, pid, _child: child, _directory: directory }))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its one process.
    pub fn pid(&self) -> u32 {
        self.pid
    }
}

fn spawn(configuration: &Path) -> Result<Option<Child>> {
    for program in PROGRAMS {
        let child = Command::new(program)
            .args(["-e", "stderr", "-c"])
            .arg(configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        match child {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            child => return child.context(program).map(Some),
        }
    }
    Ok(None)
}

/// One process does all the work: the worker of a master would outlive a kill of it.
fn configuration(directory: &Path, address: SocketAddr, server: SocketAddr) -> String {
    let directory = directory.display();
    format!(
        "daemon off;
master_process off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_max_body_size 0;
    client_body_buffer_size 2m;
    proxy_max_temp_file_size 0;
    keepalive_requests 10000000;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    upstream server {{
        server {server};
        keepalive 128;
        keepalive_requests 10000000;
    }}
    server {{
        listen {address};
        location / {{
            proxy_pass http://server;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Host $http_host;
        }}
    }}
}}
"
    )
}
