//! Proxies as Debian has them, in front of a gateway or a host.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::command::run;
use crate::port::lasting_port;
use crate::tools::{venv_python, workspace_dir};
use crate::wait::wait_until;

/// Which program it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProgram {
    /// nginx, for HTTP.
    Nginx,
    /// nginx, for whatever TCP carries.
    NginxStream,
    /// `HAProxy`.
    HaProxy,
    /// Caddy.
    Caddy,
}

/// A proxy; killed when the test drops it.
#[derive(Debug)]
pub struct Proxy {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl Proxy {
    /// Starts one with a configuration in which it listens on its own port, and finds its certificates, wherever
    /// `configure` is told.
    #[must_use]
    #[track_caller]
    pub fn start(program: ProxyProgram, configure: impl FnOnce(u16, &Path) -> String) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("proxy-test-")
            .tempdir()
            .expect("the temporary folder is writable");
        certify(folder.path());
        let port = lasting_port();
        let config = configure(port, folder.path());
        let child = command(program, &config, folder.path())
            .current_dir(folder.path())
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.path().join("log")).expect("the folder is fresh"))
            .spawn();
        let child =
            child.unwrap_or_else(|error| panic!("{program:?}: {error}: run tests/setup.sh first"));
        let mut proxy = Self {
            child,
            port,
            folder,
        };
        wait_until("the proxy to listen", || {
            let ended = proxy.child.try_wait().expect("a child can be waited for");
            assert!(
                ended.is_none(),
                "{program:?} ended: {}\n{config}",
                proxy.log()
            );
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        proxy
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The certificate by which clients know it.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("chain.pem")
    }

    /// What it has said.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command that runs it as one process in the foreground.
fn command(program: ProxyProgram, config: &str, folder: &Path) -> Command {
    let write = |name: &str, text: &str| {
        let file = folder.join(name);
        fs::write(&file, text).expect("the folder is fresh");
        file
    };
    match program {
        ProxyProgram::Nginx => {
            let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map(|name| format!("{name}_temp_path {name};"))
                .concat();
            let http = format!("http {{ access_log off; {paths}\n{config} }}\n");
            nginx(&write("nginx.conf", &format!("{NGINX_HEAD}{http}")), folder)
        }
        ProxyProgram::NginxStream => {
            // Debian has it as a module; others have it built in.
            let module = match Path::new(NGINX_STREAM).exists() {
                true => format!("load_module {NGINX_STREAM};\n"),
                false => String::new(),
            };
            nginx(
                &write("nginx.conf", &format!("{module}{NGINX_HEAD}{config}")),
                folder,
            )
        }
        ProxyProgram::HaProxy => {
            let file = write("haproxy.cfg", config);
            let mut haproxy = Command::new(found("haproxy"));
            haproxy.arg("-db").arg("-f").arg(file);
            haproxy
        }
        ProxyProgram::Caddy => {
            let options = "{\n admin off\n auto_https disable_redirects\n}\n";
            let file = write("Caddyfile", &format!("{options}{config}"));
            let mut caddy = Command::new(found("caddy"));
            caddy
                .args(["run", "--adapter", "caddyfile", "--config"])
                .arg(file);
            caddy
        }
    }
}

const NGINX_HEAD: &str = "daemon off; master_process off; pid nginx.pid; events {}\n";
const NGINX_STREAM: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

fn nginx(file: &Path, folder: &Path) -> Command {
    let mut nginx = Command::new(found("nginx"));
    nginx
        .args(["-e", "stderr", "-p"])
        .arg(folder)
        .arg("-c")
        .arg(file);
    nginx
}

/// Servers lie where not every user's path leads.
fn found(name: &str) -> PathBuf {
    let system = Path::new("/usr/sbin").join(name);
    if system.exists() { system } else { name.into() }
}

/// A certificate of `localhost` and its key, apart and in one file.
fn certify(folder: &Path) {
    let [chain, key] = ["chain.pem", "key.pem"].map(|name| folder.join(name));
    let made = run(venv_python()
        .arg(workspace_dir().join("tests/certificate.py"))
        .args([&chain, &key]));
    assert_eq!(made.output(), "");
    let both = [chain, key].map(|file| fs::read(file).expect("it was made just now"));
    fs::write(folder.join("both.pem"), both.concat()).expect("the folder is fresh");
}
