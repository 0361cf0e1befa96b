//! Load for the benchmark: sends messages by the plugin's own functions, without a host, and prints messages a second.
//!
//! `load bulk|single URL COUNT CONNECTIONS TEXT_LEN`

use std::{env, error::Error, io::Write, time::Instant};

use mail::Mail;
use plugin_api::{
    serde_json::{Value, json},
    testing,
};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [mode, url, count, connections, text_len] = args.as_slice() else {
        return Err("usage: load bulk|single URL COUNT CONNECTIONS TEXT_LEN".into());
    };
    let (count, text_len): (usize, usize) = (count.parse()?, text_len.parse()?);
    let config = json!({ "url": url, "connections": connections.parse::<usize>()? });
    let plugin = testing::open::<Mail>(config).map_err(|error| error.message().to_owned())?;
    let text = lines(text_len);

    let start = Instant::now();
    match mode.as_str() {
        "bulk" => {
            let recipients: Vec<Value> = (0..count).map(recipient).collect();
            let args = json!({
                "from": "sender@example.com",
                "subject": "Message for {{ name }}",
                "contents": format!("Hello {{{{ name }}}},\n{text}"),
                "recipients": recipients,
            });
            let report = plugin.call("send_bulk", args)?;
            if report["sent"] != count {
                return Err(format!("not everything was sent: {}", report["failed"][0]).into());
            }
        }
        "single" => {
            for index in 0..count {
                let args = json!({
                    "from": "sender@example.com",
                    "to": format!("user{index}@example.com"),
                    "subject": format!("Message for User {index}"),
                    "contents": format!("Hello User {index},\n{text}"),
                });
                plugin.call("send_mail", args)?;
            }
        }
        other => return Err(format!("there is no mode {other}").into()),
    }
    let rate = count as f64 / start.elapsed().as_secs_f64();
    writeln!(std::io::stdout(), "{rate:.0}")?;
    Ok(())
}

fn recipient(index: usize) -> Value {
    json!({ "to": format!("user{index}@example.com"), "variables": { "name": format!("User {index}") } })
}

fn lines(len: usize) -> String {
    let line = "The quick brown fox jumps over the lazy dog, and nobody minds.\n";
    line.chars().cycle().take(len).collect()
}
