"""Runs the mail plugin and its peers side by side, round after round, and prints the medians as Markdown."""

import argparse
import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).parent
CONNECTIONS = 8


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Sink:
    """Postfix's smtp-sink, which counts what it gets."""

    def __enter__(self):
        self.port = free_port()
        self.counts = tempfile.TemporaryFile()
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        command = ["smtp-sink", *user, "-c", f"127.0.0.1:{self.port}", "1000"]
        self.process = subprocess.Popen(command, stdout=self.counts)
        wait_for_port(self.port)
        return self

    def count(self):
        """Messages so far. It counts in place, each count after a carriage return."""
        self.counts.seek(0)
        counts = [word for word in self.counts.read().split() if word.startswith(b"mesg=")]
        return int(counts[-1][len("mesg="):].split(b"\r")[0]) if counts else 0

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def wait_for_port(port):
    deadline = time.monotonic() + 30
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def printed(*command):
    """A program that prints its own rate."""
    return float(subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout)


def load(mode, connections):
    def run(options, sink, count):
        url = f"smtp://127.0.0.1:{sink.port}?tls=none"
        return printed(options.built / "examples/load", mode, url, count, connections, options.text_len)
    return run


def smtp_source(connections):
    def run(options, sink, count):
        ends = ["-f", "sender@example.com", "-t", "user@example.com", f"127.0.0.1:{sink.port}"]
        sizes = ["-s", connections, "-m", count, "-l", options.text_len]
        command = ["smtp-source", "-d", *map(str, sizes), *ends]
        start = time.monotonic()
        subprocess.run(command, check=True)
        return count / (time.monotonic() - start)
    return run


def peer(*program):
    def run(options, sink, count):
        return printed(*program, sink.port, count, CONNECTIONS, options.text_len)
    return run


def tasks(options, sink, count):
    """`send_mail` tasks through the host: requests with ids on one connection."""
    with tempfile.TemporaryDirectory() as folder:
        plugins = Path(folder, "plugins")
        plugins.mkdir()
        shutil.copy(options.built / "libmail.so", plugins)
        config = Path(folder, "host.toml")
        config.write_text(f'[plugins.mail.config]\nurl = "smtp://127.0.0.1:{sink.port}?tls=none"\n')
        command = [options.built / "host", "--plugins", plugins, "--config", config, "--listen", "127.0.0.1:0"]
        host = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            address = host.stdout.readline().split()[-1]
            return send_tasks(int(address.rsplit(":", 1)[1]), count, options.text_len)
        finally:
            host.terminate()
            host.wait()


def send_tasks(port, count, text_len):
    text = "The quick brown fox jumps over the lazy dog, and nobody minds.\n"
    text = (text * (text_len // len(text) + 1))[:text_len]
    lines = "".join(
        json.dumps({"id": index, "function": "send_mail", "args": {
            "from": "sender@example.com",
            "to": f"user{index}@example.com",
            "subject": f"Message for User {index}",
            "contents": f"Hello User {index},\n{text}",
        }}) + "\n"
        for index in range(count)
    ).encode()
    with socket.create_connection(("127.0.0.1", port)) as client:
        start = time.monotonic()
        threading.Thread(target=client.sendall, args=(lines,)).start()
        replies = client.makefile("rb")
        for _ in range(count):
            reply = replies.readline()
            assert b'"ok":true' in reply, reply
        return count / (time.monotonic() - start)


def lettre(options, sink, count):
    return printed(options.lettre, sink.port, count, CONNECTIONS, options.text_len)


def processor_time():
    """Seconds on processors of all programs that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


# Name, who measures it, and the share of the messages it gets: slow ones get fewer, or they would take all day.
CLIENTS = [
    ("`send_bulk`, 8 connections", load("bulk", CONNECTIONS), 1),
    ("`send_bulk`, 1 connection", load("bulk", 1), 1),
    ("`send_mail` tasks through the host", tasks, 0.5),
    ("`send_mail` in one worker, without the host", load("single", 1), 0.5),
    ("Postfix `smtp-source`, 8 connections", smtp_source(CONNECTIONS), 1),
    ("Postfix `smtp-source`, 1 connection", smtp_source(1), 0.3),
    ("lettre's `SmtpTransport`, pool of 8, 8 threads", lettre, 0.5),
    ("nodemailer, pool of 8", peer("node", HERE / "nodemailer.js"), 0.1),
    ("Python `smtplib`, 8 threads", peer(sys.executable, HERE / "smtplib_client.py"), 0.1),
]
NODEMAILER = "nodemailer, pool of 8"
LETTRE = "lettre's `SmtpTransport`, pool of 8, 8 threads"
SMTP_SOURCE = "Postfix `smtp-source`, 8 connections"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--built", type=Path, required=True, help="the folder of the release build")
    parser.add_argument("--lettre", type=Path, required=True, help="the program of bench/lettre")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--messages", type=int, default=20000)
    parser.add_argument("--text-len", type=int, default=1000)
    options = parser.parse_args()

    rates = {name: [] for name, _, _ in CLIENTS}
    costs = {name: [] for name, _, _ in CLIENTS}
    with Sink() as sink:
        for number in range(options.rounds):
            for name, run, share in CLIENTS:
                count = max(1, int(options.messages * share))
                before = sink.count()
                used = processor_time()
                rate = run(options, sink, count)
                costs[name].append((processor_time() - used) / count * 1e6)
                arrived = sink.count() - before
                assert arrived == count, f"{name}: {arrived} of {count} arrived"
                rates[name].append(rate)
                print(f"bench: round {number + 1}: {name}: {rate:.0f}", file=sys.stderr)

    print(f"{options.messages} messages with a text of {options.text_len} bytes, {options.rounds} rounds, "
          f"{os.cpu_count()} processors; medians, and the ratios of the same round's figures.\n")
    print("| client | messages/s | × lettre | × nodemailer | × `smtp-source` | CPU µs a message | CPU ÷ lettre's |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, found in rates.items():
        ratio = lambda values, peer: statistics.median(a / b for a, b in zip(values[name], values[peer]))
        print(f"| {name} | {statistics.median(found):,.0f} | {ratio(rates, LETTRE):.1f} | {ratio(rates, NODEMAILER):.1f} "
              f"| {ratio(rates, SMTP_SOURCE):.2f} | {statistics.median(costs[name]):.0f} | {ratio(costs, LETTRE):.2f} |")


main()
