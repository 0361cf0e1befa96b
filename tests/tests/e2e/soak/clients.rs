//! Clients of every kind.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::Client;

use super::Soak;
use super::asked::Asked;
use super::figures::Latencies;

/// Requests that a connection with ids has in flight.
const IN_FLIGHT: usize = 12;
/// Pause between two small requests that are measured.
const ECHO_PAUSE: Duration = Duration::from_millis(10);
/// Clients that are still connected and do nothing any more.
const SILENT_MAX: usize = 20;

/// Small requests on a connection of their own, and how long each took while there were descriptors.
pub(super) fn small_echo(soak: &Soak) -> Latencies {
    let mut client = soak.host.client();
    let mut latencies = Latencies::default();
    while soak.goes_on() {
        let was_starved = soak.is_starved.load(Ordering::Relaxed);
        let asked = Asked::small_echo();
        let sent = Instant::now();
        let outcome = client.request(asked.request.clone());
        let took = sent.elapsed();
        let is_well = asked.expect(&outcome, &soak.counts);
        if is_well && !was_starved && !soak.is_starved.load(Ordering::Relaxed) {
            latencies.add(took);
        }
        thread::sleep(ECHO_PAUSE);
    }
    latencies
}

/// Requests on their way, by id.
#[derive(Default)]
struct InFlight {
    asked: HashMap<u64, Asked>,
    /// Requests to cancel others.
    cancels: HashMap<u64, u64>,
    next: u64,
}

impl InFlight {
    fn len(&self) -> usize {
        self.asked.len() + self.cancels.len()
    }

    fn send(&mut self, client: &mut Client, asked: Asked) {
        let mut request = asked.request.clone();
        request["id"] = self.next.into();
        client.send(request);
        self.asked.insert(self.next, asked);
        self.next += 1;
    }

    /// Cancels one: those that would never end, or any.
    fn cancel(&mut self, client: &mut Client, random: &mut fastrand::Rng, any: bool) {
        let candidates: Vec<u64> = self
            .asked
            .iter()
            .filter(|(_, asked)| !asked.was_cancelled && (any || asked.is_endless))
            .map(|(id, _)| *id)
            .collect();
        let Some(id) = random.choice(candidates) else {
            return;
        };
        if let Some(asked) = self.asked.get_mut(&id) {
            asked.was_cancelled = true;
        }
        client.send(json!({"id": self.next, "function": "host.cancel", "args": {"id": id}}));
        self.cancels.insert(self.next, id);
        self.next += 1;
    }

    /// Takes one reply.
    fn take(&mut self, client: &mut Client, soak: &Soak) {
        let reply = client.reply();
        let id = reply.id.as_u64();
        if let Some(asked) = id.and_then(|id| self.asked.remove(&id)) {
            if asked.expect(&reply.outcome, &soak.counts) {
                soak.served.fetch_add(1, Ordering::Relaxed);
            }
        } else if id.and_then(|id| self.cancels.remove(&id)).is_some() {
            assert!(reply.outcome.is_ok(), "{reply:?}");
        } else {
            panic!("answered twice, or never asked: {reply:?}");
        }
    }
}

/// Keeps requests in flight, and cancels some.
pub(super) fn with_ids(soak: &Soak, who: u64) {
    let mut random = soak.random(who);
    let mut client = soak.host.client();
    let mut in_flight = InFlight::default();
    while soak.goes_on() {
        while in_flight.len() < IN_FLIGHT {
            in_flight.send(&mut client, Asked::random_with_id(&mut random));
        }
        let any = random.u8(..10) == 0;
        in_flight.cancel(&mut client, &mut random, any);
        in_flight.take(&mut client, soak);
    }
    while in_flight.len() > 0 {
        in_flight.cancel(&mut client, &mut random, false);
        in_flight.take(&mut client, soak);
    }
    // Everything was answered: the next line is that of the next request.
    client.ping();
}

/// One request after the other, with bad lines in between; each is answered in its turn.
pub(super) fn without_ids(soak: &Soak, who: u64) {
    const BAD: [&str; 6] = [
        "",
        "{",
        "[1]",
        "{\"function\":7}",
        "\u{fffd}",
        "{\"function\":\"echo\",\"id\":[]}",
    ];
    let mut random = soak.random(who);
    let mut client = soak.host.client();
    while soak.goes_on() {
        let mut asked = Vec::new();
        for _ in 0..random.usize(1..5) {
            if random.u8(..10) == 0 {
                client.send_line(random.choice(BAD).unwrap_or_default());
                asked.push(None);
            } else {
                let request = Asked::random(&mut random);
                client.send(request.request.clone());
                asked.push(Some(request));
            }
        }
        for asked in asked {
            let reply = client.reply();
            assert_eq!(reply.id, Value::Null);
            match (asked, reply.outcome) {
                (Some(asked), outcome) => {
                    if asked.expect(&outcome, &soak.counts) {
                        soak.served.fetch_add(1, Ordering::Relaxed);
                    }
                }
                (None, Err(failure)) => {
                    failure.expect("bad_request", &[]);
                    soak.counts.bad_lines.fetch_add(1, Ordering::Relaxed);
                }
                (None, Ok(result)) => panic!("{result} to a bad line"),
            }
        }
    }
    client.ping();
}

/// Asks for more than fits into any buffer, and takes its time to read it.
pub(super) fn slow_reader(soak: &Soak, who: u64) {
    let mut random = soak.random(who);
    while soak.goes_on() {
        let mut client = soak.host.client();
        let mut in_flight = InFlight::default();
        for _ in 0..random.usize(1..60) {
            in_flight.send(&mut client, Asked::random(&mut random));
        }
        while in_flight.len() > 0 {
            soak.pause(Duration::from_millis(random.u64(..50)));
            in_flight.take(&mut client, soak);
        }
        client.ping();
    }
}

/// Asks, and is gone before it is answered: in the middle of a line, by a reset, or without another word.
pub(super) fn vanishing(soak: &Soak, who: u64) {
    let mut random = soak.random(who);
    let mut silent: Vec<Client> = Vec::new();
    while soak.goes_on() {
        let mut client = soak.host.client();
        for id in 0..random.u64(..10) {
            // Crashes of these would be nobody's.
            let mut request =
                json!({"id": id, "function": "sleep", "args": {"ms": random.u64(..50)}});
            if random.bool() {
                request = json!({"function": "big", "args": {"len": random.u64(..200_000)}});
            }
            client.send(request);
        }
        match random.u8(..4) {
            0 => client.reset(),
            1 => {
                client.send_bytes(b"{\"function\":\"echo\",\"args\":\"");
                drop(client);
            }
            2 => drop(client),
            _ => silent.push(client),
        }
        if silent.len() > random.usize(1..=SILENT_MAX) {
            silent.swap_remove(random.usize(..silent.len())).reset();
        }
        soak.counts.vanished.fetch_add(1, Ordering::Relaxed);
        soak.pause(Duration::from_millis(random.u64(..60)));
    }
}
