//! A real Chromium without a window, driven as `WebDriver` has it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use fantoccini::error::CmdError;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::artifacts::target_dir;
use crate::wait::wait_for;

/// What the window is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// A desk's screen.
    Light,
    /// One in a dark room.
    Dark,
    /// A phone's: narrow, with a finger for a mouse.
    Phone,
}

/// A browser of its own, without any past.
#[derive(Debug)]
pub struct Browser {
    /// None once it is closed.
    client: Option<Client>,
    runtime: Runtime,
    driver: Child,
    _profile: TempDir,
}

impl Browser {
    /// Starts one.
    #[must_use]
    #[track_caller]
    pub fn start(look: Look) -> Self {
        let profile = tempfile::Builder::new()
            .prefix("browser-test-")
            .tempdir()
            .expect("the temporary folder is writable");
        let (driver, port) = start_driver(profile.path());
        let mut args: Vec<String> = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
        ]
        .map(String::from)
        .into();
        args.push(format!(
            "--user-data-dir={}",
            profile.path().join("profile").display()
        ));
        let (width, height, is_dark) = match look {
            Look::Light => (1280, 900, false),
            Look::Dark => (1280, 900, true),
            Look::Phone => (390, 844, false),
        };
        args.push(format!("--window-size={width},{height}"));
        // Of Blink's color schemes 0 is the dark one.
        args.push(format!(
            "--blink-settings=preferredColorScheme={}",
            u8::from(!is_dark)
        ));
        let mut options = json!({"args": args});
        if look == Look::Phone {
            options["mobileEmulation"] =
                json!({"deviceMetrics": {"width": width, "height": height, "pixelRatio": 2.0}});
        }
        let capabilities = match json!({"browserName": "chrome", "goog:chromeOptions": options}) {
            Value::Object(capabilities) => capabilities,
            _ => unreachable!("it is an object"),
        };
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("threads can be started");
        let client = runtime.block_on(
            ClientBuilder::new(HttpConnector::new())
                .capabilities(capabilities)
                .connect(&format!("http://127.0.0.1:{port}")),
        );
        let client = client.unwrap_or_else(|error| panic!("no browser: {error}"));
        Self {
            client: Some(client),
            runtime,
            driver,
            _profile: profile,
        }
    }

    /// Goes to a page.
    #[track_caller]
    pub fn open(&self, url: &str) {
        self.done(url, self.client().goto(url));
    }

    /// Clicks, as a user would, once it is there.
    #[track_caller]
    pub fn click(&self, css: &str) {
        self.wait_for(css);
        self.done(css, async {
            let found = self.client().find(Locator::Css(css)).await?;
            found.click().await
        });
    }

    /// Types into a field, or gives a file's path to it.
    #[track_caller]
    pub fn type_into(&self, css: &str, text: &str) {
        self.wait_for(css);
        self.done(css, async {
            let found = self.client().find(Locator::Css(css)).await?;
            found.send_keys(text).await
        });
    }

    /// Presses keys where the focus is.
    #[track_caller]
    pub fn press(&self, keys: &str) {
        self.done("keys", async {
            let focused = self.client().active_element().await?;
            focused.send_keys(keys).await
        });
    }

    /// What a script returns.
    #[track_caller]
    pub fn eval(&self, script: &str) -> Value {
        self.done(script, self.client().execute(script, Vec::new()))
    }

    /// What a script hands to the function `done`.
    #[track_caller]
    pub fn eval_async(&self, script: &str) -> Value {
        let script = format!("const done = arguments[arguments.length - 1];\n{script}");
        self.done(&script, self.client().execute_async(&script, Vec::new()))
    }

    /// Waits until a script returns what counts as true, and returns that.
    #[track_caller]
    pub fn wait(&self, what: &str, script: &str) -> Value {
        wait_for(what, || {
            let value = self.eval(script);
            let counts = match &value {
                Value::Null => false,
                Value::Bool(value) => *value,
                Value::Number(number) => number.as_f64() != Some(0.0),
                Value::String(text) => !text.is_empty(),
                Value::Array(_) | Value::Object(_) => true,
            };
            counts.then_some(value)
        })
    }

    /// Waits until something is there to be seen.
    #[track_caller]
    pub fn wait_for(&self, css: &str) {
        let selector = json!(css);
        self.wait(
            css,
            &format!("return document.querySelector({selector})?.checkVisibility() ?? false"),
        );
    }

    /// What can be read there.
    #[track_caller]
    pub fn text(&self, css: &str) -> String {
        self.wait_for(css);
        self.done(css, async {
            let found = self.client().find(Locator::Css(css)).await?;
            found.text().await
        })
    }

    /// A picture of the page, to be looked at: `screenshots/NAME.png` in the target folder.
    #[track_caller]
    pub fn screenshot(&self, name: &str) {
        let png = self.done(name, self.client().screenshot());
        let folder = target_dir().join("screenshots");
        fs::create_dir_all(&folder).expect("the target folder is writable");
        fs::write(folder.join(format!("{name}.png")), png).expect("the folder is writable");
    }

    fn client(&self) -> &Client {
        self.client
            .as_ref()
            .expect("it is open until it is dropped")
    }

    #[track_caller]
    fn done<T>(&self, what: &str, command: impl Future<Output = Result<T, CmdError>>) -> T {
        let done = self.runtime.block_on(command);
        done.unwrap_or_else(|error| panic!("{what}: {error}"))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            // If it can't, it is killed.
            drop(self.runtime.block_on(client.close()));
        }
        if let Some(group) = i32::try_from(self.driver.id()).ok().and_then(Pid::from_raw) {
            // It may have ended.
            let _ = kill_process_group(group, Signal::KILL);
        }
        drop(self.driver.wait());
    }
}

/// The driver and its port. Where thousands of connections come and go beside it, it ends now and then before it serves: it
/// wants the port that the system gives it for IPv4 for IPv6 as well.
#[track_caller]
fn start_driver(folder: &Path) -> (Child, u16) {
    const TRIES: usize = 10;
    let mut tries = (0..TRIES).filter_map(|_| try_to_start_driver(folder));
    tries.next().expect("the driver finds a port")
}

/// None: it has ended before it served.
#[track_caller]
fn try_to_start_driver(folder: &Path) -> Option<(Child, u16)> {
    let mut command = Command::new("chromedriver");
    command
        .arg("--port=0")
        // Whatever Chromium leaves behind is left there.
        .env("HOME", folder)
        .env("TMPDIR", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0);
    let spawned = command.spawn();
    let mut driver = spawned.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut said = BufReader::new(driver.stdout.take().expect("it was asked for")).lines();
    let mut words = Vec::new();
    let port = said.by_ref().find_map(|line| {
        let line = line.ok()?;
        words.push(line.clone());
        let port = line.split_once("successfully on port ")?.1;
        port.trim_end_matches('.').parse().ok()
    });
    let Some(port) = port else {
        eprintln!("the driver did not serve: {words:?}");
        let _ = driver.kill();
        let _ = driver.wait();
        return None;
    };
    // It must not wait for somebody to listen.
    thread::spawn(move || said.for_each(drop));
    Some((driver, port))
}
