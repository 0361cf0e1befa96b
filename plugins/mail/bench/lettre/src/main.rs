//! Messages a second of lettre's pooled transport, a thread for each connection. Arguments: PORT COUNT CONNECTIONS TEXT_LEN.

use std::{
    env,
    error::Error,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use lettre::{
    Message, SmtpTransport, Transport, message::header::ContentType, transport::smtp::PoolConfig,
};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [port, count, connections, text_len] = args.as_slice() else {
        return Err("usage: lettre-load PORT COUNT CONNECTIONS TEXT_LEN".into());
    };
    let (count, connections): (usize, u32) = (count.parse()?, connections.parse()?);
    let line = "The quick brown fox jumps over the lazy dog, and nobody minds.\n";
    let text: String = line.chars().cycle().take(text_len.parse()?).collect();
    let transport = SmtpTransport::builder_dangerous("127.0.0.1")
        .port(port.parse()?)
        .pool_config(PoolConfig::new().max_size(connections))
        .build();
    let next = AtomicUsize::new(0);

    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return;
                    }
                    let message = message(index, &text).expect("it is a message");
                    transport.send(&message).expect("it is sent");
                }
            });
        }
    });
    println!("{:.0}", count as f64 / start.elapsed().as_secs_f64());
    Ok(())
}

fn message(index: usize, text: &str) -> Result<Message, Box<dyn Error>> {
    Ok(Message::builder()
        .from("sender@example.com".parse()?)
        .to(format!("user{index}@example.com").parse()?)
        .subject(format!("Message for User {index}"))
        .header(ContentType::TEXT_PLAIN)
        .body(format!("Hello User {index},\n{text}"))?)
}
