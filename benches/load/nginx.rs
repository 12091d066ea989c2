//! nginx as a plain reverse proxy in front of a server over HTTP: what one spends on a call that
//! only moves bytes.
//!
//! A process of its own in a temporary directory, killed with the run.

use std::{
    fs,
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::fd::AsRawFd as _,
    path::Path,
    process::Stdio,
};

use anyhow::{Context as _, Result};
use rustix::io::{FdFlags, fcntl_setfd};
use tempfile::TempDir;
use tokio::process::{Child, Command};

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
    /// Starts it in front of a server; `None` where it is not installed.
    pub fn start(server: SocketAddr) -> Result<Option<Self>> {
        let directory = tempfile::tempdir()?;
        // It takes no port 0, but a socket that listens already, by its number in `NGINX`.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        fcntl_setfd(&listener, FdFlags::empty())?;
        let address = listener.local_addr()?;
        let file = directory.path().join("nginx.conf");
        fs::write(&file, configuration(directory.path(), address, server))?;
        for program in PROGRAMS {
            let child = Command::new(program)
                .args(["-e", "stderr", "-c"])
                .arg(&file)
                .env("NGINX", format!("{};", listener.as_raw_fd()))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn();
            match child {
                Ok(child) => {
                    let pid = child.id().context("nginx ended at once")?;
                    return Ok(Some(Self { address, pid, _child: child, _directory: directory }));
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error).context(program),
            }
        }
        Ok(None)
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

/// One process does all the work: its master would only watch it, and outlive a kill of it.
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
